# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HTTP server on loopback stands in for a cloud's metadata service; the interfaces are this machine's."""

from __future__ import annotations

import http.server
import threading

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.address.read import Reader

LOOPBACK = (
    "00000000000000000000000000000001 01 80 10 80       lo\n20010db8000000000000000000000007 02 40 00 80     eth7\n"
)


@pytest.fixture
def service():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/public-ipv4":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"192.0.2.7\n")
            else:
                self.send_error(404)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield "http://127.0.0.1:%d" % server.server_port
        server.shutdown()
        thread.join()


def reader(address="192.0.2.9", **settings):
    return Reader(lambda: address, **settings)


def test_metadata(service):
    assert reader().metadata(service + "/public-ipv4", 2) == ("192.0.2.7\n", None)


def test_metadata_of_another_cloud(service):
    url = service + "/nothing"
    assert reader().metadata(url, 2) == ("", "the metadata service at %s answers with status 404" % url)


def test_no_metadata(service):
    url = "http://127.0.0.1:1/public-ipv4"
    answer, why = reader().metadata(url, 2)
    assert (answer, why.partition(" (")[0]) == ("", "there is no metadata service at %s" % url)


def test_interfaces(tmp_path):
    table = tmp_path / "if_inet6"
    table.write_text(LOOPBACK)
    assert reader(if_inet6=str(table)).interface("lo") == ["127.0.0.1", "::1"]
    assert reader(if_inet6=str(tmp_path / "none")).interface("lo") == ["127.0.0.1"]
    assert reader().interface("no-such-0") is None
    assert reader().interface(None) == ["192.0.2.9"]
    assert reader(None).interface(None) == []


def test_an_interface_without_ipv4():
    assert reader()._ipv4("no-such-0") == []


@pytest.mark.parametrize(
    ("order", "address", "source"),
    [
        (["metadata", "inventory"], "192.0.2.7", "metadata"),
        (["inventory", "metadata"], "ml1.example.org", "inventory"),
        (["interface"], "192.0.2.9", "interface"),
    ],
)
def test_public(service, order, address, source):
    found = reader().public(order, address="ml1.example.org", metadata_url=service + "/public-ipv4")
    assert (found["address"], found["source"]) == (address, source)
