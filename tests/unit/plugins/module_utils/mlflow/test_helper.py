# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import json
import os
import runpy
import sqlite3
import sys
import time
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import helper

HEAD = "h2"


class FakeServer:
    """A PostgreSQL with one database, as psycopg2 shows it."""

    def __init__(self):
        self.tables = {}
        self.row = ("public", "mlflow", False, True)
        self.locks = [(True,)]
        self.fault = None
        self.statements = []
        self.closed = 0
        self.arguments = None


class FakeCursor:
    def __init__(self, server):
        self.server = server
        self.rows = []

    def __enter__(self):
        return self

    def __exit__(self, *details):
        return False

    def execute(self, statement, arguments=None):
        server = self.server
        server.statements.append((statement, arguments))
        if "current_schema()," in statement:
            self.rows = [server.row]
        elif "pg_tables" in statement:
            self.rows = [(name,) for name in server.tables]
        elif "advisory" in statement:
            self.rows = [server.locks.pop(0)]
        elif statement.startswith("SELECT version_num FROM "):
            self.rows = [(value,) for value in server.tables[statement.rpartition(" ")[2]]]

    def fetchone(self):
        return self.rows[0]

    def fetchall(self):
        return self.rows


class FakeConnection:
    __module__ = "psycopg2.extensions"

    def __init__(self, server):
        self.server = server
        self.autocommit = False
        self.commits = 0

    def cursor(self):
        return FakeCursor(self.server)

    def commit(self):
        self.commits += 1

    def close(self):
        self.server.closed += 1


@pytest.fixture(name="server")
def fixture_server(monkeypatch):
    server = FakeServer()
    module = types.ModuleType("psycopg2")
    module.Error = type("Error", (Exception,), {})

    def connect(**arguments):
        server.arguments = arguments
        if server.fault:
            raise module.Error(server.fault)
        return FakeConnection(server)

    module.connect = connect
    monkeypatch.setitem(sys.modules, "psycopg2", module)
    return server


def postgresql():
    return {"kind": "postgresql", "connect": {"host": "h", "password": "p"}, "uri": "postgresql+psycopg2://u:p@h/d"}


def sqlite(path):
    return {"kind": "sqlite", "connect": {"path": str(path)}, "uri": "sqlite:///%s" % path}


def make_sqlite(path, revision="h1", wal=False):
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.execute("CREATE TABLE runs (name TEXT)")
    connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
    connection.execute("INSERT INTO runs VALUES ('kept')")
    connection.commit()
    return connection


def test_read_postgresql(server):
    server.tables = {"runs": [], "alembic_version": ["h1"]}
    answer = helper.action_read({"databases": [postgresql()]})
    assert answer == {
        "states": [
            {
                "state": {
                    "tables": ["runs", "alembic_version"],
                    "revisions": {"alembic_version": ["h1"]},
                    "schema": "public",
                    "user": "mlflow",
                    "standby": False,
                    "can_create": True,
                }
            }
        ]
    }
    assert server.arguments["connect_timeout"] == 10
    assert server.closed == 1


def test_read_reports_what_the_driver_says(server):
    server.fault = "FATAL: no"
    assert helper.action_read({"databases": [postgresql()]}) == {"states": [{"error": "FATAL: no", "phase": "connect"}]}


def test_read_sqlite(tmp_path):
    path = tmp_path / "a?b#c%d.db"
    make_sqlite(path).close()
    state = helper.read(sqlite(path))
    assert sorted(state["tables"]) == ["alembic_version", "runs"]
    assert state["revisions"] == {"alembic_version": ["h1"]}


def test_read_sqlite_that_is_none(tmp_path):
    path = tmp_path / "m.db"
    path.write_text("this is no database at all, and long enough to be seen as none" * 20)
    with pytest.raises(helper.Problem, match="not a database"):
        helper.read(sqlite(path))
    with pytest.raises(helper.Problem, match="unable to open"):
        helper.read(sqlite(tmp_path / "missing" / "m.db"))
    assert helper.read(sqlite(tmp_path / "new.db")) == {"tables": [], "revisions": {}}


def test_one_migration_at_a_time_postgresql(server, monkeypatch):
    monkeypatch.setattr(helper.time, "sleep", lambda seconds: None)
    server.locks = [(False,), (True,)]
    with helper.locked(postgresql(), time.monotonic() + 60):
        assert server.locks == []
    server.locks = [(False,)]
    with pytest.raises(helper.Problem, match="another migration"), helper.locked(postgresql(), 0):
        pass


