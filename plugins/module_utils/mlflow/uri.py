# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database URIs as MLflow (SQLAlchemy) reads them. Pure functions."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

POSTGRESQL_SCHEMES = ("postgresql", "postgresql+psycopg2")
DEFAULT_PORT = 5432


class UriError(ValueError):
    """The URI cannot be used; the text says why and never holds the password."""


def postgresql_uri(host, database, user, password=None, port=DEFAULT_PORT, options=None):
    """The URI of a PostgreSQL database. Any password is allowed: it is percent-encoded here."""
    login = quote(user, safe="")
    if password is not None:
        login += ":" + quote(password, safe="")
    place = "[%s]" % host if ":" in host else host
    query = "?" + urlencode(options) if options else ""
    return "postgresql+psycopg2://%s@%s:%d/%s%s" % (login, place, int(port), database, query)


def sqlite_uri(path):
    """The URI of a SQLite file; the path must be absolute."""
    if not path.startswith("/"):
        raise UriError("the path of a SQLite database must be absolute, and %s is not" % path)
    return "sqlite:///" + path


def ini_value(text):
    """A value as configparser must find it in a file that it interpolates, such as MLflow's auth ini.

    A percent sign begins an interpolation there and is doubled to stand for itself. The values
    live on one line, and configparser strips the white space around them.
    """
    if text != text.strip() or "\n" in text or "\r" in text:
        raise UriError("a value in an ini file can neither begin nor end with white space nor hold a line break")
    return text.replace("%", "%%")


class Database:
    """What a URI says, split for the drivers."""

    def __init__(self, uri):
        self.uri = uri
        scheme = uri.split(":", 1)[0]
        if scheme == "sqlite":
            self._sqlite(uri)
        elif scheme in POSTGRESQL_SCHEMES:
            self._postgresql(uri)
        else:
            raise UriError(
                "MLflow's database URI must begin with postgresql+psycopg2:// or sqlite:///, and this one begins with "
                "%s" % (scheme if scheme.replace("+", "").isalnum() and scheme != uri else "something else")
            )

    def _sqlite(self, uri):
        path = uri[len("sqlite:///") :]
        if not uri.startswith("sqlite:////") or "?" in uri or path.endswith("/"):
            raise UriError("a SQLite URI must name an absolute file, as in sqlite:////var/lib/mlflow/mlflow.db")
        self.kind = "sqlite"
        self.secrets = []
        self.connect = {"path": path}
        self.where = path
        self.mlflow_uri = uri

    def _postgresql(self, uri):
        try:
            parts = urlsplit(uri)
            port = parts.port or DEFAULT_PORT
        except ValueError:
            raise UriError(
                "the PostgreSQL URI has no valid host and port: characters such as @ : / ? # in the password must be "
                "percent-encoded"
            ) from None
        name = parts.path.lstrip("/")
        if not parts.username or not parts.hostname or not name or "/" in name or parts.fragment:
            raise UriError(
                "the PostgreSQL URI must have the form postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE, with "
                "characters such as @ : / ? # in the password percent-encoded"
            )
        self.kind = "postgresql"
        self.connect = dict(parse_qsl(parts.query))
        self.connect.update(host=parts.hostname, port=port, user=unquote(parts.username), dbname=name)
        self.secrets = []
        if parts.password is not None:
            self.connect["password"] = unquote(parts.password)
            self.secrets = [self.connect["password"], parts.password, quote(self.connect["password"], safe="")]
        host = "[%s]" % parts.hostname if ":" in parts.hostname else parts.hostname
        self.where = "%s:%s/%s" % (host, port, name)
        self.mlflow_uri = "postgresql+psycopg2" + uri[uri.index(":") :]


def scrub(text, secrets):
    """The text without the secrets in it."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if secret:
            text = text.replace(secret, "********")
    return text


# What a driver says, and what it means: (a part of the message, lower case; the reason; what to check)
_REASONS = (
    (
        "password authentication failed",
        "it refuses the password of user {user}",
        "the password in the inventory and the one PostgreSQL has must be the same",
    ),
    ("no password supplied", "it wants a password for user {user} and the URI has none", "put one into the URI"),
    (
        "no pg_hba.conf entry",
        "its pg_hba.conf does not let user {user} in from this host",
        "add this host's address to the rules",
    ),
    ("pg_hba.conf rejects", "its pg_hba.conf turns user {user} away", "add this host's address to the rules"),
    ("could not translate host name", "the name {host} does not resolve", "check the name and this host's DNS"),
    (
        "connection refused",
        "nothing listens at {host} port {port}",
        "check that PostgreSQL runs and its listen_addresses holds this address",
    ),
    ("no route to host", "there is no route to {host}", "check the network and its firewalls"),
    ("network is unreachable", "there is no route to {host}", "check the network and its firewalls"),
    ("timeout expired", "{host} port {port} does not answer", "check the address and the firewalls on the way"),
    ("too many clients", "all its connections are taken", "raise max_connections or stop what holds them"),
    ("connection slots are reserved", "all its connections are taken", "raise max_connections or stop what holds them"),
    ("starting up", "PostgreSQL is still starting", "try again shortly"),
    ("permission denied for database", "user {user} may not connect to {dbname}", "grant CONNECT"),
    (
        "invalid response to ssl negotiation",
        "what listens at {host} port {port} is not PostgreSQL",
        "check the address and the port",
    ),
    ("ssl", "the TLS connection fails ({first})", "check sslmode and the certificates"),
    (
        "unable to open database file",
        "the file cannot be opened",
        "check that its folder exists and {run_as} may write",
    ),
    ("readonly database", "the file cannot be written", "check that it belongs to {run_as}"),
    ("file is not a database", "the file is not a SQLite database", "give another path or move that file away"),
    ("database is locked", "another process holds the file's lock", "stop the MLflow server that uses it"),
)


def explain(error, connect, run_as=None):
    """(reason, what to check) for a driver's message about a database that cannot be used."""
    lines = [line.strip() for line in error.strip().splitlines() if line.strip()] or ["no reason given"]
    words = {
        "host": "?",
        "port": DEFAULT_PORT,
        "user": "?",
        "dbname": "?",
        "first": lines[0],
        "run_as": run_as or "this user",
    }
    words.update({key: value for key, value in connect.items() if key != "password"})
    low = error.lower()
    if 'database "' in low and "does not exist" in low:
        return "it has no database {dbname}".format(**words), "create it first"
    if 'role "' in low and "does not exist" in low:
        return "it has no user {user}".format(**words), "create it first"
    for sign, reason, check in _REASONS:
        if sign in low:
            return reason.format(**words), check.format(**words)
    return lines[0], "see the message"
