# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import plan

NAMES = {"postgres": "postgres", "seaweedfs": "seaweedfs", "mlflow": "mlflow"}


def facts(address, listeners=(), memory=8192, cpus=2):
    return {
        "os": {"id": "debian", "version_id": "13", "name": "Debian GNU/Linux 13 (trixie)"},
        "python": "3.13",
        "memory_mb": memory,
        "disks": {"/opt/mlops-stack": 9000, "/var/lib/postgresql": 9000, "/var/lib/seaweedfs": 9000},
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
    return {"postgres": ["db1"], "seaweedfs": ["store1"], "mlflow": ["ml1", "ml2"], **changed}


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
    assert stack["probes"]["vm"] == {"targets": [], "apt": True, "index": True}
    # The other services' memory is not PostgreSQL's: 8192 - 256 - 512 - 256 - 2 * 420 = 6328, and a quarter of that.
    assert stack["postgres"]["settings"]["shared_buffers"] == "1582MB"


def test_sqlite_and_local_folder_need_no_other_host():
    only = {"ml1": {"variables": {"mlflow_server_backend": "sqlite", "mlflow_server_artifacts": "local"}}}
    only["ml1"]["facts"] = facts("10.0.0.3")
    stack, problems = make({"postgres": [], "seaweedfs": [], "mlflow": ["ml1"]}, only)
    assert problems == []
    assert stack["s3"]["endpoint_url"] is None
    assert stack["probes"]["ml1"]["targets"] == []


def test_probes_only_for_what_is_not_up():
    known = hosts(
        db1={"facts": facts("10.0.0.1", ["postgresql@17-main.service"])},
        ml1={"facts": facts("10.0.0.3", ["mlflow.service"])},
    )
    stack, _problems = make(known=known)
    assert stack["probes"]["db1"] == {"targets": [], "apt": False, "index": False}
    assert stack["probes"]["ml1"]["apt"] is False
    assert stack["probes"]["store1"] == {"targets": [], "apt": True, "index": True}
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
    stack, problems = plan.make({"postgres": [], "seaweedfs": [], "mlflow": []}, NAMES, {}, {})
    assert stack is None
    assert len(problems) == 3


def test_a_machine_that_is_too_small_is_named():
    _stack, problems = make(known=hosts(store1={"facts": facts("10.0.0.2", memory=512)}))
    assert [sentence.startswith("store1 has 512 MiB of memory") for sentence in problems] == [True]


def test_what_is_up_needs_no_more_disk():
    full = facts("10.0.0.2", ["seaweedfs-master.service"])
    full["disks"] = {"/opt/mlops-stack": 1, "/var/lib/seaweedfs": 1}
    _stack, problems = make(known=hosts(store1={"facts": full}))
    assert problems == []


def test_ports_are_looked_for_only_where_the_service_runs():
    busy = facts("10.0.0.2")
    busy["listeners"] = [{"port": port, "process": "nc", "pid": 9, "unit": None} for port in (5432, 18888)]
    _stack, problems = make(known=hosts(store1={"facts": busy}))
    assert problems == [
        "store1: port 18888 is held by nc (process 9): stop it, or set seaweedfs_cluster_filer_port to a free port."
    ]
