# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import plan

NAMES = {"postgres": "postgres", "seaweedfs": "seaweedfs", "mlflow": "mlflow", "backup": "backup"}


OWN = "postgresql@17-main.service"
PATHS = {
    "envs": "/opt/mlops-stack",
    "postgres": "/var/lib/postgresql",
    "seaweedfs": "/var/lib/seaweedfs",
    "mlflow": "/var/lib/mlflow",
}


def disks(free_mb):
    return {purpose: {"path": path, "device": 1, "free_mb": free_mb} for purpose, path in PATHS.items()}


def facts(address, listeners=(), memory=8192, cpus=2):
    return {
        "os": {"id": "debian", "version_id": "13", "name": "Debian GNU/Linux 13 (trixie)"},
        "python": "3.13",
        "memory_mb": memory,
        "disks": disks(9000),
        "packages": [],
        "clusters": [{"version": "17", "name": "main", "managed": True, "databases": 1}] if OWN in listeners else [],
        "archive": {"version": None, "place": None, "encrypted": False, "backed_up": None},
        "listeners": [{"port": 1, "process": "x", "pid": 1, "unit": unit} for unit in listeners],
        "cpus": cpus,
        "default_address": address,
    }


def hosts(**changed):
    known = {
        "db1": {"variables": {}, "facts": facts("10.0.0.1")},
        "store1": {"variables": {}, "facts": facts("10.0.0.2")},
        "ml1": {"variables": {"ansible_host": "192.0.2.3"}, "facts": facts("10.0.0.3")},
        "ml2": {"variables": {"mlflow_server_workers": "3"}, "facts": facts("10.0.0.4", cpus=8)},
    }
    for name, entry in changed.items():
        known[name] = {**known.get(name, {"variables": {}}), **entry}
    return known


def groups(**changed):
    return {"postgres": ["db1"], "seaweedfs": ["store1"], "mlflow": ["ml1", "ml2"], "backup": [], **changed}


def make(members=None, known=None, secrets=None):
    return plan.make(members or groups(), NAMES, known or hosts(), secrets or {})


def test_three_kinds_of_hosts():
    stack, problems = make()
    assert problems == []
    assert stack["postgres"]["host"] == "10.0.0.1"
    assert stack["postgres"]["client_networks"] == ["10.0.0.3/32", "10.0.0.4/32"]
    assert stack["postgres"]["settings"]["max_connections"] == (2 + 3) * 2 * 15 + 20
    assert stack["s3"]["endpoint_url"] == "http://10.0.0.2:8333"
    assert stack["mlflow"]["workers"] == {"ml1": 2, "ml2": 3}
    assert stack["mlflow"]["tracking_uri"] == "http://192.0.2.3:5000"
    for name in ("192.0.2.3", "10.0.0.3:5000", "10.0.0.4", "ml2"):
        assert name in stack["mlflow"]["allowed_hosts"]


def test_one_host_for_everything():
    vm = {"vm": {"variables": {"common_public_names": ["ml.example.com"]}, "facts": facts("10.0.0.9")}}
    stack, problems = make(groups(postgres=["vm"], seaweedfs=["vm"], mlflow=["vm"]), vm)
    assert problems == []
    assert stack["mlflow"]["tracking_uri"] == "http://ml.example.com:5000"
    assert stack["probes"]["vm"] == {
        "targets": [],
        "apt": True,
        "index": True,
        "missing": ["postgres", "seaweedfs", "mlflow"],
    }
    # The other services' memory is not PostgreSQL's: 8192 - 256 - 512 - 256 - 2 * 420 = 6328, and a quarter of that.
    assert stack["postgres"]["settings"]["shared_buffers"] == "1582MB"


def test_sqlite_and_local_folder_need_no_other_host():
    only = {"ml1": {"variables": {"mlflow_server_backend": "sqlite", "mlflow_server_artifacts": "local"}}}
    only["ml1"]["facts"] = facts("10.0.0.3")
    stack, problems = make({"postgres": [], "seaweedfs": [], "mlflow": ["ml1"], "backup": []}, only)
    assert problems == []
    assert stack["s3"]["endpoint_url"] is None
    assert stack["probes"]["ml1"]["targets"] == []


