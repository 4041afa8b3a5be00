# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud that says what a real one said: a stand-in for OpenStack's API, on loopback, from recorded answers.

The answers are those of the services of tests/openstack to the inventory of a lease with two servers; record.py there
writes them. A question that was not recorded is answered with 404 and is kept, so that a test can tell.
"""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import pathlib
import threading
import uuid

ANSWERS = pathlib.Path(__file__).with_name("cloud") / "inventory.json"
#: What stands in the answers for the place where they are served.
BASE = "@BASE@"
SERVERS = "servers/detail"


class RecordedCloud:
    """Recorded answers, and what was asked that they do not hold."""

    def __init__(self, answers):
        self.answers = answers
        self.strange = []
        self.url = ""

    @classmethod
    def load(cls):
        """The answers as they were recorded."""
        return cls(json.loads(ANSWERS.read_text(encoding="utf-8")))

    def key_of(self, path):
        """The recorded question of a path that ends so."""
        (found,) = [key for key in self.answers if path in key]
        return found

    @property
    def servers(self):
        """The servers, to be changed before they are served."""
        return self.answers[self.key_of(SERVERS)]["body"]["servers"]

    def add(self, name, **changes):
        """Have one more server, as the recorded one without a floating IP, under a name of its own."""
        (like,) = [server for server in self.servers if server["name"] == "mlops-2"]
        number = len(self.servers) + 1
        own = {"id": str(uuid.UUID(int=number)), "name": name, "hostname": name}
        self.servers.append(copy.deepcopy(like) | own | changes)

    def answer(self, method, path):
        """Status, headers and text for a question."""
        found = self.answers.get("%s %s" % (method, path))
        if found is None:
            self.strange.append("%s %s" % (method, path))
            return 404, {}, "{}"
        return found["status"], found["headers"], json.dumps(found["body"]).replace(BASE, self.url)

    @contextlib.contextmanager
    def serve(self):
        """Serve the answers on a free port, for as long as the block runs."""
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(self)) as server:
            self.url = "http://127.0.0.1:%d" % server.server_port
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def write_clouds(self, path, name="openstack"):
        """Write a clouds.yaml by which the cloud is found."""
        auth = {
            "auth_url": "%s/5000/v3" % self.url,
            "application_credential_id": "recorded",
            "application_credential_secret": "recorded",
        }
        entry = {"auth_type": "v3applicationcredential", "auth": auth, "region_name": "CHI@UC"}
        path.write_text(json.dumps({"clouds": {name: entry}}), encoding="utf-8")


def handler(cloud):
    """What answers one connection."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body of an answer are two packets, the second of which would wait for the client.
        disable_nagle_algorithm = True

        def respond(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, text = cloud.answer(self.command, self.path)
            body = text.encode("utf-8")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = respond

        def log_message(self, *_arguments):
            """Say nothing."""

    return Handler
