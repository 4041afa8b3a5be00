# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import addresses


@pytest.mark.parametrize(
    ("variables", "facts", "private", "public", "names"),
    [
        pytest.param({}, {"default_address": "10.0.0.2"}, "10.0.0.2", "10.0.0.2", [], id="nothing said"),
        pytest.param(
            {"ansible_host": "192.0.2.7"}, {"default_address": "10.0.0.2"}, "10.0.0.2", "192.0.2.7", [], id="floating"
        ),
        pytest.param(
            {"ansible_host": "127.0.0.1"}, {"default_address": "10.0.0.2"}, "10.0.0.2", "10.0.0.2", [], id="loopback"
        ),
        pytest.param(
            {"ansible_host": "ml.example.com"},
            {"default_address": "10.0.0.2"},
            "10.0.0.2",
            "10.0.0.2",
            ["ml.example.com"],
            id="name",
        ),
        pytest.param({"ansible_host": "localhost"}, {"default_address": "10.0.0.2"}, "10.0.0.2", "10.0.0.2", []),
        pytest.param({"ansible_host": "192.0.2.7"}, None, "192.0.2.7", "192.0.2.7", [], id="not looked at"),
        pytest.param({}, {"default_address": None}, None, None, [], id="no route"),
        pytest.param(
            {
                "ansible_host": "192.0.2.7",
                "common_private_address": "10.9.9.9",
                "common_public_address": "198.51.100.1",
                "common_public_names": ["a.example", "a.example"],
            },
            {"default_address": "10.0.0.2"},
            "10.9.9.9",
            "198.51.100.1",
            ["a.example"],
            id="all said",
        ),
        pytest.param(
            {"ansible_host": "10.0.0.2"},
            {"default_address": "10.0.0.2", "public": {"address": "198.51.100.9"}},
            "10.0.0.2",
            "198.51.100.9",
            [],
            id="from the metadata service",
        ),
        pytest.param(
            {"ansible_host": "ml.example.com"},
            {"default_address": "10.0.0.2", "public": {"address": "ml.example.com"}},
            "10.0.0.2",
            "10.0.0.2",
            ["ml.example.com"],
            id="a name from the inventory",
        ),
        pytest.param({}, {"default_address": "fe80::1"}, None, None, [], id="link-local"),
        pytest.param({"ansible_host": "2001:db8::1"}, {}, "2001:db8::1", "2001:db8::1", [], id="IPv6"),
    ],
)
def test_of_host(variables, facts, private, public, names):
    assert addresses.of_host("ml1", variables, facts) == {"private": private, "public": public, "names": names}


@pytest.mark.parametrize(
    ("host", "text"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "[2001:db8::1]"), ("[2001:db8::1]", "[2001:db8::1]"), ("ml", "ml")],
)
def test_url_host(host, text):
    assert addresses.url_host(host) == text


@pytest.mark.parametrize(
    ("listens", "text"),
    [
        ("0.0.0.0", "[2001:db8::7]"),
        ("::", "[2001:db8::7]"),
        ("[::]", "[2001:db8::7]"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("ml", "ml"),
    ],
)
def test_url_host_of_a_listener(listens, text):
    assert addresses.url_host(listens, "2001:db8::7") == text


@pytest.mark.parametrize(
    ("private", "every"), [("192.0.2.1", "0.0.0.0"), ("2001:db8::1", "::"), ("db.example.com", "0.0.0.0")]
)
def test_any_address(private, every):
    assert addresses.any_address(private) == every


def test_allowed_hosts_has_every_name_with_and_without_port():
    assert addresses.allowed_hosts(["192.0.2.7", None, "ml.example.com", "192.0.2.7"], 5000) == [
        "localhost",
        "localhost:5000",
        "127.0.0.1",
        "127.0.0.1:5000",
        "[::1]",
        "[::1]:5000",
        "192.0.2.7",
        "192.0.2.7:5000",
        "ml.example.com",
        "ml.example.com:5000",
        "localhost:*",
        "127.0.0.1:*",
    ]


def test_origins():
    assert addresses.origins(["192.0.2.7", None, "2001:db8::1", "192.0.2.7"], 80) == [
        "http://192.0.2.7:80",
        "http://[2001:db8::1]:80",
    ]


@pytest.mark.parametrize(("text", "cidr"), [("192.0.2.7", "192.0.2.7/32"), ("10.0.0.0/8", "10.0.0.0/8")])
def test_network(text, cidr):
    assert addresses.network(text) == cidr


def test_network_refuses_host_bits():
    with pytest.raises(ValueError, match="host bits"):
        addresses.network("10.0.0.1/8")