def test_probes_only_for_what_is_not_up():
    known = hosts(
        db1={"facts": facts("10.0.0.1", ["postgresql@17-main.service"])},
        ml1={"facts": facts("10.0.0.3", ["mlflow.service"])},
    )
    stack, _problems = make(known=known)
    assert stack["probes"]["db1"] == {"targets": [], "apt": False, "index": False, "missing": []}
    assert stack["probes"]["ml1"]["apt"] is False
    assert stack["probes"]["store1"] == {"targets": [], "apt": True, "index": True, "missing": ["seaweedfs"]}
    assert [target["port"] for target in stack["probes"]["ml2"]["targets"]] == [5432, 8333]
    assert stack["probes"]["ml2"]["targets"][0]["name"] == "PostgreSQL of db1 at 10.0.0.1:5432"


def test_a_host_left_out_of_the_run_is_reached_where_the_inventory_says():
    known = hosts(
        db1={"variables": {"ansible_host": "192.0.2.1", "common_private_address": "10.7.7.7"}, "facts": None},
        ml1={"variables": {"common_private_address": "10.7.7.8", "mlflow_server_workers": 4}, "facts": None},
    )
    stack, problems = make(known=known)
    assert problems == []
    assert stack["postgres"]["host"] == "10.7.7.7"
    assert stack["mlflow"]["workers"] == {"ml1": 4, "ml2": 3}
    assert "db1" not in stack["probes"]


@pytest.mark.parametrize(
    ("name", "given", "default", "value", "sentence"),
    [
        ("mlflow_server_authentication", "false", True, False, None),
        ("mlflow_server_authentication", "perhaps", True, True, "'perhaps' is not true or false"),
        ("mlflow_server_port", "8080", 5000, 8080, None),
        ("mlflow_server_port", "http", 5000, 5000, "'http' is not a whole number"),
        ("mlflow_server_port", [1], 5000, 5000, "[1] is not a whole number"),
        ("mlflow_server_bucket", None, "mlflow", "mlflow", None),
        ("mlflow_server_bucket", "models", "mlflow", "models", None),
    ],
)
def test_read_value(name, given, default, value, sentence):
    found, problems = plan.read_value(name, given, default)
    assert found == value
    assert [one.startswith("%s: %s" % (name, sentence)) for one in problems] == ([True] if sentence else [])


def test_services_up():
    known = hosts(
        db1={"facts": facts("10.0.0.1", ["postgresql@17-main.service"])},
        store1={"facts": None},
        ml1={"facts": facts("10.0.0.3", ["mlflow.service"])},
    )
    assert plan.services_up(groups(), known) == ["postgres", "mlflow", "authentication"]
    known["ml1"]["variables"] = {"mlflow_server_authentication": False}
    assert plan.services_up(groups(), known) == ["postgres", "mlflow"]


def test_an_encrypted_archive_counts_though_nothing_is_up():
    known = hosts()
    known["db1"]["facts"]["archive"] = {"version": "2.55", "place": "path=/srv/archive", "encrypted": True}
    assert plan.services_up(groups(), known) == ["archive"]
    known["db1"]["facts"] = None
    assert plan.services_up(groups(), known) == []


@pytest.mark.parametrize(
    ("members", "known", "secrets", "part"),
    [
        (groups(mlflow=[]), None, None, "'mlflow' is missing or empty"),
        (
            None,
            hosts(db1={"variables": {"ansible_host": "192.0.2.1"}, "facts": None}),
            None,
            "db1 is left out of this run",
        ),
        (None, hosts(db1={"variables": {"postgres_port": "x"}}), None, "postgres_port: 'x' is not a whole number"),
        (None, hosts(store1={"variables": {"seaweedfs_cluster_replication": "001"}}), None, "asks for 2 copies"),
        (None, hosts(db1={"facts": facts(None)}), None, "db1 has no address that the other hosts could use"),
        (None, hosts(db1={"facts": facts("10.0.0.2")}), None, "db1 and store1 have the same private address"),
        (None, None, {"database_password": "short"}, "common_secrets.database_password: has 5 characters"),
    ],
)
def test_an_inventory_at_fault_has_no_plan(members, known, secrets, part):
    stack, problems = make(members, known, secrets)
    assert stack is None
    assert [part in sentence for sentence in problems] == [True]


def test_an_inventory_without_hosts():
    stack, problems = plan.make({"postgres": [], "seaweedfs": [], "mlflow": [], "backup": []}, NAMES, {}, {})
    assert stack is None
    assert len(problems) == 3


def test_a_machine_that_is_too_small_is_named():
    _stack, problems = make(known=hosts(store1={"facts": facts("10.0.0.2", memory=512)}))
    assert [sentence.startswith("store1 has 512 MiB of memory") for sentence in problems] == [True]


