# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy in front of a store that makes its faults: busy answers, delay, lost connections, TLS of the wrong kind."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import http.server
import ipaddress
import random
import ssl
import threading
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Proxy(http.server.ThreadingHTTPServer):
    """Forwards requests to a store. ``busy`` and ``loss`` are shares of the requests, ``delay`` is in seconds.

    ``before`` is called with each request's method and path before it is forwarded.
    """

    daemon_threads = True

    def __init__(self, target, busy=0.0, delay=0.0, loss=0.0, context=None, before=None, seed=1):
        self.target = urllib.parse.urlsplit(target).netloc
        self.busy = busy
        self.delay = delay
        self.loss = loss
        self.before = before
        self.random = random.Random(seed)
        self.requests = []
        super().__init__(("127.0.0.1", 0), Handler)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client or a store that went away is what these tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    log_request = staticmethod(lambda *_args: None)

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server = self.server
        server.requests.append((self.command, self.path))
        if server.before:
            server.before(self.command, self.path)
        time.sleep(server.delay)
        if server.random.random() < server.loss:
            self.close_connection = True
            return
        if server.random.random() < server.busy:
            self.answer(503, [], b"<Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>")
            return
        store = http.client.HTTPConnection(server.target, timeout=120)
        with contextlib.closing(store):
            # The signature covers the host that the client asked.
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect", "transfer-encoding"):
                    store.putheader(name, value)
            store.endheaders(body or None)
            answer = store.getresponse()
            self.answer(answer.status, answer.getheaders(), answer.read())

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = forward


@contextlib.contextmanager
def proxy(target, **options):
    """A running Proxy."""
    server = Proxy(target, **options)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder, days=1):
    """A self-signed certificate for loopback that ends in so many days: (its file, a server's TLS context)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"loopback {days}")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"loopback{days}.pem"
    key_file = folder / f"loopback{days}.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return file, context
