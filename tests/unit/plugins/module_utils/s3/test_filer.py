# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import ssl
import threading

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.s3.filer import Filer, FilerError, owner, token


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def entry(name, **extended):
    return {"FullPath": f"/buckets/{name}", "Extended": {key: encoded(value) for key, value in extended.items()}}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        status, body = self.server.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_request(self, *_details):
        """Quiet."""


@pytest.fixture
def server():
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        running.answers = []
        running.seen = []
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.mark.parametrize(
    ("extended", "names"),
    [
        (None, set()),
        ({}, set()),
        ({"Seaweed-X-Amz-Acl": encoded("x")}, set()),
        ({"Seaweed-X-Amz-Owner": encoded("account"), "s3-identity-id": encoded("ann")}, {"account", "ann"}),
        ({"s3-identity-id": encoded("ann")}, {"ann"}),
    ],
)
def test_owner(extended, names):
    assert owner({"Extended": extended}) == names


def test_token_is_a_signed_short_lived_claim():
    header, claims, signature = token("key", 1000.5).split(".")
    signed = hmac.new(b"key", f"{header}.{claims}".encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == signed
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(base64.urlsafe_b64decode(claims + "==")) == {"exp": 1060}


def test_owners_reads_all_pages(server):
    server.answers = [
        (
            200,
            {
                "Entries": [entry("a", **{"s3-identity-id": "ann"}), {"FullPath": "/buckets/b", "Extended": None}],
                "ShouldDisplayLoadMore": True,
                "LastFileName": "b",
            },
        ),
        (200, {"Entries": None, "ShouldDisplayLoadMore": False}),
    ]
    assert Filer(server.url + "/").owners() == {"a": {"ann"}, "b": set()}
    assert [path for path, _key in server.seen] == [
        "/buckets/?limit=10000&lastFileName=",
        "/buckets/?limit=10000&lastFileName=b",
    ]


def test_owner_of_one_bucket_with_a_key(server):
    server.answers = [(200, entry("a", **{"s3-identity-id": "ann"}))]
    assert Filer(server.url, "key", clock=lambda: 1.0).owner("a") == {"ann"}
    assert server.seen == [("/buckets/a?metadata=true", "Bearer " + token("key", 1))]


@pytest.mark.parametrize(
    ("answer", "says"),
    [((401, {}), "filer_key"), ((404, {}), "answered 404"), ((200, b"<html>"), "did not answer as a filer")],
)
def test_answers_that_are_no_filers(server, answer, says):
    server.answers = [answer]
    with pytest.raises(FilerError, match=says):
        Filer(server.url).owners()


def test_nobody_there(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(FilerError, match="did not answer"):
        Filer(server.url).owners()


def test_https_is_checked(server):
    filer = Filer(server.url.replace("http:", "https:"))
    assert filer.context.verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(FilerError, match="did not answer"):
        filer.owner("a")