def test_what_is_up_needs_no_more_disk():
    full = facts("10.0.0.2", ["seaweedfs-master.service"])
    full["disks"] = disks(1)
    _stack, problems = make(known=hosts(store1={"facts": full}))
    assert problems == []


@pytest.mark.parametrize(
    ("missing", "values", "needed"),
    [
        ([], {}, {}),
        (["postgres"], {}, {"postgres": 1024}),
        (["seaweedfs", "mlflow"], {}, {"envs": 512 + 3072, "seaweedfs": 2048}),
        (["mlflow"], {"mlflow_server_backend": "sqlite"}, {"envs": 3072, "mlflow": 1024}),
        (["mlflow"], {"mlflow_server_artifacts": "local"}, {"envs": 3072, "mlflow": 1024}),
        (["postgres"], {"mlflow_server_artifacts": "local"}, {"postgres": 1024}),
    ],
)
def test_disk_needed(missing, values, needed):
    values = {"mlflow_server_backend": "postgresql", "mlflow_server_artifacts": "s3", **values}
    assert plan.disk_needed(missing, values) == needed


def test_one_file_system_for_everything_has_to_hold_the_sum():
    vm = {"vm": {"variables": {}, "facts": {**facts("10.0.0.9"), "disks": disks(1024 + 2048 + 512 + 3072 - 1)}}}
    members = groups(postgres=["vm"], seaweedfs=["vm"], mlflow=["vm"])
    _stack, problems = make(members, vm)
    assert problems == [
        "vm has 6655 MiB free at /var/lib/postgresql, /opt/mlops-stack and /var/lib/seaweedfs, which share a file "
        "system, and the installation needs 6656 MiB: free some space or mount a larger disk."
    ]
    vm["vm"]["facts"]["disks"] = disks(6656)
    assert make(members, vm)[1] == []


def test_the_version_of_postgresql_is_the_inventory_s_or_the_distribution_s():
    assert make()[0]["postgres"]["version"] == "17"
    stack, problems = make(known=hosts(db1={"variables": {"postgres_version": 16, "postgres_repository": "pgdg"}}))
    assert (stack["postgres"]["version"], problems) == ("16", [])
    left_out = hosts(db1={"variables": {"common_private_address": "10.0.0.1"}, "facts": None})
    assert make(known=left_out)[0]["postgres"]["version"] is None


def test_a_foreign_cluster_is_neither_the_stack_s_nor_left_alone():
    foreign = {**facts("10.0.0.1", ["postgresql@15-main.service"])}
    foreign["listeners"][0].update(port=5432, process="postgres", pid=7)
    foreign["clusters"] = [{"version": "15", "name": "main", "managed": False, "databases": 2}]
    known = hosts(db1={"facts": foreign})
    assert plan.services_up(groups(), known) == []
    stack, problems = make(known=known)
    assert stack["probes"]["db1"]["missing"] == ["postgres"]
    assert [sentence.partition(":")[0] for sentence in problems] == [
        "db1",
        "db1 has the PostgreSQL cluster 15/main with 2 database(s), which mlops.stack did not make",
    ]


def test_an_ipv6_only_host():
    only = {"vm": {"variables": {}, "facts": facts("2001:db8::7")}}
    peer = {"variables": {}, "facts": facts("2001:db8::8")}
    stack, problems = make(groups(postgres=["vm"], seaweedfs=["vm"], mlflow=["ml1"]), {**only, "ml1": peer})
    assert problems == []
    assert stack["hosts"]["vm"]["url_host"] == "[2001:db8::7]"
    assert stack["hosts"]["vm"]["any"] == "::"
    assert stack["s3"]["endpoint_url"] == "http://[2001:db8::7]:8333"
    assert stack["mlflow"]["tracking_uri"] == "http://[2001:db8::8]:5000"
    assert stack["postgres"]["client_networks"] == ["2001:db8::8/128"]
    assert stack["probes"]["ml1"]["targets"][0]["name"] == "PostgreSQL of vm at [2001:db8::7]:5432"
    assert "[2001:db8::8]:5000" in stack["mlflow"]["allowed_hosts"]


def test_ports_are_looked_for_only_where_the_service_runs():
    busy = facts("10.0.0.2")
    busy["listeners"] = [{"port": port, "process": "nc", "pid": 9, "unit": None} for port in (5432, 18888)]
    _stack, problems = make(known=hosts(store1={"facts": busy}))
    assert problems == [
        "store1: port 18888 is held by nc (process 9): stop it, or set seaweedfs_cluster_filer_port to a free port."
    ]


