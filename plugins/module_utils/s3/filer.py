# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who owns which bucket folder, read from SeaweedFS's filer, since its S3 interface does not tell an ownerless one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import ssl
import time
import urllib.parse

OWNER_KEYS = ("Seaweed-X-Amz-Owner", "s3-identity-id")
PAGE = 10000
TOKEN_SECONDS = 60
TIMEOUT = 10


class FilerError(Exception):
    """The filer did not answer as a filer does."""


def _part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(key, now):
    """A short-lived token as SeaweedFS's jwt.filer_signing.read wants it."""
    header = _part(json.dumps({"alg": "HS256", "typ": "JWT"}, separators=(",", ":")).encode())
    claims = _part(json.dumps({"exp": int(now) + TOKEN_SECONDS}, separators=(",", ":")).encode())
    signed = header + b"." + claims
    return (signed + b"." + _part(hmac.new(key.encode(), signed, hashlib.sha256).digest())).decode()


def owner(entry):
    """The owner that a folder's entry names, as account and as identity. Nobody's folder names none."""
    extended = entry.get("Extended") or {}
    return {base64.b64decode(extended[name]).decode() for name in OWNER_KEYS if extended.get(name)}


class Filer:
    """The read-only part of a filer's HTTP interface that tells a bucket's owner."""

    def __init__(self, url, key=None, ca_bundle=None, clock=time.time):
        self.url = url.rstrip("/")
        self.key = key
        self.clock = clock
        self.context = None
        if url.startswith("https:"):
            self.context = ssl.create_default_context(cafile=ca_bundle)

    def _connection(self):
        parts = urllib.parse.urlsplit(self.url)
        if self.context is not None:
            return http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT, context=self.context), parts.path
        return http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT), parts.path

    def _get(self, path, query):
        headers = {"Accept": "application/json"}
        if self.key:
            headers["Authorization"] = "Bearer " + token(self.key, self.clock())
        connection, base = self._connection()
        try:
            connection.request("GET", f"{base}{path}?{urllib.parse.urlencode(query)}", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                hint = ": set filer_key to the value of jwt.filer_signing.read" if answer.status == 401 else ""
                raise FilerError(f"answered {answer.status}{hint}")
            return json.loads(body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FilerError(f"did not answer as a filer does ({error})") from error
        finally:
            connection.close()

    def owners(self):
        """All bucket folders, each with the names of its owner."""
        found = {}
        last = ""
        while True:
            page = self._get("/buckets/", {"limit": PAGE, "lastFileName": last})
            for entry in page.get("Entries") or []:
                found[entry["FullPath"].rsplit("/", 1)[-1]] = owner(entry)
            last = page.get("LastFileName")
            if not (page.get("ShouldDisplayLoadMore") and last):
                return found

    def owner(self, name):
        """The names of one bucket folder's owner."""
        return owner(self._get("/buckets/" + urllib.parse.quote(name), {"metadata": "true"}))
