# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The URLs that roles make of addresses, also on hosts that have IPv6 addresses only."""

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import plan

GROUPS = {"postgres": ["vm"], "seaweedfs": ["vm"], "mlflow": ["vm"], "backup": ["vm"]}
V4, V6 = "192.0.2.7", "2001:db8::7"
LISTENERS = [
    {"unit": "mlflow.service", "address": "::", "port": 5000},
    {"unit": "seaweedfs-s3.service", "address": V6, "port": 8333},
    {"unit": "postgresql@17-main.service", "address": "127.0.0.1", "port": 5432},
    {"unit": None, "address": "0.0.0.0", "port": 22},
]


def facts(address):
    return {
        "os": {"id": "debian", "version_id": "13", "name": "Debian GNU/Linux 13 (trixie)"},
        "python": "3.13",
        "memory_mb": 8192,
        "cpus": 2,
        "disks": {},
        "packages": [],
        "clusters": [],
        "archive": {"version": None, "place": None, "encrypted": False, "backed_up": None},
        "listeners": [],
        "envs": ["mlflow-3.9.0-py3.13-a", "mlflow-3.17.2-py3.13-b"],
        "unit_envs": {"mlflow.service": "mlflow-3.17.2-py3.13-b"},
        "default_address": address,
    }


def variables(address):
    """What every role sees on a host with that address."""
    stack, problems = plan.make(GROUPS, GROUPS, {"vm": {"variables": {}, "facts": facts(address)}}, {})
    assert problems == []
    stack["paths"] = {"envs": "/opt/stack", "config": "/etc/stack", "secrets": "/secrets"}
    host = facts(address) | {"listeners": LISTENERS}
    return {"common_stack": stack, "common_host": host, "inventory_hostname": "vm"}


UNITS = "__seaweedfs_cluster_units"
HEALTH = "__mlflow_server_health_url"
LISTEN = "mlflow_server_listen_address"
# By what is looked at: role, expression, the host's address, further variables, value.
CASES = {
    "master": ("seaweedfs_cluster", "__seaweedfs_cluster_master", V6, {}, "[2001:db8::7]:9333"),
    "filer": ("seaweedfs_cluster", "__seaweedfs_cluster_filer", V6, {}, "[2001:db8::7]:8888"),
    "endpoint": ("seaweedfs_cluster", "__seaweedfs_cluster_endpoint", V6, {}, "http://[2001:db8::7]:8333"),
    "master's health": (
        "seaweedfs_cluster",
        f"{UNITS}.master.health_url",
        V6,
        {},
        "http://[2001:db8::7]:9333/cluster/healthz",
    ),
    "volume's health": ("seaweedfs_cluster", f"{UNITS}.volume.health_url", V6, {}, "http://[2001:db8::7]:8080/healthz"),
    "filer's health": ("seaweedfs_cluster", f"{UNITS}.filer.health_url", V6, {}, "http://[2001:db8::7]:8888/healthz"),
    "gateway's health": ("seaweedfs_cluster", f"{UNITS}.s3.health_url", V6, {}, "http://[2001:db8::7]:8333/healthz"),
    # SeaweedFS takes the bare address where it listens, and a place with brackets.
    "volume server": (
        "seaweedfs_cluster",
        f"{UNITS}.volume.exec_start | select('match', '-(ip|ip.bind|master)=')",
        V6,
        {},
        ["-ip=2001:db8::7", "-ip.bind=2001:db8::7", "-master=[2001:db8::7]:9333"],
    ),
    "filer on IPv4": ("seaweedfs_cluster", "__seaweedfs_cluster_filer", V4, {}, "192.0.2.7:8888"),
    "where MLflow listens": ("mlflow_server", LISTEN, V6, {}, "::"),
    "where MLflow listens on IPv4": ("mlflow_server", LISTEN, V4, {}, "0.0.0.0"),
    "MLflow's health": ("mlflow_server", HEALTH, V6, {}, "http://[2001:db8::7]:5000/health"),
    "MLflow's health on IPv4": ("mlflow_server", HEALTH, V4, {}, "http://192.0.2.7:5000/health"),
    "MLflow on all addresses": ("mlflow_server", HEALTH, V4, {LISTEN: "::"}, "http://192.0.2.7:5000/health"),
    "MLflow on one address": ("mlflow_server", HEALTH, V4, {LISTEN: "::1"}, "http://[::1]:5000/health"),
    "MLflow on one address of IPv4": (
        "mlflow_server",
        HEALTH,
        V6,
        {LISTEN: "127.0.0.1"},
        "http://127.0.0.1:5000/health",
    ),
    "a SQLite file": (
        "mlflow_server",
        "__mlflow_server_database_uri",
        V4,
        {"mlflow_server_backend": "sqlite", "mlflow_server_data_dir": "/srv/mlflow"},
        "sqlite:////srv/mlflow/mlflow.db",
    ),
    "the server that is checked": (
        "verify",
        "__verify_environment.MLFLOW_TRACKING_URI",
        V6,
        {"__verify_login": {}},
        "http://[2001:db8::7]:5000",
    ),
    "the services that are restarted": (
        "verify",
        "__verify_units | map(attribute='health.tcp')",
        V6,
        {},
        ["127.0.0.1:5432", "[2001:db8::7]:8333", "[2001:db8::7]:5000"],
    ),
    # Not the last one in the order of names.
    "the environment in force": ("verify", "__verify_python", V4, {}, "/opt/stack/mlflow-3.17.2-py3.13-b/bin/python"),
}


@pytest.fixture(scope="module")
def values(evaluate):
    """All cases' values."""
    requests = [
        [role, expression, variables(address) | more] for role, expression, address, more, _value in CASES.values()
    ]
    return dict(zip(CASES, evaluate(requests), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_value(values, name):
    assert values[name] == CASES[name][-1]