def test_one_migration_at_a_time_sqlite(tmp_path, monkeypatch):
    database = sqlite(tmp_path / "m.db")
    with helper.locked(database, 0):
        with pytest.raises(helper.Problem, match="another migration"), helper.locked(database, 0):
            pass
        naps = []

        def nap(seconds):
            naps.append(seconds)
            if len(naps) > 1:
                raise KeyboardInterrupt

        monkeypatch.setattr(helper.time, "sleep", nap)
        with pytest.raises(KeyboardInterrupt), helper.locked(database, time.monotonic() + 60):
            pass


class FakeMlflow:
    """What is used of MLflow, in place of the modules that are imported."""

    def __init__(self, monkeypatch, version):
        self.calls = []
        self.users = {}
        self.fault = None
        engine = types.SimpleNamespace(dispose=lambda: self.calls.append("dispose"))
        utils = types.SimpleNamespace(
            create_sqlalchemy_engine=lambda uri: engine,
            _get_schema_version=lambda _engine: version,
            _initialize_tables=lambda _engine: self.calls.append("initialise"),
            _upgrade_db=lambda _engine: self.calls.append("upgrade"),
        )
        auth_utils = types.SimpleNamespace(migrate=lambda _engine, head: self.calls.append("auth " + head))

        def tracking_store(uri, root):
            self.calls.append("store " + root)
            return types.SimpleNamespace(engine=engine)

        fake = self

        class AuthStore:
            def init_db(self, uri):
                if fake.fault:
                    raise fake.fault
                fake.calls.append("init " + uri)

            def has_user(self, name):
                return name in fake.users

            def update_user(self, name, password, is_admin):
                fake.users[name] = (password, is_admin)

            create_user = update_user

        listeners = self.listeners = []
        for name, members in {
            "sqlalchemy": {
                "create_engine": lambda uri: engine,
                "engine": types.SimpleNamespace(Engine=object),
                "event": types.SimpleNamespace(listen=lambda *arguments: listeners.append(arguments)),
            },
            "mlflow": {},
            "mlflow.store": {},
            "mlflow.store.db": {"utils": utils},
            "mlflow.store.tracking": {},
            "mlflow.store.tracking.sqlalchemy_store": {"SqlAlchemyStore": tracking_store},
            "mlflow.server": {},
            "mlflow.server.auth": {},
            "mlflow.server.auth.db": {"utils": auth_utils},
            "mlflow.server.auth.sqlalchemy_store": {"SqlAlchemyStore": AuthStore},
        }.items():
            module = types.ModuleType(name)
            vars(module).update(members)
            monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("version, first", [(None, "initialise"), ("h1", "upgrade")])
def test_tracking_goes_through_mlflow(monkeypatch, version, first):
    fake = FakeMlflow(monkeypatch, version)
    helper.migrate_tracking("uri", "mlflow-artifacts:/")
    assert fake.calls == [first, "dispose", "store mlflow-artifacts:/", "dispose"]


def test_auth_goes_through_mlflow(monkeypatch):
    fake = FakeMlflow(monkeypatch, None)
    helper.migrate_auth("uri", None)
    assert fake.calls == ["auth head", "dispose"]


def test_statements_end_with_the_deadline(monkeypatch, server):
    fake = FakeMlflow(monkeypatch, None)
    helper.limit_statements(time.monotonic() + 60)
    listen = fake.listeners[0][2]
    connection = FakeConnection(server)
    listen(connection, None)
    assert server.statements[0][0].startswith("SET statement_timeout = 59")
    assert connection.commits == 1
    listen(sqlite3.connect(":memory:"), None)
    assert len(server.statements) == 1


def step(database, store="tracking"):
    return {"store": store, "head": HEAD, "database": database}


def migrate(database, **more):
    return helper.action_migrate({"timeout": 5, "artifact_root": "r", "steps": [step(database)], **more})


@pytest.fixture(name="work")
def fixture_work(monkeypatch):
    """The migration of a store, as a function that the test gives."""
    monkeypatch.setattr(helper, "limit_statements", lambda deadline: None)

    def use(function):
        monkeypatch.setitem(helper.MIGRATIONS, "tracking", function)

    return use


def test_migrate_postgresql(server, work):
    server.locks = [(True,)] * 3
    server.tables = {"alembic_version": ["h1"]}
    work(lambda uri, root: server.tables.update(alembic_version=[HEAD]))
    assert migrate(postgresql()) == {"done": {"tracking": True}}
    # Another host did it while this one waited
    assert migrate(postgresql()) == {"done": {"tracking": False}}
    server.tables = {"alembic_version": ["h1"]}
    work(lambda uri, root: None)
    answer = migrate(postgresql())
    assert (answer["phase"], answer["store"]) == ("verify", "tracking")
    assert "['h1'] afterwards" in answer["error"]


