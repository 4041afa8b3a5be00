# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import http.client
import ipaddress
import socket
import ssl
import threading

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.host import probe as probe_file
from ansible_collections.mlops.stack.plugins.module_utils.host.probe import Probe, explain
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

OK = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Server:
    """A server on loopback that says what it is told to, once for each request, over TLS after the first if wanted."""

    def __init__(self, answers, context=None, family=socket.AF_INET, address="127.0.0.1"):
        self.answers = list(answers)
        self.context = context
        self.heard = []
        self.listener = socket.socket(family)
        self.listener.bind((address, 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        try:
            connection, _address = self.listener.accept()
            connection.settimeout(10)
            for number, answer in enumerate(self.answers):
                if self.context and number == len(self.answers) - 1:
                    connection = self.context.wrap_socket(connection, server_side=True)
                self.heard.append(self._request(connection))
                connection.sendall(answer)
            connection.close()
        except OSError:
            pass

    @staticmethod
    def _request(connection):
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            more = connection.recv(4096)
            if not more:
                break
            text += more
        return text.decode()

    def close(self):
        self.listener.close()
        self.thread.join(10)


@pytest.fixture(name="serve")
def _serve():
    servers = []

    def serve(*answers, **options):
        servers.append(Server(answers, **options))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture(scope="module", name="authority")
def _authority(tmp_path_factory):
    """A certificate for 127.0.0.1, which is its own authority: its file, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return str(folder / "ca.pem"), context


@pytest.fixture(name="closed_port")
def _closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def addresses(*ends):
    return lambda _host, _port, type: [(socket.AF_INET, type, 6, "", end) for end in ends]


def unresolvable(_host, _port, type):
    raise socket.gaierror(-2, "Name or service not known")


class Silent(socket.socket):
    """A connection that no packet answers."""

    def connect(self, address):
        if address[0] == "192.0.2.1":
            raise TimeoutError("timed out")
        if address[0] == "192.0.2.2":
            raise OSError(113, "No route to host")
        super().connect(address)


@pytest.fixture(name="silence")
def _silence(monkeypatch):
    monkeypatch.setattr(probe_file.socket, "socket", Silent)


def test_a_port_that_accepts_or_refuses_is_reached(serve, closed_port):
    assert Probe(5).port("127.0.0.1", serve().port) == (True, "")
    assert Probe(5).port("127.0.0.1", closed_port) == (True, "")


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ([("192.0.2.1", 1)], "no answer within 5 s"),
        ([("192.0.2.2", 1)], "No route to host"),
        ([("192.0.2.1", 1), ("192.0.2.2", 1)], "No route to host"),
    ],
)
def test_a_port_that_is_not_reached(silence, ends, reason):
    assert Probe(5, addresses(*ends)).port("db1", 1) == (False, reason)


def test_every_address_of_a_name_is_tried(silence, closed_port):
    assert Probe(5, addresses(("192.0.2.1", 1), ("127.0.0.1", closed_port))).port("db1", 1) == (True, "")


def test_a_name_that_does_not_resolve():
    assert Probe(5, unresolvable).port("db1", 1) == (False, "its name cannot be resolved")


@pytest.mark.parametrize(("host", "port"), [("a..b", 80), ("127.0.0.1", 99999)])
def test_a_name_or_port_that_cannot_be(host, port):
    assert Probe(5).port(host, port) == (False, "there can be no such name or port")


def test_what_is_said_of_a_probe_that_does_not_end():
    probe = Probe(2.5)
    assert probe.late() == (False, "no answer within 2.5 s")
    probe.resolving = True
    assert probe.late() == (False, "its name could not be resolved within 2.5 s")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "x"), "the connection is refused"),
        (http.client.BadStatusLine("x"), "what answers there does not speak HTTP"),
        (OSError("Tunnel failed for http://u:canary@p"), "Tunnel failed for http://***@p"),
        (OSError(), "OSError"),
    ],
)
def test_reasons(error, reason):
    assert explain(error, 5) == reason


def test_any_answer_of_a_url_will_do(serve):
    server = serve(OK)
    assert Probe(5).url(f"http://user:secret@127.0.0.1:{server.port}/a/b?c=d") == (True, "")
    assert server.heard[0].startswith("HEAD /a/b?c=d HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in server.heard[0]
    assert "Authorization" not in server.heard[0]


def test_a_url_of_an_ipv6_address(serve):
    try:
        server = serve(OK, family=socket.AF_INET6, address="::1")
    except OSError:
        # No IPv6 on this machine: what is refused has gone through the same code.
        assert Probe(5).url("http://[::1]:9/")[0] is False
        return
    assert Probe(5).url(f"http://[::1]:{server.port}") == (True, "")
    assert f"Host: [::1]:{server.port}\r\n" in server.heard[0]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:99999/", "its URL, or that of its proxy, cannot be used"),
        ("ftp://127.0.0.1/", "its URL, or that of its proxy, cannot be used"),
        ("http:///path", "its URL, or that of its proxy, cannot be used"),
        ("http://127.0.0.1:9/a b", "its URL, or that of its proxy, cannot be used"),
        ("http://a..b/", "its URL, or that of its proxy, cannot be used"),
    ],
)
def test_a_url_that_cannot_be_used(url, reason, monkeypatch):
    monkeypatch.setattr(http.client.HTTPConnection, "connect", lambda self: setattr(self, "sock", socket.socket()))
    assert Probe(5).url(url) == (False, reason)


def test_a_url_where_nobody_answers(serve, closed_port):
    assert Probe(5).url(f"http://127.0.0.1:{closed_port}/") == (False, "the connection is refused")
    assert Probe(5, unresolvable).url("http://db1/") == (False, "its name cannot be resolved")
    chat = serve(b"220 mail\r\n")
    assert Probe(5).url(f"http://127.0.0.1:{chat.port}/") == (False, "what answers there does not speak HTTP")


def test_tls(serve, authority, tmp_path):
    ca_bundle, context = authority
    url = "https://127.0.0.1:%d/"
    assert Probe(5).url(url % serve(OK, context=context).port, ca_bundle=ca_bundle) == (True, "")
    ok, reason = Probe(5).url(url % serve(OK, context=context).port)
    assert (ok, reason.startswith("its certificate is not trusted: ")) == (False, True)
    assert reason.endswith("; set ca_bundle")
    for name, content in (("missing.pem", None), ("empty.pem", "")):
        if content is not None:
            (tmp_path / name).write_text(content)
        ok, reason = Probe(5).url(url % 1, ca_bundle=str(tmp_path / name))
        assert not ok
        assert reason.startswith(f"the ca_bundle {tmp_path / name} cannot be used: ")


def test_through_a_proxy(serve):
    proxy = serve(OK)
    assert Probe(5).url("http://deb.example/x", f"http://us%65r:p%40ss@127.0.0.1:{proxy.port}") == (True, "")
    assert proxy.heard[0].startswith("HEAD http://deb.example/x HTTP/1.1\r\n")
    assert "Host: deb.example\r\n" in proxy.heard[0]
    assert "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in proxy.heard[0]
    proxy = serve(OK)
    assert Probe(5).url("http://deb.example:81", f"127.0.0.1:{proxy.port}") == (True, "")
    assert proxy.heard[0].startswith("HEAD http://deb.example:81/ HTTP/1.1\r\n")
    assert "Proxy-Authorization" not in proxy.heard[0]


def test_tls_through_a_proxy(serve, authority):
    ca_bundle, context = authority
    proxy = serve(CONNECTED, OK, context=context)
    assert Probe(5).url("https://127.0.0.1/x", f"http://user@127.0.0.1:{proxy.port}", ca_bundle) == (True, "")
    assert proxy.heard[0].startswith("CONNECT 127.0.0.1:443 HTTP/1.")
    assert "Proxy-Authorization: Basic dXNlcjo=\r\n" in proxy.heard[0]
    assert proxy.heard[1].startswith("HEAD /x HTTP/1.1\r\n")


@pytest.mark.parametrize("status", [407, 502, 503, 504])
def test_a_proxy_that_does_not_get_further(serve, status):
    proxy = serve(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
    url = f"http://user:canary@127.0.0.1:{proxy.port}"
    assert Probe(5).url("http://deb.example/", url) == (
        False,
        f"proxy http://***@127.0.0.1:{proxy.port}: it answers with status {status}",
    )


def test_a_proxy_that_refuses(serve, closed_port):
    ok, reason = Probe(5).url("http://deb.example/", f"http://127.0.0.1:{closed_port}")
    assert (ok, reason) == (False, f"proxy http://127.0.0.1:{closed_port}: the connection is refused")
    proxy = serve(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    ok, reason = Probe(5).url("https://deb.example/", f"http://127.0.0.1:{proxy.port}")
    assert (ok, "403 Forbidden" in reason) == (False, True)


def test_another_kind_of_proxy_only_has_to_be_there(serve, closed_port):
    assert Probe(5).url("http://deb.example/", f"socks5h://127.0.0.1:{serve().port}") == (True, "")
    assert Probe(5).url("http://deb.example/", f"socks5h://127.0.0.1:{closed_port}")[0] is False
    assert Probe(5).url("http://deb.example/", "gopher://127.0.0.1")[0] is False
