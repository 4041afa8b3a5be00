# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.host import reach
from ansible_collections.mlops.stack.plugins.module_utils.host.read import Host
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result

TARGET = {"name": None, "host": None, "port": None, "url": None}


class Recorder:
    """A probe that remembers what it was asked."""

    def __init__(self, timeout=1):
        self.timeout = timeout
        self.asked = []

    def port(self, *arguments):
        self.asked.append(arguments)
        return True, ""

    url = port

    @staticmethod
    def late():
        return False, "late"


def asked(questions):
    probe = Recorder()
    for _name, question in questions:
        question(probe)
    return probe.asked


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_targets(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://p:3128")
    monkeypatch.setenv("no_proxy", "inside.example,.local.example")
    targets = [
        {**TARGET, "name": "PostgreSQL of db1", "host": "192.0.2.1", "port": 5432},
        {**TARGET, "host": "db1", "port": 22},
        {**TARGET, "url": "https://out.example/x"},
        {**TARGET, "url": "https://u:p@inside.example:8443/x"},
        {**TARGET, "url": "https://a.local.example"},
        {**TARGET, "name": "the index", "url": "http://out.example/x"},
    ]
    questions = reach.target_questions(targets, "/ca.pem", reach.proxies_in_force(None))
    assert [name for name, _question in questions] == [
        "PostgreSQL of db1",
        "db1:22",
        "https://out.example/x",
        "https://u:p@inside.example:8443/x",
        "https://a.local.example",
        "the index",
    ]
    assert asked(questions) == [
        ("192.0.2.1", 5432),
        ("db1", 22),
        ("https://out.example/x", "http://p:3128", "/ca.pem"),
        ("https://u:p@inside.example:8443/x", "", "/ca.pem"),
        ("https://a.local.example", "", "/ca.pem"),
        ("http://out.example/x", "", "/ca.pem"),
    ]


@pytest.mark.parametrize(
    ("given", "proxies"),
    [
        (None, {"http": "http://e:1", "no": "a.example"}),
        (
            {"http": None, "https": "http://u:p@q:2"},
            {"http": "http://e:1", "https": "http://u:p@q:2", "no": "a.example"},
        ),
        ({"http": "http://p:1", "no_proxy": "b.example"}, {"http": "http://p:1", "no": "b.example"}),
    ],
)
def test_given_proxies_win_over_those_of_the_environment(monkeypatch, given, proxies):
    monkeypatch.setenv("http_proxy", "http://e:1")
    monkeypatch.setenv("no_proxy", "a.example")
    assert reach.proxies_in_force(given) == proxies


@pytest.fixture(name="apt")
def _apt(tmp_path):
    """Package sources in a folder; call it with the files' texts, and what apt-config and a proxy finder say."""

    def questions(files, dump="", found=""):
        parts = tmp_path / "etc/apt/sources.list.d"
        parts.mkdir(parents=True)
        for name, text in files.items():
            (parts / name).write_text(text)
        commands = []

        def command(argv, timeout):
            commands.append(argv)
            return Result(0, dump if argv[0] == "apt-config" else found, "", False, 0.0)

        return reach.source_questions(Host(str(tmp_path)), "/ca.pem", reach.proxies_in_force({}), command), commands

    return questions


DEB822 = "Types: deb\nURIs: https://b.example/debian\nSuites: trixie\n"


def test_package_sources(apt, tmp_path):
    questions, commands = apt(
        {
            "../sources.list": "deb http://a.example/debian trixie main\n",
            "a.list": "deb http://a.example/debian trixie-updates main\ndeb http://c.example/x trixie main\n",
            "b.sources": DEB822,
            "c.list.save": "deb http://old.example/debian trixie main\n",
        },
        'Acquire::http::Proxy "http://p:3128";\nAcquire::http::Proxy::c.example "DIRECT";\n'
        'Acquire::https::CaInfo "/apt.pem";\n',
    )
    assert [name for name, _question in questions] == [
        "the package source http://a.example/debian",
        "the package source http://c.example/x",
        "the package source https://b.example/debian",
    ]
    assert asked(questions) == [
        ("http://a.example/debian/dists/trixie/InRelease", "http://p:3128", "/apt.pem"),
        ("http://c.example/x/dists/trixie/InRelease", "", "/apt.pem"),
        ("https://b.example/debian/dists/trixie/InRelease", "http://p:3128", "/apt.pem"),
    ]
    assert commands == [["apt-config", "dump"]]


def test_package_sources_and_the_environment(apt, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://e:1")
    monkeypatch.setenv("no_proxy", "inside.example")
    questions, _commands = apt({"a.list": "deb http://a.example x y\ndeb http://inside.example x y\n"})
    assert asked(questions) == [
        ("http://a.example/dists/x/InRelease", "http://e:1", "/ca.pem"),
        ("http://inside.example/dists/x/InRelease", "", "/ca.pem"),
    ]


@pytest.mark.parametrize(
    ("found", "proxy"), [("http://f:1\n", "http://f:1"), ("DIRECT\n", ""), ("", "http://p:1"), ("\n", "http://p:1")]
)
def test_package_sources_and_a_proxy_finder(apt, found, proxy):
    dump = 'Acquire::http::Proxy-Auto-Detect "/bin/find";\nAcquire::http::Proxy "http://p:1";\n'
    questions, commands = apt({"b.sources": DEB822}, dump, found)
    assert asked(questions) == [("https://b.example/debian/dists/trixie/InRelease", proxy, "/ca.pem")]
    assert commands[1] == ["/bin/find", "https://b.example/debian"]


def test_no_package_sources(apt):
    assert apt({"a.list": "deb file:/srv/debian x y\n"}) == ([], [])


def test_all_are_asked_side_by_side_and_none_is_waited_for_too_long(monkeypatch):
    monkeypatch.setattr(reach, "GRACE_SECONDS", 0.1)
    together = threading.Barrier(3)
    forever = threading.Event()

    def meet(ok, reason):
        def question(_probe):
            together.wait(5)
            return ok, reason

        return question

    def hang(_probe):
        together.wait(5)
        forever.wait(30)
        return True, ""

    began = time.monotonic()
    questions = [("a", meet(True, "")), ("http://u:canary@b", meet(False, "refused")), ("c", hang)]
    results = reach.ask(questions, 0.5, Recorder)
    assert time.monotonic() - began < 5
    forever.set()
    assert [(entry["name"], entry["ok"], entry["reason"]) for entry in results] == [
        ("a", True, ""),
        ("http://***@b", False, "refused"),
        ("c", False, "late"),
    ]
    assert results[0]["seconds"] < results[2]["seconds"]


def test_nothing_to_ask():
    assert reach.ask([], 1) == []