@pytest.mark.parametrize("error, words", [(ValueError("first\nsecond"), "first"), (ValueError(), "ValueError")])
def test_migration_that_fails(server, work, capsys, error, words):
    def fail(uri, root):
        raise error

    work(fail)
    assert migrate(postgresql()) == {"done": {}, "error": words, "phase": "migrate", "store": "tracking"}
    assert "ValueError" in capsys.readouterr().err


def set_head(uri, root):
    connection = sqlite3.connect(uri[len("sqlite:///") :])
    connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
    connection.execute("DELETE FROM alembic_version")
    connection.execute("INSERT INTO alembic_version VALUES (?)", (HEAD,))
    connection.commit()
    connection.close()


def test_new_sqlite_file(tmp_path, work):
    path = tmp_path / "m.db"
    work(set_head)
    assert migrate(sqlite(path)) == {"done": {"tracking": True}}
    assert path.stat().st_mode & 0o777 == 0o600
    assert migrate(sqlite(path)) == {"done": {"tracking": False}}


@pytest.mark.parametrize("wal", [False, True])
def test_older_sqlite_file(tmp_path, work, wal):
    path = tmp_path / "m.db"
    make_sqlite(path, wal=wal).close()
    path.chmod(0o640)
    (tmp_path / "m.db.migrating").write_text("left by one that was killed")
    (tmp_path / "m.db.migrating-wal").write_text("left by one that was killed")
    work(set_head)
    assert migrate(sqlite(path)) == {"done": {"tracking": True}}
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM runs").fetchall() == [("kept",)]
    connection.close()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m.db", "m.db.migration-lock"]


def test_sqlite_file_in_use(tmp_path, work):
    path = tmp_path / "m.db"
    connection = make_sqlite(path, wal=True)
    work(set_head)
    assert "another process" in migrate(sqlite(path))["error"]
    connection.close()
    assert helper.read(sqlite(path))["revisions"] == {"alembic_version": ["h1"]}


def test_sqlite_file_stays_as_it_was_when_the_migration_fails(tmp_path, work):
    path = tmp_path / "m.db"
    make_sqlite(path).close()

    def fail(uri, root):
        set_head(uri, root)
        os.unlink(uri[len("sqlite:///") :])
        raise RuntimeError("half way")

    work(fail)
    assert migrate(sqlite(path))["error"] == "half way"
    assert helper.read(sqlite(path))["revisions"] == {"alembic_version": ["h1"]}


@pytest.mark.parametrize("users", [{}, {"admin": ("old", False)}])
def test_set_admin(monkeypatch, users):
    fake = FakeMlflow(monkeypatch, None)
    fake.users = dict(users)
    request = {"action": "set_admin", "uri": "u", "username": "admin", "password": "new"}
    assert helper.action_set_admin(request) == {"done": True}
    assert fake.users == {"admin": ("new", True)}


@pytest.mark.parametrize("error, words", [(ValueError("first\nsecond"), "first"), (ValueError(), "ValueError")])
def test_set_admin_that_fails(monkeypatch, error, words):
    fake = FakeMlflow(monkeypatch, None)
    fake.fault = error
    answer = helper.action_set_admin({"uri": "u", "username": "admin", "password": "new"})
    assert answer == {"error": words, "phase": "admin"}


def test_main_and_start(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        helper.ctypes, "CDLL", lambda name: types.SimpleNamespace(prctl=lambda *arguments: calls.append(arguments))
    )
    request = json.dumps({"action": "read", "databases": []})
    out = io.StringIO()
    assert helper.main(io.StringIO(request), out) == 0
    assert json.loads(out.getvalue()) == {"states": []}
    assert calls == [(1, 9)]

    target = os.open(tmp_path / "answer", os.O_CREAT | os.O_RDWR)
    moved = []
    monkeypatch.setattr(helper.os, "dup", lambda number: target)
    monkeypatch.setattr(helper.os, "dup2", lambda *numbers: moved.append(numbers))
    monkeypatch.setattr(helper.sys, "stdin", io.StringIO(request))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(helper.__file__, run_name="__main__")
    assert ended.value.code == 0
    assert json.loads((tmp_path / "answer").read_text()) == {"states": []}
    assert moved == [(2, 1)]
