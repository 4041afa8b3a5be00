# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import checks, plan

NAMES = {"postgres": "postgres", "seaweedfs": "seaweedfs", "mlflow": "mlflow"}
GROUPS = {"postgres": ["db1"], "seaweedfs": ["store1"], "mlflow": ["ml1"]}
FACTS = {
    "os": {"id": "debian", "version_id": "13", "name": "Debian GNU/Linux 13 (trixie)"},
    "python": "3.13",
    "memory_mb": 4096,
    "disks": {"envs": {"path": "/opt/mlops-stack", "device": 1, "free_mb": 9000}},
    "listeners": [],
    "cpus": 2,
    "clusters": [],
    "archive": {"version": None, "place": None, "encrypted": False, "backed_up": None},
    "packages": [],
    "default_address": "10.0.0.1",
}


def values(**changed):
    hosts = {name: {"variables": {}, "facts": FACTS} for name in ("db1", "store1", "ml1")}
    return {**plan.effective(GROUPS, hosts)[0], **changed}


@pytest.mark.parametrize("name", ["mlflow", "my-bucket.2", "abc", "a" * 63])
def test_bucket_name_allowed(name):
    assert checks.bucket_name(name) == []


@pytest.mark.parametrize("name", ["ab", "Mlflow", "a..b", "192.168.1.1", "-abc", "abc-", "a_b", "a" * 64, ""])
def test_bucket_name_refused(name):
    [sentence] = checks.bucket_name(name)
    assert sentence.startswith("mlflow_server_bucket: %r is not a bucket name" % name)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("database_pasword", "x" * 20, "'database_pasword' is no secret of the stack"),
        ("database_password", 123456789012, "must be text"),
        ("database_password", "short", "has 5 characters, at least 12 are needed"),
        ("mlflow_client_password", "pässword is long", "outside ASCII"),
        ("database_password", "twelve chars\nand more", "line break"),
    ],
)
def test_secret_refused_without_showing_it(name, value, part):
    [sentence] = checks.secret(name, value)
    assert part in sentence
    assert str(value) not in sentence


def test_secret_with_characters_that_break_urls_is_fine():
    assert checks.secret("database_password", "p@ss/w%rd:#é $\"'\\x?&") == []


def test_settings_of_the_defaults_are_fine():
    assert checks.settings(values()) == []


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"mlflow_server_database": "my db"}, "mlflow_server_database: 'my db' is not usable"),
        ({"mlflow_server_database_user": "1st"}, "mlflow_server_database_user: '1st' is not usable"),
        ({"mlflow_server_backend": "mysql"}, "mlflow_server_backend: 'mysql' is unknown"),
        ({"mlflow_server_artifacts": "nfs"}, "mlflow_server_artifacts: 'nfs' is unknown"),
        ({"seaweedfs_cluster_replication": "2"}, "seaweedfs_cluster_replication: '2' is not a placement"),
        ({"mlflow_server_bucket": "X"}, "mlflow_server_bucket: 'X' is not a bucket name"),
        ({"postgres_client_networks": ["10.0.0.1/8"]}, "postgres_client_networks: 10.0.0.1/8 has host bits"),
        ({"postgres_repository": "debian"}, "postgres_repository: 'debian' is unknown: use one of distribution, pgdg"),
        ({"postgres_version": "17.2"}, "postgres_version: '17.2' is no major version"),
        ({"postgres_port": 70000}, "postgres_port: 70000: port 70000 does not exist"),
        ({"seaweedfs_cluster_filer_port": 60000}, "seaweedfs_cluster_filer_port: 60000: port 70000 does not exist"),
        ({"mlflow_server_port": 5432}, "postgres_port: port 5432 is also taken by mlflow_server_port"),
        (
            {"seaweedfs_cluster_master_port": 18080},
            "seaweedfs_cluster_volume_port: port 18080 is also taken by seaweedfs_cluster_master_port",
        ),
    ],
)
def test_settings_refused(changed, part):
    [sentence] = checks.settings(values(**changed))
    assert part in sentence


