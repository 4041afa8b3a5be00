# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import http.client
import http.server
import json
import socket
import ssl
import threading

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import rest


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the test says, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    answers: list = []
    asked: list = []

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        login = base64.b64decode(self.headers["Authorization"].partition(" ")[2]).decode()
        Handler.asked.append((self.command, self.path, login, json.loads(body) if body else None))
        status, text = Handler.answers.pop(0)
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, format, *args):
        pass


@pytest.fixture(name="server")
def fixture_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Handler.asked = []
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(name="users")
def fixture_users(server):
    client = rest.Client("http://127.0.0.1:%d/prefix/" % server.server_port)
    yield rest.Users(client, "admin", "a:d%m")
    client.close()


def test_calls(users):
    Handler.answers = [(200, "{}")] * 6
    users.create("c", "p")
    users.set_password("c", "p")
    users.set_admin("c", True)
    users.delete("c")
    users.grant("c", "experiment", "0", "EDIT")
    users.revoke("c", "experiment", "0")
    assert [(one[0], one[1].rpartition("mlflow/")[2], one[3]) for one in Handler.asked] == [
        ("POST", "users/create", {"username": "c", "password": "p"}),
        ("PATCH", "users/update-password", {"username": "c", "password": "p"}),
        ("PATCH", "users/update-admin", {"username": "c", "is_admin": True}),
        ("DELETE", "users/delete", {"username": "c"}),
        (
            "POST",
            "users/permissions/grant",
            {"username": "c", "resource_type": "experiment", "resource_id": "0", "permission": "EDIT"},
        ),
        ("POST", "users/permissions/revoke", {"username": "c", "resource_type": "experiment", "resource_id": "0"}),
    ]
    assert {one[2] for one in Handler.asked} == {"admin:a:d%m"}
    assert Handler.asked[0][1] == "/prefix/api/2.0/mlflow/users/create"


def test_accepts(users):
    Handler.answers = [(200, "{}"), (401, "You are not authenticated."), (500, "")]
    assert users.accepts("c", "p") is True
    assert users.accepts("c", "q") is False
    with pytest.raises(rest.Refused, match="no reason given") as caught:
        users.accepts("c", "p")
    assert caught.value.status == 500
    assert Handler.asked[1][2] == "c:q"


def test_experiment_id(users):
    missing = '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}'
    Handler.answers = [(200, '{"experiment": {"experiment_id": "7"}}'), (404, missing), (403, "Permission denied")]
    assert users.experiment_id("a b") == "7"
    assert users.experiment_id("x") is None
    with pytest.raises(rest.Refused, match="Permission denied"):
        users.experiment_id("x")
    assert Handler.asked[0][1].endswith("get-by-name?experiment_name=a+b")


def test_listed(users):
    roles = [
        {
            "name": "__user_2__",
            "permissions": [{"resource_type": "experiment", "resource_pattern": "0", "permission": "EDIT"}],
        },
        {
            "name": "team",
            "permissions": [{"resource_type": "experiment", "resource_pattern": "*", "permission": "READ"}],
        },
        {"name": "__user_2__", "permissions": None},
    ]
    Handler.answers = [
        (
            200,
            json.dumps(
                {
                    "users": [
                        {"id": 1, "username": "admin", "is_admin": True},
                        {"id": 2, "username": "c", "is_admin": False, "roles": roles},
                    ]
                }
            ),
        )
    ]
    assert users.listed() == {
        "admin": {"admin": True, "grants": {}},
        "c": {"admin": False, "grants": {("experiment", "0"): "EDIT"}},
    }


def test_what_is_not_mlflow(users):
    Handler.answers = [(200, "<html>")]
    with pytest.raises(rest.Unreachable, match="does not answer as MLflow does"):
        users.listed()


def test_nothing_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        client = rest.Client("http://127.0.0.1:%d" % probe.getsockname()[1])
        with pytest.raises(rest.Unreachable, match="nothing listens at 127.0.0.1"):
            client.request(("a", "b"), "GET", "/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h",
        "h:5000",
        "http://",
        "http://h:port",
        "http://u:p@h",
        "http://h:99999",
    ],
)
def test_refused_urls(url):
    with pytest.raises(ValueError, match="http://HOST:PORT"):
        rest.Client(url)


def test_ports():
    assert rest.Client("http://h").port == 80
    client = rest.Client("https://h/x/")
    assert (client.port, client.prefix, client.url) == (443, "/x", "https://h/x")
    assert isinstance(client.connection, http.client.HTTPSConnection)
    with pytest.raises(OSError, match="No such file"):
        rest.Client("https://h", "/no/such/bundle.pem")


def untrusted():
    error = ssl.SSLCertVerificationError(1, "bad")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    "error, words",
    [
        (untrusted(), "not trusted .self-signed certificate.*ca_bundle"),
        (ssl.SSLError(1, "wrong"), "TLS connection fails"),
        (socket.gaierror(-2, "x"), "name h does not resolve"),
        (ConnectionRefusedError(), "nothing listens at h port 1"),
        (TimeoutError(), "does not answer in time"),
        (http.client.BadStatusLine("x"), "does not speak HTTP"),
        (OSError(113, "No route to host"), "No route to host; check the network"),
        (OSError("odd"), "odd; check the network"),
    ],
)
def test_explain(error, words):
    import re

    assert re.search(words, rest.explain(error, "h", 1))
