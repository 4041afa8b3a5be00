# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

import pytest

SOURCE = "/etc/apt/sources.list.d/it.sources"
CONFIG = "/etc/apt/apt.conf.d/99it"
PROXY = "http://proxyuser:canary@127.0.0.1:8124"


@pytest.fixture(autouse=True)
def _clean(node):
    node.shell("mv /etc/apt/sources.list /root/it-sources; true")
    yield
    node.shell(
        f"mv /root/it-sources /etc/apt/sources.list; rm -f {SOURCE} {CONFIG}; ip route del unreachable 192.0.2.1;"
        " systemctl stop it-proxy; true"
    )


def reach(node, *targets, **options):
    result = node.module("reachable", {"targets": list(targets), "timeout": 5, **options})
    assert not result["changed"]
    return {entry["name"]: (entry["ok"], entry["reason"]) for entry in result["results"]}, result


def test_ports(node):
    node.shell("ip route add unreachable 192.0.2.1")
    began = time.monotonic()
    seen, _result = reach(
        node,
        {"name": "accepted", "host": "127.0.0.1", "port": 22},
        {"name": "refused", "host": "127.0.0.1", "port": 9},
        {"host": "192.0.2.1", "port": 22},
        {"host": "db1.invalid", "port": 5432},
    )
    assert time.monotonic() - began < 30
    assert seen["accepted"] == seen["refused"] == (True, "")
    assert seen["192.0.2.1:22"] == (False, "No route to host")
    assert seen["db1.invalid:5432"][0] is False
    assert "resolved" in seen["db1.invalid:5432"][1]


def test_urls(node):
    node.shell("systemd-run --quiet --unit=it-proxy /usr/bin/python3 -m http.server 8124 --bind 127.0.0.1")
    node.shell("for _ in $(seq 50); do (: < /dev/tcp/127.0.0.1/8124) && exit 0; sleep 0.1; done; exit 1")
    secret = "http://user:canary-password@127.0.0.1:8124/not/there"
    seen, result = reach(
        node, {"url": secret}, {"url": "http://127.0.0.1:9/"}, {"name": "ssh", "url": "http://127.0.0.1:22/"}
    )
    assert seen["http://***@127.0.0.1:8124/not/there"] == (True, "")
    assert seen["http://127.0.0.1:9/"] == (False, "the connection is refused")
    assert seen["ssh"] == (False, "what answers there does not speak HTTP")
    assert "canary" not in str(result)
    said = node.ansible("mlops.stack.reachable", {"targets": [{"url": secret}]}, "-vvv")
    assert '"ok": true' in said and "canary-password" not in said


def test_a_given_proxy_is_used_and_its_password_shown_nowhere(node):
    began = node.shell("date +%s")
    node.shell("systemd-run --quiet --unit=it-proxy /usr/bin/python3 -m http.server 8124 --bind 127.0.0.1")
    node.shell("for _ in $(seq 50); do (: < /dev/tcp/127.0.0.1/8124) && exit 0; sleep 0.1; done; exit 1")
    target = "http://far.invalid/x"
    seen, result = reach(node, {"url": target}, proxies={"http": PROXY})
    assert seen == {target: (True, "")}
    assert "HEAD http://far.invalid/x" in node.shell("journalctl --unit=it-proxy")
    assert reach(node, {"url": target}, proxies={"http": PROXY, "no_proxy": "far.invalid"})[0][target][0] is False
    node.shell("systemctl stop it-proxy")
    seen, failed = reach(node, {"url": target}, proxies={"http": PROXY})
    assert seen == {target: (False, "proxy http://***@127.0.0.1:8124: the connection is refused")}
    # One without a password may be named.
    assert reach(node, {"url": target}, proxies={"http": "http://127.0.0.1:8124"})[0] == {
        target: (False, "proxy http://127.0.0.1:8124: the connection is refused")
    }
    said = node.ansible("mlops.stack.reachable", {"targets": [{"url": target}], "proxies": {"http": PROXY}}, "-vvv")
    assert "canary" not in str([result, failed]) + said
    assert "canary" not in node.shell(f"journalctl --no-pager --since=@{began}")


def test_package_sources_as_apt_gets_them(node):
    node.write(SOURCE, "Types: deb\nURIs: http://packages.invalid/debian\nSuites: trixie\nComponents: main\n")
    name = "the package source http://packages.invalid/debian"
    seen, _result = reach(node, apt_sources=True)
    assert list(seen) == [name]
    assert seen[name][0] is False and "resolved" in seen[name][1]
    node.write(CONFIG, f'Acquire::http::Proxy "{PROXY}";\n')
    seen, _result = reach(node, apt_sources=True)
    assert seen[name] == (False, "proxy http://***@127.0.0.1:8124: the connection is refused")
    node.shell("systemd-run --quiet --unit=it-proxy /usr/bin/python3 -m http.server 8124 --bind 127.0.0.1")
    node.shell("for _ in $(seq 50); do (: < /dev/tcp/127.0.0.1/8124) && exit 0; sleep 0.1; done; exit 1")
    assert reach(node, apt_sources=True)[0] == {name: (True, "")}
    assert "HEAD http://packages.invalid/debian/dists/trixie/InRelease" in node.shell("journalctl --unit=it-proxy")
    node.shell(f"echo 'Enabled: no' >> {SOURCE}")
    assert reach(node, apt_sources=True)[0] == {}