@pytest.mark.parametrize(
    ("members", "backend", "artifacts", "parts"),
    [
        (GROUPS, "postgresql", "s3", []),
        ({**GROUPS, "postgres": [], "seaweedfs": []}, "sqlite", "local", []),
        ({**GROUPS, "mlflow": []}, "postgresql", "s3", ["'mlflow' is missing or empty, and the tracking server"]),
        ({**GROUPS, "postgres": []}, "postgresql", "s3", ["'postgres' is missing or empty"]),
        ({**GROUPS, "seaweedfs": []}, "postgresql", "s3", ["'seaweedfs' is missing or empty"]),
        (GROUPS, "sqlite", "s3", ["Two backends at once"]),
        (GROUPS, "postgresql", "local", ["Two artifact stores at once"]),
        ({**GROUPS, "postgres": ["a", "b"]}, "postgresql", "s3", ["'postgres' has 2 hosts"]),
        (
            {**GROUPS, "postgres": [], "mlflow": ["a", "b"]},
            "sqlite",
            "s3",
            ["'mlflow' has 2 hosts, which cannot share"],
        ),
    ],
)
def test_groups(members, backend, artifacts, parts):
    sentences = checks.groups(members, NAMES, backend, artifacts)
    assert len(sentences) == len(parts)
    for sentence, part in zip(sentences, parts):
        assert part in sentence


@pytest.mark.parametrize(
    ("placement", "servers", "copies"),
    [("000", 1, None), ("001", 2, None), ("001", 1, 2), ("100", 1, 2), ("111", 3, 4), ("001", 0, None)],
)
def test_replication(placement, servers, copies):
    sentences = checks.replication(placement, "seaweedfs", servers)
    assert [("asks for %s copies" % copies) in sentence for sentence in sentences] == ([True] if copies else [])


def test_same_address():
    [sentence] = checks.same_address({"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.1"})
    assert sentence.startswith("a and c have the same private address 10.0.0.1")


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({}, None),
        ({"os": {"id": "debian", "version_id": "11", "name": "Debian 11"}}, "ml1 runs Debian 11: use Debian 12"),
        ({"os": {"id": "fedora", "version_id": "43", "name": ""}}, "ml1 runs fedora"),
        ({"os": {}}, "ml1 runs an unknown system"),
        ({"python": "3.9"}, "ml1 has Python 3.9: MLflow needs 3.10"),
        ({"memory_mb": 1000}, "ml1 has 1000 MiB of memory, and mlflow there need 1352 MiB"),
        (
            {"disks": {"envs": {"path": "/opt/mlops-stack", "device": 1, "free_mb": 10}}},
            "ml1 has 10 MiB free at /opt/mlops-stack, and the installation needs 3072 MiB: free some space",
        ),
        ({"disks": {}}, None),
    ],
)
def test_host(changed, part):
    sentences = checks.host("ml1", {**FACTS, **changed}, ["mlflow"], 1352, {"envs": 3072})
    assert [part in sentence for sentence in sentences] == ([True] if part else [])


def place(path, device, free_mb):
    return {"path": path, "device": device, "free_mb": free_mb}


@pytest.mark.parametrize(
    ("found", "where"),
    [
        ({"envs": place("/opt", 1, 3000), "postgres": place("/pg", 2, 1000), "seaweedfs": place("/s3", 3, 2000)}, []),
        # Each alone would fit.
        (
            {"envs": place("/opt", 1, 3500), "postgres": place("/pg", 1, 3500), "seaweedfs": place("/s3", 2, 2000)},
            ["3500 MiB free at /opt and /pg, which share a file system, and the installation needs 4000 MiB:"],
        ),
        (
            {"envs": place("/a", 1, 5999), "postgres": place("/b", 1, 5999), "seaweedfs": place("/c", 1, 5999)},
            ["5999 MiB free at /a, /b and /c, which share a file system, and the installation needs 6000 MiB:"],
        ),
        ({"envs": place("/a", 1, 6000), "postgres": place("/b", 1, 6000), "seaweedfs": place("/c", 1, 6000)}, []),
        (
            {"envs": place("/opt", 1, 2999), "postgres": place("/pg", 2, 999), "seaweedfs": place("/s3", 3, 2000)},
            [
                "2999 MiB free at /opt, and the installation needs 3000 MiB:",
                "999 MiB free at /pg, and the installation needs 1000 MiB:",
            ],
        ),
        # Two purposes of one folder.
        (
            {"envs": place("/srv", 1, 100), "postgres": place("/srv", 1, 100)},
            ["100 MiB free at /srv, and the installation needs 4000 MiB:"],
        ),
    ],
)
def test_disks_that_are_shared_have_to_hold_all(found, where):
    sentences = checks.disks("vm", found, {"envs": 3000, "postgres": 1000, "seaweedfs": 2000})
    assert [sentence.removeprefix("vm has ").partition(" free some")[0] for sentence in sentences] == where


def test_a_cluster_that_is_not_the_stack_s_occupies_its_port():
    listeners = [{"port": 5432, "process": "postgres", "pid": 8, "unit": "postgresql@15-main.service"}]
    [sentence] = checks.occupied_ports(
        "db1", listeners, {5432: ("postgres_port", "postgres")}, ["postgresql@15-main.service"]
    )
    assert sentence.startswith("db1: port 5432 is held by postgres (process 8)")


