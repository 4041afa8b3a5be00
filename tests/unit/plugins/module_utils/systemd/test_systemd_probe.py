# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
import time

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result
from ansible_collections.mlops.stack.plugins.module_utils.systemd import probe


class Handler(http.server.BaseHTTPRequestHandler):
    seen = []
    hosts = []

    def do_GET(self):
        self.seen.append(self.path)
        self.hosts.append(self.headers["Host"])
        status = self.path.split("/")[1]
        self.send_response(int(status) if status.isdigit() else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(name="port")
def _port(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def closed_port():
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        return spare.getsockname()[1]


@pytest.mark.parametrize(
    "path, statuses, healthy, seen",
    [
        ("", [200], True, "status 200"),
        ("/503/x", [200], False, "status 503"),
        ("/302/x?y=z", [302], True, "status 302"),
        ("/302/x?y=z#part", [302], True, "status 302"),
        ("?y=z", [200], True, "status 200"),
    ],
)
def test_url(port, path, statuses, healthy, seen):
    assert probe.url("http://127.0.0.1:%d%s" % (port, path), statuses) == (healthy, seen)
    assert Handler.seen[-1] == {"": "/", "?y=z": "/?y=z"}.get(path, path.partition("#")[0])
    assert Handler.hosts[-1] == "127.0.0.1:%d" % port


def test_url_without_a_server():
    assert probe.url("http://127.0.0.1:%d/" % closed_port(), [200]) == (False, "Connection refused")


@pytest.mark.parametrize(
    "parts, healthy, words",
    [
        ([b"no http\n"], False, "no http"),
        ([], False, "no HTTP: nothing"),
        ([b"HTTP/1.1 2", b"00 OK\r\nX: y\r\n\r\n"], True, "status 200"),
        ([b"HTTP/1.1 2000 no status\r\n"], False, "no HTTP: HTTP/1.1 2000"),
        ([b"x" * 5000], False, "no HTTP: xxx"),
    ],
)
def test_url_with_an_odd_answer(parts, healthy, words):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with contextlib.closing(server.accept()[0]) as connection:
                connection.recv(1000)
                for part in parts:
                    connection.sendall(part)
                    time.sleep(0.05)

        thread = threading.Thread(target=answer)
        thread.start()
        found, seen = probe.url("http://u:p@127.0.0.1:%d/" % server.getsockname()[1], [200])
        thread.join()
    assert found is healthy and words in seen


@pytest.mark.parametrize("port, place", [(80, "http://[::1]/health"), (443, "https://[::1]/health")])
def test_url_of_ipv6_and_the_port_of_its_scheme(monkeypatch, port, place):
    asked = []

    def connect(address, timeout):
        asked.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(probe.socket, "create_connection", connect)
    assert probe.url(place, [200]) == (False, "Connection refused")
    assert asked == [("::1", port)]


def test_no_url():
    assert probe.url("ftp://127.0.0.1/", [200]) == (False, "it is no URL")


def test_https_is_verified(port):
    healthy, seen = probe.url("https://127.0.0.1:%d/" % port, [200])
    assert not healthy and seen
    assert "SSL" in seen or "wrong version" in seen.lower()
    with pytest.raises(FileNotFoundError):
        ssl.create_default_context(cafile="/nowhere.pem")
    assert probe.url("https://127.0.0.1:%d/" % port, [200], "/nowhere.pem") == (
        False,
        "/nowhere.pem: No such file or directory",
    )


def test_tcp():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert probe.tcp("127.0.0.1:%d" % server.getsockname()[1]) == (True, "connected")
    assert probe.tcp("[127.0.0.1]:%d" % closed_port()) == (False, "Connection refused")


@pytest.mark.parametrize(
    "result, healthy, seen",
    [
        (Result(0, "", "", False, 0), True, "exit status 0"),
        (Result(2, "", "one\nno answer\n", False, 0), False, "exit status 2: no answer"),
        (Result(-9, "", "", True, 0), False, "it took longer than 5 s"),
    ],
)
def test_command(result, healthy, seen):
    assert probe.command(["x"], lambda argv, timeout: result) == (healthy, seen)


def test_the_reason_of_an_error_is_never_empty():
    assert probe.reason(OSError(5, "bad")) == "bad"
    assert probe.reason(OSError("odd")) == "odd"
    assert probe.reason(TimeoutError()) == "TimeoutError"


def test_check_asks_as_told(port):
    assert probe.check({"url": "http://127.0.0.1:%d/" % port, "status": [200]}, None)[0]
    assert probe.check({"tcp": "127.0.0.1:%d" % port}, None)[0]
    assert probe.check({"command": ["x"]}, lambda argv, timeout: Result(0, "", "", False, 0))[0]


@pytest.mark.parametrize(
    "health, text",
    [
        ({"url": "http://h/"}, "http://h/"),
        ({"tcp": "h:1"}, "h:1"),
        ({"command": ["a", "b"]}, "the command 'a b'"),
    ],
)
def test_target_of(health, text):
    assert probe.target_of(health) == text
