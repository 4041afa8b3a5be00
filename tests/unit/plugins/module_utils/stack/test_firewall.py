# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import firewall

OPEN = "firewall_open_ports: %r on ml1 is no list of ports: write it as [22, 5000]."
TRUSTED = "firewall_trusted_networks: %r on ml1 is no list of networks: write it as [192.0.2.0/24]."


ROUTES = [
    {"network": "10.0.0.0/24", "interface": "br-ex"},
    {"network": "10.213.0.0/24", "interface": "br-0123456789ab"},
    {"network": "fd00::/64", "interface": "br-ex"},
]


def host(variables, listeners=(), routes=(), private="10.0.0.3", ports=(5000,)):
    return firewall.host("ml1", variables, {"listeners": listeners, "routes": routes}, private, list(ports))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, None),
        ({"firewall_enabled": ""}, None),
        ({"firewall_enabled": "no"}, False),
        ({"firewall_enabled": 1}, True),
    ],
)
def test_whether_there_is_to_be_one(given, wanted):
    assert firewall.enabled("ml1", given) == (wanted, [])
    assert host(given)[0]["enabled"] is wanted


@pytest.mark.parametrize(
    ("variables", "mlflow", "jupyter", "ports"),
    [
        ({}, None, None, []),
        ({}, 5000, None, [5000]),
        ({}, 5000, 8888, [5000]),
        ({"jupyter_public": "yes"}, 5001, 8889, [5001, 8889]),
        ({"jupyter_public": True}, 5000, None, [5000]),
        ({"jupyter_public": "perhaps"}, None, 8888, []),
    ],
)
def test_usual_ports(variables, mlflow, jupyter, ports):
    assert firewall.usual_ports(variables, mlflow, jupyter) == ports


@pytest.mark.parametrize(
    ("variables", "changed"),
    [
        ({}, {}),
        ({"ansible_port": "2222"}, {"ssh_ports": [2222]}),
        ({"firewall_open_ports": []}, {"open_ports": []}),
        ({"firewall_open_ports": [443, "80"]}, {"open_ports": [443, 80]}),
        ({"firewall_trusted_interfaces": []}, {"trusted_interfaces": []}),
        ({"firewall_trusted_interfaces": ["podman0"]}, {"trusted_interfaces": ["podman0"]}),
        (
            {"firewall_trusted_networks": ["192.0.2.0/24", "192.0.2.7", "2001:db8::/64"]},
            {"trusted_networks": ["192.0.2.0/24", "192.0.2.7/32", "2001:db8::/64"]},
        ),
    ],
)
def test_what_a_host_lets_in(variables, changed):
    usual = {
        "enabled": None,
        "ssh_ports": [22],
        "open_ports": [5000],
        "trusted_networks": [],
        "trusted_interfaces": ["docker*", "br-*"],
    }
    assert host(variables) == ({**usual, **changed}, [])


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("firewall_enabled", "perhaps", "firewall_enabled: 'perhaps' on ml1 is not true or false: correct it."),
        *[("firewall_open_ports", value, OPEN % (value,)) for value in ("22", [0], [65536], ["ssh"], [True], 22)],
        *[
            ("firewall_trusted_networks", value, TRUSTED % (value,))
            for value in ("192.0.2.0/24", ["192.0.2.1/24"], ["office"])
        ],
    ],
)
def test_what_cannot_be_meant(name, value, sentence):
    assert host({name: value})[1] == [sentence]


def test_where_ssh_is():
    listeners = [
        {"port": 2200, "unit": "ssh.socket"},
        {"port": 22, "unit": "ssh.service"},
        {"port": 5000, "unit": "mlflow.service"},
        {"port": 7, "unit": None},
    ]
    assert host({"ansible_port": 30022}, listeners)[0]["ssh_ports"] == [22, 2200, 30022]


@pytest.mark.parametrize(
    ("interfaces", "private", "named"),
    [
        (None, "10.0.0.3", ["br-*"]),
        (None, "fd00::3", ["br-*"]),
        (None, "192.0.2.3", []),
        (None, "ml1.example.org", []),
        (["docker0", "br-e?", "br-ex"], "10.0.0.3", None),
        (["docker0", "br-ex", "br-e*"], "10.0.0.3", ["br-ex", "br-e*"]),
        (["docker0", "br-0123456789ab"], "10.0.0.3", []),
    ],
)
def test_an_uplink_that_would_be_trusted(interfaces, private, named):
    problems = host({"firewall_enabled": True, "firewall_trusted_interfaces": interfaces}, (), ROUTES, private)[1]
    if named is None:
        named = []
        assert problems.pop(0).startswith(
            "firewall_trusted_interfaces: ['docker0', 'br-e?', 'br-ex'] on ml1 is no list"
        )
    assert problems == [
        f"firewall_trusted_interfaces: {name} on ml1 is also br-ex, at which the other hosts are: name the interfaces "
        "of its containers only."
        for name in named
    ]
    assert host({"firewall_trusted_interfaces": ["br-*"]}, (), ROUTES)[1] == []


def test_where_the_hosts_come_from():
    hosts = {
        "db1": {"facts": {"default_address": "10.0.0.1"}},
        "ml1": {"facts": {"default_address": "192.0.2.3"}},
        "gpu1": {"facts": {"default_address": None}},
        "gpu2": {"facts": None},
    }
    reached = {
        "db1": {"private": "10.0.0.1"},
        "ml1": {"private": "10.0.0.3"},
        "gpu1": {"private": "fd00::4"},
        "gpu2": {"private": "gpu2.example.org"},
    }
    assert firewall.peers(hosts, reached) == ["10.0.0.1", "10.0.0.3", "192.0.2.3", "fd00::4"]
