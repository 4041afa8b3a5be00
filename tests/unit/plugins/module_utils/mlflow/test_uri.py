# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import configparser

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import uri

HARD = "p@ss/w%rd:#é $\"'\\x"


@pytest.mark.parametrize("password", ["plain", HARD, "%", "a b", "[x]", "%25"])
@pytest.mark.parametrize("host", ["10.0.0.1", "db.example.org", "fd00::5"])
def test_postgresql_uri_is_read_back(password, host):
    text = uri.postgresql_uri(host, "mlflow", "ml@flow", password, 5433, {"sslmode": "require"})
    found = uri.Database(text)
    assert found.connect == {
        "host": host,
        "port": 5433,
        "user": "ml@flow",
        "password": password,
        "dbname": "mlflow",
        "sslmode": "require",
    }
    assert found.mlflow_uri == text
    assert found.kind == "postgresql"
    assert password not in found.where


def test_postgresql_uri_without_password_and_with_short_scheme():
    assert uri.postgresql_uri("h", "d", "u") == "postgresql+psycopg2://u@h:5432/d"
    found = uri.Database("postgresql://u@[::1]/d")
    assert found.secrets == []
    assert found.mlflow_uri == "postgresql+psycopg2://u@[::1]/d"
    assert found.where == "[::1]:5432/d"


def test_sqlite():
    found = uri.Database(uri.sqlite_uri("/var/lib/mlflow/mlflow.db"))
    assert (found.kind, found.connect, found.secrets) == ("sqlite", {"path": "/var/lib/mlflow/mlflow.db"}, [])
    with pytest.raises(uri.UriError, match="absolute"):
        uri.sqlite_uri("mlflow.db")


@pytest.mark.parametrize(
    "text, words",
    [
        ("mysql://u@h/d", "begins with mysql"),
        ("secret", "something else"),
        ("se-cret:x", "something else"),
        ("sqlite:///relative.db", "absolute file"),
        ("sqlite:////x.db?mode=ro", "absolute file"),
        ("sqlite:////folder/", "absolute file"),
        ("postgresql://u:p@h:port/d", "valid host and port"),
        ("postgresql://u:p@h", "must have the form"),
        ("postgresql://h/d", "must have the form"),
        ("postgresql://u:p@ss/w@h/d", "must have the form"),
        ("postgresql://u:p@h/d#x", "must have the form"),
        ("postgresql://u@/d", "must have the form"),
    ],
)
def test_refused_uris_are_not_quoted(text, words):
    with pytest.raises(uri.UriError, match=words) as caught:
        uri.Database(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("value", ["plain", "100%", "%25 a;b #c", uri.postgresql_uri("h", "d", "u", HARD)])
def test_ini_value_is_what_configparser_reads(value):
    parser = configparser.ConfigParser()
    parser.read_string("[mlflow]\ndatabase_uri = %s\n" % uri.ini_value(value))
    assert parser["mlflow"]["database_uri"] == value


@pytest.mark.parametrize("value", [" a", "a ", "a\nb", "a\rb"])
def test_ini_value_refuses_what_an_ini_file_cannot_hold(value):
    with pytest.raises(uri.UriError, match="ini"):
        uri.ini_value(value)


def test_scrub():
    assert uri.scrub("x abc y ab", ["ab", "abc", ""]) == "x ******** y ********"


@pytest.mark.parametrize(
    "error, reason",
    [
        ('FATAL:  password authentication failed for user "u"', "refuses the password of user u"),
        ("fe_sendauth: no password supplied", "wants a password"),
        ('FATAL:  no pg_hba.conf entry for host "1"', "pg_hba.conf does not let user u"),
        ("could not translate host name", "h does not resolve"),
        ("port 5432 failed: Connection refused", "nothing listens at h port 5432"),
        ("timeout expired", "does not answer"),
        ("sorry, too many clients already", "connections are taken"),
        ('database "d" does not exist', "no database d"),
        ('role "u" does not exist', "no user u"),
        ("unable to open database file", "cannot be opened"),
        ("received invalid response to SSL negotiation: H", "not PostgreSQL"),
        ("something\nmore", "something"),
        ("", "no reason given"),
    ],
)
def test_explain(error, reason):
    connect = {"host": "h", "port": 5432, "user": "u", "dbname": "d", "password": "p"}
    found, check = uri.explain(error, connect, "mlflow")
    assert reason in found
    assert check


def test_explain_without_details():
    assert "this user may write" in uri.explain("unable to open database file", {"path": "/x"})[1]
