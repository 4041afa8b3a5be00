# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import firewall

OPEN = "firewall_open_ports: %r on ml1 is no list of ports: write it as [22, 5000]."
TRUSTED = "firewall_trusted_networks: %r on ml1 is no list of networks: write it as [192.0.2.0/24]."


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
    assert firewall.host("ml1", given, [])[0]["enabled"] is wanted


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
        ({"ansible_port": "2222"}, {"ssh_port": 2222}),
        ({"firewall_open_ports": []}, {"open_ports": []}),
        ({"firewall_open_ports": [443, "80"]}, {"open_ports": [443, 80]}),
        (
            {"firewall_trusted_networks": ["192.0.2.0/24", "192.0.2.7", "2001:db8::/64"]},
            {"trusted_networks": ["192.0.2.0/24", "192.0.2.7/32", "2001:db8::/64"]},
        ),
    ],
)
def test_what_a_host_lets_in(variables, changed):
    assert firewall.host("ml1", variables, [5000]) == (
        {"enabled": None, "ssh_port": 22, "open_ports": [5000], "trusted_networks": [], **changed},
        [],
    )


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
    assert firewall.host("ml1", {name: value}, [5000])[1] == [sentence]


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
