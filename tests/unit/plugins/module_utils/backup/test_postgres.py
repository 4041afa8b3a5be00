# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server, its snapshots, and connections to it, with a driver that answers what a test says."""

from __future__ import annotations

import datetime
import runpy
import sys
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import driver, postgres, snapshot
from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import DriverError, Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import Server

LOGIN = Login("db.example.org", 5432, "mlops_backup", "canary", "verify-full", "/ca.pem")
TAKEN = datetime.datetime(2026, 11, 21, 13, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
TABLES = [
    ("public", "alembic_version", "public.alembic_version", 10),
    ("public", "runs", "public.runs", 10),
    ("public", "metrics", "public.metrics", 900),
    ("odd", "a.b", 'odd."a.b"', 5),
    ("odd", "alembic_version", "odd.alembic_version", 5),
]
LOCK = (
    'LOCK TABLE ONLY public.alembic_version, ONLY public.runs, ONLY public.metrics, ONLY odd."a.b", '
    "ONLY odd.alembic_version IN ACCESS SHARE MODE"
)
ANSWERS = {
    "SELECT version()": [("PostgreSQL 17.6 on x86_64",)],
    postgres.SERVER: [(170006, "17.6 (Debian 17.6-1)", "7412", False, 4711)],
    postgres.DATABASES: [("auth",), ("mlflow",)],
    snapshot.SESSION: [("off",)],
    "SELECT pg_export_snapshot(), clock_timestamp()": [("0003-1", TAKEN)],
    snapshot.DATABASE: [("mlflow", "UTF8", "C.UTF-8", "C.UTF-8", "c", None, "mlflow", 1234, False)],
    snapshot.GRANTS: [(None, "CONNECT", False), ("mlflow", "CREATE", False)],
    snapshot.EXTENSIONS: [("plpgsql", "1.0")],
    snapshot.SETTINGS: [(None, ["work_mem=8MB"]), ("mlflow", ["search_path=public"])],
    snapshot.TABLES: TABLES,
    LOCK: [],
    "SELECT version_num FROM public.alembic_version ORDER BY 1": [("abc",), ("def",)],
    "SELECT count(*) FROM ONLY public.alembic_version": [(2,)],
    "SELECT count(*) FROM ONLY public.runs": [(3,)],
    "SELECT count(*) FROM ONLY public.metrics": [(1000,)],
    'SELECT count(*) FROM ONLY odd."a.b"': [(0,)],
    "SELECT count(*) FROM ONLY odd.alembic_version": [(1,)],
}


class Connection:
    """A connection: what it answers, and what it was asked."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self.closed = False
        self.cancelled = 0
        self.session = {}
        self.rows = None
        self.info = types.SimpleNamespace(backend_pid=4711)

    def cursor(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def execute(self, text, values=None):
        self.asked.append((text, values))
        self.rows = self.answers[text]
        if isinstance(self.rows, Exception):
            raise self.rows

    def fetchall(self):
        return self.rows

    def set_session(self, **session):
        self.session = session

    def cancel(self):
        self.cancelled += 1
        raise DriverError("no query is running")

    def close(self):
        self.closed = True


class Connector:
    """Makes such connections, and remembers them."""

    def __init__(self, **changes):
        self.answers = {**ANSWERS, **changes}
        self.made = []

    def __call__(self, login, database, autocommit=True):
        connection = Connection(self.answers)
        self.made.append((login, database, autocommit, connection))
        return connection


def server(answers=None):
    connector = Connector(**(answers or {}))
    return Server(LOGIN, connector), connector


def test_what_the_server_is():
    one, connector = server()
    found = one.identity(database="mlflow")
    assert (found.version_num, found.version, found.system_identifier, found.major) == (170006, "17.6", "7412", 17)
    _login, database, autocommit, connection = connector.made[0]
    assert (database, autocommit, connection.closed) == ("mlflow", True, True)


def test_cratedb_is_refused_before_it_is_asked_what_it_does_not_know():
    one, connector = server({"SELECT version()": [("CrateDB 6.4.3 (built …)",)]})
    with pytest.raises(BackupError, match="is CrateDB.* CREATE SNAPSHOT") as caught:
        one.identity()
    assert not caught.value.safe_to_retry
    assert len(connector.made[0][3].asked) == 1


def test_a_pooler_is_refused():
    one, _connector = server({postgres.SERVER: [(170006, "17.6", "7412", False, 99)]})
    with pytest.raises(BackupError, match="is a connection pooler"):
        one.identity()


def test_a_replica_is_refused_unless_it_is_allowed():
    one, _connector = server({postgres.SERVER: [(170006, "17.6", "7412", True, 4711)]})
    with pytest.raises(BackupError, match="is a replica"):
        one.identity()
    assert one.identity(allow_replica=True).in_recovery


@pytest.mark.parametrize(
    ("error", "said"), [(DriverError("canceled\nDETAIL: x"), "canceled"), (DriverError(), "Error")]
)
def test_an_error_while_reading_is_one_sentence(error, said):
    one, connector = server({postgres.DATABASES: error})
    with pytest.raises(BackupError, match=f"The list of databases at db.example.org:5432 cannot be read: .*{said}"):
        one.databases()
    assert connector.made[0][3].closed


def test_databases_and_sizes():
    one, connector = server()
    assert one.databases() == ["auth", "mlflow"]
    assert one.size("mlflow") == 1234
    assert [made[1] for made in connector.made] == ["postgres", "mlflow"]


def test_a_snapshot_is_one_moment_and_knows_everything():
    one, connector = server()
    with one.snapshot("mlflow", 60) as found:
        assert found.exported == "0003-1"
        assert found.taken == TAKEN
        assert found.taken.utcoffset().total_seconds() == 0
        facts = found.facts()
        counts = found.counts()
        connection = connector.made[0][3]
        assert not connection.closed
    assert connection.closed
    assert connector.made[0][2] is False
    assert connection.session == {"isolation_level": "REPEATABLE READ", "readonly": True}
    assert connection.asked[0] == (snapshot.SESSION, ("60000",))
    assert counts == {
        "odd.a.b": 0,
        "odd.alembic_version": 1,
        "public.alembic_version": 2,
        "public.metrics": 1000,
        "public.runs": 3,
    }
    assert facts["alembic"] == {"alembic_version": "abc,def"}
    assert facts["acl"] == [[None, "CONNECT", False], ["mlflow", "CREATE", False]]
    assert facts["settings"] == [
        {"role": None, "config": ["work_mem=8MB"]},
        {"role": "mlflow", "config": ["search_path=public"]},
    ]
    assert facts["extensions"] == [{"name": "plpgsql", "version": "1.0"}]
    assert (facts["owner"], facts["locale_provider"], facts["size_bytes"]) == ("mlflow", "c", 1234)
    asked = [text for text, _values in connection.asked]
    assert asked.index(LOCK) < asked.index(snapshot.DATABASE), "held before anything is read"
    counted = [text for text, _values in connection.asked if "count(*)" in text]
    assert counted[0].endswith("public.metrics"), "the biggest table is counted first"


@pytest.mark.parametrize(
    ("error", "said"),
    [("canceling statement due to lock timeout", "longer than lock_timeout; end that session"), ("gone", "read: gone")],
)
def test_a_table_that_another_session_holds(error, said):
    one, _connector = server({LOCK: DriverError(error)})
    with one.snapshot("mlflow", 60) as found, pytest.raises(BackupError, match=said):
        found.facts()


def test_a_database_without_tables_has_none_to_lock():
    one, connector = server({snapshot.TABLES: []})
    with one.snapshot("mlflow", 60) as found:
        found.facts()
        assert found.counts() == {}
    assert not [text for text, _values in connector.made[0][3].asked if text.startswith("LOCK")]


def test_default_rights_are_none():
    row = [("mlflow", "UTF8", "C", "C", "c", None, "mlflow", 1, True)]
    one, _connector = server({snapshot.DATABASE: row})
    with one.snapshot("mlflow") as found:
        assert found.facts()["acl"] is None


def test_nothing_more_is_counted_after_the_end():
    one, connector = server()
    with one.snapshot("mlflow") as found:
        found.cancel()
        with pytest.raises(BackupError, match=r"The table odd.a.b of mlflow .* the backup is being ended"):
            found.count(found.tables()[3])
        assert connector.made[0][3].cancelled == 1


def test_a_table_that_cannot_be_counted():
    one, _connector = server({"SELECT count(*) FROM ONLY public.runs": DriverError("permission denied for table runs")})
    with one.snapshot("mlflow") as found, pytest.raises(BackupError, match=r"public.runs .* permission denied"):
        found.count(found.tables()[1])


class Driver:
    """The driver's module: what it was called with, and how it answers."""

    def __init__(self, error=None):
        self.error = error
        self.called = {}

    def connect(self, **words):
        self.called = words
        if self.error:
            raise self.error
        return types.SimpleNamespace(autocommit=False)


def test_a_connection_never_asks_and_never_reads_a_password_elsewhere(monkeypatch):
    made = Driver()
    monkeypatch.setattr(driver, "psycopg2", made)
    assert driver.connect(LOGIN, "mlflow").autocommit is True
    called = made.called
    assert (called["password"], called["passfile"], called["sslmode"]) == ("canary", "/dev/null", "verify-full")
    assert (called["sslrootcert"], called["dbname"], called["keepalives"]) == ("/ca.pem", "mlflow", 1)
    driver.connect(Login("db"), "mlflow", autocommit=False)
    assert made.called["password"] == ""
    assert "sslrootcert" not in made.called


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('FATAL:  password authentication failed for user "mlops_backup"', "refuses the password of user mlops_backup"),
        ("FATAL:  unsupported startup parameter: options", "is a connection pooler"),
        ("connection refused", "nothing listens at db.example.org port 5432"),
    ],
)
def test_no_connection_is_one_sentence_without_the_password(monkeypatch, said, message):
    monkeypatch.setattr(driver, "psycopg2", Driver(DriverError(f"{said} canary")))
    with pytest.raises(BackupError, match=message) as caught:
        driver.connect(LOGIN, "mlflow")
    assert "canary" not in caught.value.message + caught.value.stderr_tail
    assert caught.value.phase == "connect"


def test_a_login_does_not_show_its_password():
    assert "canary" not in repr(LOGIN)
    assert LOGIN.where == "db.example.org:5432"


def test_without_the_driver_the_module_can_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    found = runpy.run_path(driver.__file__)
    assert found["HAS_PSYCOPG2"] is False
    assert "psycopg2" in found["PSYCOPG2_IMPORT_ERROR"]
    assert issubclass(found["DriverError"], OSError)
