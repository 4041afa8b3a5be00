# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of MLflow's REST API: one kept connection, basic authentication, no third-party library."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from urllib.parse import urlencode, urlsplit


class Unreachable(Exception):
    """The server does not answer; the text says why and what to check."""


class Refused(Exception):
    """The server answers, and says no."""

    def __init__(self, text, status, code=None):
        super().__init__(text)
        self.status = status
        self.code = code


def basic(username, password):
    pair = ("%s:%s" % (username, password)).encode("utf-8")
    return "Basic " + base64.b64encode(pair).decode("ascii")


def explain(error, host, port):
    """Why a connection failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted (%s); name the CA that signed it in ca_bundle" % error.verify_message
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or error
        return "the TLS connection fails (%s); check that the server speaks TLS at this port" % reason
    if isinstance(error, socket.gaierror):
        return "the name %s does not resolve; check the name and this host's DNS" % host
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens at %s port %d; check that the server runs and where it listens" % (host, port)
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "%s port %d does not answer in time; check that the server is well and the firewalls" % (host, port)
    if isinstance(error, http.client.HTTPException):
        return "what listens at %s port %d does not speak HTTP; check the URL" % (host, port)
    return "%s; check the network" % (getattr(error, "strerror", None) or error)


def refusal(body):
    """The server's own words, and MLflow's error code where it gave one."""
    try:
        answer = json.loads(body)
        return str(answer["message"]), str(answer["error_code"])
    except (ValueError, KeyError, TypeError):
        lines = body.strip().splitlines() or ["no reason given"]
        return lines[0][:200], None


class Client:
    def __init__(self, url, ca_bundle=None, timeout=30, context=None):
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.username:
            raise ValueError("the URL of MLflow must have the form http://HOST:PORT or https://HOST:PORT")
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self.port = port or (443 if parts.scheme == "https" else 80)
        self.prefix = parts.path.rstrip("/")
        if parts.scheme == "https":
            tls = context or ssl.create_default_context(cafile=ca_bundle)
            self.connection = http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=tls)
        else:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def close(self):
        self.connection.close()

    def request(self, login, method, path, **fields):
        """The answer to one call, as a dict. Raises Unreachable or Refused."""
        headers = {"Authorization": basic(*login), "Accept": "application/json"}
        target, body = self.prefix + path, None
        if method == "GET":
            target += "?" + urlencode(fields) if fields else ""
        else:
            headers["Content-Type"] = "application/json"
            body = json.dumps(fields).encode("utf-8")
        status, text = self._exchange(method, target, body, headers)
        if status >= 400:
            words, code = refusal(text)
            raise Refused(words, status, code)
        try:
            return json.loads(text)
        except ValueError:
            raise Unreachable("%s does not answer as MLflow does; check that it is MLflow's URL" % self.url) from None

    def _exchange(self, method, target, body, headers):
        try:
            self.connection.request(method, target, body=body, headers=headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        except (http.client.HTTPException, OSError) as error:
            self.connection.close()
            raise Unreachable(
                "MLflow at %s cannot be reached: %s" % (self.url, explain(error, self.host, self.port))
            ) from None


class Users:
    """The calls of basic authentication that the module needs."""

    def __init__(self, client, username, password):
        self.client = client
        self.login = (username, password)

    def listed(self):
        """Every user: {name: {"admin": bool, "grants": {(resource type, resource id): permission}}}."""
        return parse_users(self.client.request(self.login, "GET", "/api/2.0/mlflow/users/list"))

    def accepts(self, username, password):
        """Whether the server accepts this password of that user."""
        try:
            self.client.request((username, password), "GET", "/api/2.0/mlflow/users/current")
        except Refused as error:
            if error.status == 401:
                return False
            raise
        return True

    def experiment_id(self, name):
        """The id of an experiment, or None."""
        try:
            answer = self.client.request(
                self.login, "GET", "/api/2.0/mlflow/experiments/get-by-name", experiment_name=name
            )
        except Refused as error:
            if error.code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return answer["experiment"]["experiment_id"]

    def _change(self, method, path, **fields):
        self.client.request(self.login, method, path, **fields)

    def create(self, username, password):
        self._change("POST", "/api/2.0/mlflow/users/create", username=username, password=password)

    def set_password(self, username, password):
        self._change("PATCH", "/api/2.0/mlflow/users/update-password", username=username, password=password)

    def set_admin(self, username, admin):
        self._change("PATCH", "/api/2.0/mlflow/users/update-admin", username=username, is_admin=admin)

    def delete(self, username):
        self._change("DELETE", "/api/2.0/mlflow/users/delete", username=username)

    def grant(self, username, resource_type, resource_id, permission):
        self._change(
            "POST",
            "/api/3.0/mlflow/users/permissions/grant",
            username=username,
            resource_type=resource_type,
            resource_id=resource_id,
            permission=permission,
        )

    def revoke(self, username, resource_type, resource_id):
        self._change(
            "POST",
            "/api/3.0/mlflow/users/permissions/revoke",
            username=username,
            resource_type=resource_type,
            resource_id=resource_id,
        )


def parse_users(answer):
    """The list of users as the server gives it, reduced to what is managed here.

    A user's own grants live in a hidden role named after the user's id; roles that administrators made are
    theirs and left out.
    """
    users = {}
    for one in answer["users"]:
        own = "__user_%s__" % one["id"]
        users[one["username"]] = {
            "admin": bool(one["is_admin"]),
            "grants": {
                (grant["resource_type"], grant["resource_pattern"]): grant["permission"]
                for role in one.get("roles") or []
                if role["name"] == own
                for grant in role.get("permissions") or []
            },
        }
    return users
