# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP proxy that wants a user and a password, for as long as a test runs."""

from __future__ import annotations

import base64
import http.client
import http.server
import select
import socket
import threading
import urllib.parse

CHUNK = 1 << 16
PATIENCE = 120


class Proxy:
    """Listens on one address; C(asked) holds the hosts it was asked for with the right password."""

    def __init__(self, address, login):
        self.login = "Basic " + base64.b64encode(login.encode()).decode()
        self.asked = []
        self.refused = 0
        handler = type("Handler", (Handler,), {"proxy": self})
        self.server = http.server.ThreadingHTTPServer((address, 0), handler)
        self.place = "%s:%d" % self.server.server_address[:2]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    proxy = None
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def allowed(self, host):
        """Whether the request carries the login; without it, it is answered here."""
        if self.headers.get("Proxy-Authorization") == self.proxy.login:
            self.proxy.asked.append(host)
            return True
        self.proxy.refused += 1
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_CONNECT(self):
        host, _colon, port = self.path.rpartition(":")
        if not self.allowed(host):
            return
        self.close_connection = True
        try:
            far = socket.create_connection((host, int(port)), PATIENCE)
        except OSError:
            self.send_error(502)
            return
        with far:
            self.send_response(200)
            self.end_headers()
            self.pass_on(far)

    def pass_on(self, far):
        pair = {self.connection: far, far: self.connection}
        while True:
            ready, _writable, _odd = select.select(list(pair), [], [], PATIENCE)
            for end in ready:
                data = end.recv(CHUNK)
                if not data:
                    return
                pair[end].sendall(data)
            if not ready:
                return

    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path)
        if not self.allowed(parts.hostname):
            return
        self.close_connection = True
        kept = {
            name: value for name, value in self.headers.items() if not name.lower().startswith(("proxy-", "connec"))
        }
        far = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
        try:
            far.request(self.command, urllib.parse.urlunsplit(("", "", parts.path, parts.query, "")), headers=kept)
            answer = far.getresponse()
        except OSError:
            self.send_error(502)
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "keep-alive"):
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        while data := answer.read(CHUNK):
            self.wfile.write(data)
        far.close()

    do_HEAD = do_GET

    def log_message(self, *arguments):
        """Say nothing."""
