# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real SeaweedFS on loopback, stand-ins for what it cannot be made to do, and the module run as Ansible runs it."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import uuid

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mlops.stack.plugins.modules import s3_bucket
from seaweedfs import FILER_KEY, Weed, running, secret

CLONE = pathlib.Path(__file__).resolve().parents[3]
MODULE = CLONE / "plugins" / "modules" / "s3_bucket.py"


@pytest.fixture(scope="session")
def weed():
    with tempfile.TemporaryDirectory(prefix="mlops-stack-s3-") as folder, running(folder) as store:
        yield store


@pytest.fixture
def late_weed(tmp_path):
    """A store that has not been started yet."""
    store = Weed(tmp_path)
    yield store
    store.stop()


@pytest.fixture
def s3(weed):
    return weed.client()


@pytest.fixture
def bucket():
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:16]}"


class Module:
    """Runs the module with its options as Ansible gives them, here or in a process of its own."""

    def __init__(self, weed):
        self.weed = weed

    def _arguments(self, name, check=False, identity="admin", **options):
        arguments = {
            "name": name,
            "endpoint_url": self.weed.url,
            "access_key": f"{identity}-key",
            "secret_key": secret(identity),
            "wait_timeout": 20,
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            **options,
        }
        return {key: value for key, value in arguments.items() if value is not None}

    def start(self, name, **options):
        """A process of its own, which goes on while the test does something else."""
        process = subprocess.Popen(
            [sys.executable, str(MODULE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": self._arguments(name, **options)}))
        process.stdin.close()
        process.stdin = None
        return process

    def finish(self, process):
        output, errors = process.communicate(timeout=120)
        return self._result(output, errors)

    def _result(self, output, errors=""):
        assert "canary" not in output + errors
        assert output.strip().startswith("{"), output + errors
        return json.loads(output)

    def __call__(self, name, **options):
        output = io.StringIO()
        with (
            patch_module_args(self._arguments(name, **options)),
            contextlib.redirect_stdout(output),
            pytest.raises(SystemExit),
        ):
            s3_bucket.main()
        return self._result(output.getvalue())

    def stages(self, name, **options):
        """Check mode, the change, and the same again: what they gave, after asserting that they agree."""
        checked = self(name, check=True, **options)
        applied = self(name, **options)
        repeated = self(name, **options)
        for result in (checked, applied, repeated):
            assert not result.get("failed"), result["msg"]
        assert (checked["changed"], applied["changed"], repeated["changed"]) == (True, True, False)
        assert checked["diff"] == applied["diff"]
        assert repeated["diff"] == {"before": {}, "after": {}}
        return applied


@pytest.fixture
def module(weed, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    return Module(weed)


@pytest.fixture
def filer(weed):
    return {"filer_url": weed.filer_url, "filer_key": FILER_KEY}


class StandIn(http.server.ThreadingHTTPServer):
    """An HTTP server that stands in for an S3 store without bucket policies, which may also be busy at first."""

    daemon_threads = True

    def __init__(self, busy=0, context=None):
        self.buckets = set()
        self.busy = busy
        self.requests = []
        super().__init__(("127.0.0.1", 0), StandInHandler)
        scheme = "http"
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client that turned away from a certificate is no error."""


class StandInHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    log_request = staticmethod(lambda *_args: None)

    def answer(self, status, body=""):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Message>stand-in says so</Message></Error>")

    def handle_any(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _mark, query = self.path.partition("?")
        name = path.strip("/")
        self.server.requests.append((self.command, path, query))
        if self.server.busy > 0:
            self.server.busy -= 1
            self.error(503, "SlowDown")
        elif "policy" in query:
            self.error(501, "NotImplemented")
        elif self.command == "GET" and not name:
            listed = "".join(f"<Bucket><Name>{item}</Name></Bucket>" for item in sorted(self.server.buckets))
            self.answer(
                200,
                "<ListAllMyBucketsResult><Owner><ID>me</ID></Owner>"
                f"<Buckets>{listed}</Buckets></ListAllMyBucketsResult>",
            )
        elif self.command == "GET" and "acl" in query:
            self.answer(200, "<AccessControlPolicy><Owner><ID>me</ID></Owner></AccessControlPolicy>")
        elif self.command == "PUT" and not query:
            self.server.buckets.add(name)
            self.answer(200)
        else:
            self.error(501, "NotImplemented")

    do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = handle_any


@pytest.fixture
def stand_in():
    with contextlib.ExitStack() as stack:

        def start(**options):
            server = StandIn(**options)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        yield start
