# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.host import sources


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://user:canary@host/path", "http://***@host/path"),
        ("index https://token@host:8080 and http://u:p@w@host/", "index https://***@host:8080 and http://***@host/"),
        ("http://host/a@b", "http://host/a@b"),
        ("db1:5432", "db1:5432"),
    ],
)
def test_masked(text, expected):
    assert sources.masked(text) == expected


def test_passwords():
    urls = ["http://u:one@host/", "https://u:t:w@o@host", "http://user@host", "http://host/a:b@c", "", "http://u:@host"]
    assert sources.passwords(urls) == {"one", "t:w@o"}


def test_one_line():
    text = (
        "# deb http://off.example/debian trixie main\n"
        "deb http://deb.example/debian trixie main\n"
        "  deb-src [signed-by=/a b=c] https://deb.example/debian trixie main # why\n"
        "deb cdrom:[Debian 13]/ trixie main\n"
        "deb\n"
        "debug http://x.example y\n"
    )
    assert sources.one_line(text) == [
        ("http://deb.example/debian", "trixie"),
        ("https://deb.example/debian", "trixie"),
        ("cdrom:[Debian", "13]/"),
    ]


def test_deb822():
    text = (
        "# Debian\n"
        "Types: deb deb-src\n"
        "URIs: http://a.example/debian\n"
        "# not this: http://c.example\n"
        "  http://b.example/debian\n"
        "suites: trixie trixie-updates\n"
        "Signed-By:\n"
        " -----BEGIN PGP PUBLIC KEY BLOCK-----\n"
        " .\n"
        " xjMEZ: abc\n"
        "\n  \n"
        "Types: deb\nURIs: http://off.example/\nSuites: x\nEnabled: No\n"
        "\n"
        "Types: deb\nURIs: http://on.example/\nSuites: ./\nEnabled: yes\n"
        "\n"
        "Types: deb\nURIs: http://broken.example/\n"
        "\n"
        "Suites: x\n"
    )
    assert sources.deb822(text) == [
        ("http://a.example/debian", "trixie"),
        ("http://b.example/debian", "trixie"),
        ("http://on.example/", "./"),
    ]
    assert sources.deb822("") == []


def test_probes():
    entries = [
        ("http://a.example/debian/", "trixie"),
        ("http://a.example/debian", "trixie-updates"),
        ("https://b.example/flat", "./"),
        ("https://b.example/deep", "x/y/"),
        ("mirror+file:/etc/apt/mirrors", "trixie"),
        ("file:/srv/debian", "trixie"),
    ]
    assert sources.probes(entries) == {
        "http://a.example/debian": "http://a.example/debian/dists/trixie/InRelease",
        "https://b.example/flat": "https://b.example/flat/InRelease",
        "https://b.example/deep": "https://b.example/deep/x/y/InRelease",
    }


def test_settings():
    dump = 'Acquire "";\nAcquire::HTTP::Proxy "http://p:3128/";\nDPkg::Post-Invoke:: "rm -f \\"x\\"";\nnonsense\n'
    assert sources.settings(dump) == {
        "acquire": "",
        "acquire::http::proxy": "http://p:3128/",
        "dpkg::post-invoke::": 'rm -f \\"x\\"',
    }


HTTP, HTTPS = "http://deb.example/x", "https://deb.example/x"
BOTH = {"acquire::http::proxy": "http://h:1", "acquire::https::proxy": "http://s:1"}


@pytest.mark.parametrize(
    ("url", "config", "environment", "bypassed", "proxy"),
    [
        (HTTP, {}, {}, False, ""),
        (HTTP, BOTH, {}, False, "http://h:1"),
        (HTTPS, BOTH, {}, False, "http://s:1"),
        (HTTPS, {"acquire::http::proxy": "http://h:1"}, {"https": "http://e:1"}, False, "http://h:1"),
        (HTTP, {"acquire::https::proxy": "http://s:1"}, {}, False, ""),
        (HTTP, {**BOTH, "acquire::http::proxy::deb.example": "DIRECT"}, {"http": "http://e:1"}, False, ""),
        (HTTP, {**BOTH, "acquire::http::proxy::deb.example": "http://d:1"}, {}, False, "http://d:1"),
        (HTTP, {**BOTH, "acquire::http::proxy::other.example": "DIRECT"}, {}, False, "http://h:1"),
        (HTTP, {"acquire::http::proxy": "false"}, {"http": "http://e:1"}, False, ""),
        (HTTP, {}, {"http": "http://e:1"}, False, "http://e:1"),
        (HTTPS, {}, {"http": "http://e:1"}, False, "http://e:1"),
        (HTTPS, {}, {"http": "http://e:1", "https": "http://f:1"}, False, "http://f:1"),
        (HTTP, BOTH, {}, True, ""),
        ("http:///x", {}, {}, False, ""),
    ],
)
def test_apt_proxy(url, config, environment, bypassed, proxy):
    assert sources.apt_proxy(url, config, environment, lambda host: bypassed) == proxy


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ({}, None),
        ({"acquire::http::proxy-auto-detect": "/usr/bin/find-proxy"}, "/usr/bin/find-proxy"),
        ({"acquire::http::proxyautodetect": "/usr/bin/find-proxy"}, "/usr/bin/find-proxy"),
        ({"acquire::http::proxy-auto-detect": ""}, None),
    ],
)
def test_proxy_finder(config, command):
    assert sources.proxy_finder(config) == command