def test_occupied_ports_name_the_holder():
    listeners = [
        {"port": 5000, "process": "gunicorn", "pid": 7, "unit": None},
        {"port": 5432, "process": "postgres", "pid": 8, "unit": "postgresql@17-main.service"},
        {"port": 8333, "process": None, "pid": None, "unit": None, "user": "nobody"},
        {"port": 8333, "process": None, "pid": None, "unit": None, "user": "nobody"},
        {"port": 8888, "process": None, "pid": None, "unit": None, "user": "seaweedfs"},
        {"port": 9333, "process": None, "pid": None, "unit": None},
        {"port": 22, "process": "sshd", "pid": 1, "unit": "ssh.service"},
    ]
    wanted = {
        5000: ("mlflow_server_port", "mlflow"),
        5432: ("postgres_port", "postgres"),
        8333: ("seaweedfs_cluster_s3_port", "seaweedfs"),
        8888: ("seaweedfs_cluster_filer_port", "seaweedfs"),
        9333: ("seaweedfs_cluster_master_port", "seaweedfs"),
    }
    assert checks.occupied_ports("vm", listeners, wanted) == [
        "vm: port 5000 is held by gunicorn (process 7): stop it, or set mlflow_server_port to a free port.",
        "vm: port 8333 is held by a process of nobody: stop it, or set seaweedfs_cluster_s3_port to a free port.",
        "vm: port 9333 is held by a process of an unknown account: stop it, or set seaweedfs_cluster_master_port to a "
        "free port.",
    ]


def test_left_out():
    hosts = {
        "db1": {"variables": {}, "facts": None},
        "ml1": {"variables": {"common_private_address": "10.0.0.3"}, "facts": None},
        "ml2": {"variables": {"common_private_address": "10.0.0.4", "mlflow_server_workers": 2}, "facts": None},
        "ml3": {"variables": {}, "facts": FACTS},
    }
    sentences = checks.left_out(hosts, ["ml1", "ml2", "ml3"])
    assert [sentence.rpartition("set ")[2] for sentence in sentences] == [
        "common_private_address on it.",
        "mlflow_server_workers on it.",
    ]
    assert sentences[0].startswith("db1 is left out of this run")


@pytest.mark.parametrize(
    ("present", "services", "missing"),
    [
        ([], [], None),
        (["database_password"], ["postgres"], None),
        (["database_password"], ["postgres", "mlflow"], "mlflow_encryption_passphrase"),
        ([], ["postgres", "authentication"], "database_password, mlflow_admin_password, mlflow_session_key"),
    ],
)
def test_lost_secrets(present, services, missing):
    sentences = checks.lost_secrets("/inventory/.secrets", present, services)
    assert ["its secrets %s are not in /inventory/.secrets" % missing in one for one in sentences] == (
        [True] if missing else []
    )


def test_only_the_host_has_the_passphrase_of_its_archive():
    (sentence,) = checks.lost_secrets("/inventory/.secrets", ["database_password"], ["postgres", "archive"])
    assert sentence == (
        "The stack runs already, and its secrets database_archive_passphrase are not in /inventory/.secrets: copy that "
        "folder from the machine that made them, or set them in common_secrets. The archive's passphrase is in "
        "/etc/pgbackrest/pgbackrest.conf on the host of PostgreSQL."
    )
    assert checks.lost_secrets("/inventory/.secrets", ["database_archive_passphrase"], ["archive"]) == []
    assert "pgbackrest" not in checks.lost_secrets("/s", ["database_archive_passphrase"], ["postgres", "archive"])[0]


def test_unreachable():
    results = [{"name": "PostgreSQL", "ok": False, "reason": "timed out"}, {"name": "S3", "ok": True, "reason": ""}]
    assert checks.unreachable("ml1", results) == [
        "ml1 cannot reach PostgreSQL (timed out): check routes, firewall and proxy settings."
    ]


@pytest.mark.parametrize(
    ("public", "sentence"),
    [
        (None, None),
        ({"address": "192.0.2.7", "passed_over": ["the metadata service has none"]}, None),
        (
            {"address": None, "passed_over": ["the metadata service has none", "the inventory has none"]},
            "ml1 has no address for its clients: the metadata service has none; the inventory has none. Set "
            "common_public_address on it, or name another source in common_public_address_sources.",
        ),
    ],
)
def test_no_public_address(public, sentence):
    hosts = {"ml1": {"variables": {}, "facts": {"public": public}}, "away": {"variables": {}, "facts": None}}
    assert checks.no_public_address(hosts) == ([sentence] if sentence else [])