def notebook(address, **changed):
    """What is read on a bare host for notebooks."""
    engine = {
        "package": None,
        "version": None,
        "config": "absent",
        "data_dir": "/var/lib/docker",
        "objects": 0,
        "users": [],
    }
    read = facts(address) | {"routes": [], "gpus": [], "group_ids": {}, "users": [], "docker": engine}
    read["accounts"] = {"ann": {"uid": 1000, "gid": 1000, "home": "/home/ann"}}
    return {**read, **changed}


def test_hosts_for_notebooks():
    gpu = {"vendor": "nvidia", "model": "NVIDIA A100", "memory_mb": None, "driver": None}
    ready = notebook("10.0.0.6", packages=["docker.io", "python3-requests"])
    ready["docker"] = ready["docker"] | {"package": "docker.io", "version": "26.1.5"}
    known = hosts(
        cpu1={"variables": {"jupyter_user": "ann"}, "facts": ready},
        gpu1={
            "variables": {"docker_host_gpu": "nvidia", "ansible_user": "ann"},
            "facts": notebook("10.0.0.5", gpus=[gpu]),
        },
        gpu2={"facts": None},
    )
    stack, problems = make(groups(jupyter=["cpu1", "gpu1", "gpu2"]), known)
    assert problems == []
    assert {name: (wanted["gpu"], wanted["gpus"]) for name, wanted in stack["docker"].items()} == {
        "cpu1": ("none", []),
        "gpu1": ("nvidia", ["NVIDIA A100"]),
    }
    server = {"name": "MLflow of ml1 at 192.0.2.3:5000", "host": "192.0.2.3", "port": 5000}
    assert stack["probes"]["gpu1"] == {"targets": [server], "apt": True, "index": True, "missing": ["jupyter"]}
    assert stack["jupyter"]["ports"] == {"cpu1": 8888, "gpu1": 8888}
    assert stack["probes"]["cpu1"]["missing"] == []
    assert "gpu2" not in stack["hosts"]


def test_hosts_for_notebooks_that_cannot_be():
    known = hosts(
        gpu1={
            "variables": {"docker_host_gpu": "amd", "ansible_user": "ann"},
            "facts": notebook("10.213.0.5", disks=disks(100)),
        },
        gpu2={"variables": {"docker_host_gpu": "any"}, "facts": notebook("10.0.0.6")},
    )
    assert make(groups(jupyter=["gpu2"]), known)[1] == [
        "docker_host_gpu: 'any' is unknown: use one of none, nvidia, amd."
    ]
    known["gpu1"]["facts"]["disks"]["docker"] = {"path": "/var/lib/docker", "device": 9, "free_mb": 100}
    sentences = make(groups(jupyter=["gpu1"]), known)[1]
    assert len(sentences) == 3
    assert "the installation needs 6144 MiB" in sentences[0]
    assert sentences[1].startswith("gpu1 is to have an AMD GPU")
    assert sentences[2].startswith("docker_host_address_pools: 10.213.0.0/16 on gpu1 contains 10.213.0.5")


def test_firewalls():
    """Who is not looked at is not locked out, and the rules' package is one to be fetched."""
    known = hosts(ml1={"variables": {"firewall_enabled": True}}, gpu1={"variables": {}, "facts": None})
    stack, problems = make(groups(jupyter=["gpu1"]), known)
    assert problems == []
    assert stack["firewall"]["peers"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert stack["firewall"]["knows_all"] is False
    assert stack["firewall"]["hosts"]["ml1"] == {
        "enabled": True,
        "ssh_ports": [22],
        "open_ports": [5000],
        "trusted_networks": [],
        "trusted_interfaces": ["docker*", "br-*"],
    }
    assert stack["firewall"]["hosts"]["db1"]["enabled"] is None
    assert "firewall" in stack["probes"]["ml1"]["missing"]
    known["ml1"]["facts"]["packages"].append("nftables")
    assert "firewall" not in make(known=known)[0]["probes"]["ml1"]["missing"]
    assert make()[0]["firewall"]["knows_all"] is True
    # Whoever is let in only then cannot be told to reach it before.
    known = hosts(db1={"variables": {"firewall_enabled": True}})
    names = [target["name"] for target in make(known=known)[0]["probes"]["ml1"]["targets"]]
    assert names == ["the S3 gateway of store1 at 10.0.0.2:8333"]


def test_a_firewall_that_cannot_be_meant():
    _stack, problems = make(known=hosts(ml1={"variables": {"firewall_open_ports": "all"}}))
    assert problems == ["firewall_open_ports: 'all' on ml1 is no list of ports: write it as [22, 5000]."]
