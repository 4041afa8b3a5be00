# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part that runs with the Python of MLflow's virtual environment.

The module sends this file's text to that Python on its standard input, then one JSON request; the answer is one
JSON object on standard output. So no secret stands in an argument or an environment variable. It stands alone:
nothing of Ansible or of this collection can be imported here, and psycopg2, SQLAlchemy and MLflow are imported
only by the actions that need them.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import sqlite3
import sys
import time

LOCK_KEYS = (0x6D6C6F70, 0x73746B31)
VERSION_TABLES = {"tracking": "alembic_version", "auth": "alembic_version_auth"}


class Problem(Exception):
    """A failure with its kind: connect, lock, migrate or verify."""

    def __init__(self, phase, text):
        super().__init__(text)
        self.phase = phase


def connect_postgresql(connect):
    import psycopg2

    arguments = {"connect_timeout": 10, "application_name": "mlops.stack"}
    arguments.update(connect)
    try:
        connection = psycopg2.connect(**arguments)
    except psycopg2.Error as error:
        raise Problem("connect", str(error)) from None
    connection.autocommit = True
    return connection


def read_postgresql(connection):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_schema(), current_user, pg_is_in_recovery(),"
            " has_schema_privilege(current_schema(), 'CREATE')"
        )
        schema, user, standby, can_create = cursor.fetchone()
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        tables = [row[0] for row in cursor.fetchall()]
        revisions = {}
        for table in VERSION_TABLES.values():
            if table in tables:
                cursor.execute("SELECT version_num FROM " + table)
                revisions[table] = [row[0] for row in cursor.fetchall()]
    return {
        "tables": tables,
        "revisions": revisions,
        "schema": schema,
        "user": user,
        "standby": standby,
        "can_create": bool(can_create),
    }


def read_sqlite(path):
    state = {"tables": [], "revisions": {}}
    if not os.path.exists(path):
        folder = os.path.dirname(path)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Problem("connect", "unable to open database file: %s cannot be written to" % folder)
        return state
    try:
        with contextlib.closing(sqlite3.connect("file:" + _escaped(path) + "?mode=ro", uri=True, timeout=10)) as file:
            rows = file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            state["tables"] = [row[0] for row in rows]
            for table in VERSION_TABLES.values():
                if table in state["tables"]:
                    found = file.execute("SELECT version_num FROM " + table)
                    state["revisions"][table] = [row[0] for row in found]
    except sqlite3.Error as error:
        raise Problem("connect", str(error)) from None
    return state


def _escaped(path):
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def read(database):
    if database["kind"] == "sqlite":
        return read_sqlite(database["connect"]["path"])
    with contextlib.closing(connect_postgresql(database["connect"])) as connection:
        return read_postgresql(connection)


@contextlib.contextmanager
def locked_postgresql(connect, deadline):
    """Holds an advisory lock of the database, so that one migration runs at a time; waits for its turn."""
    with contextlib.closing(connect_postgresql(connect)) as connection:
        with connection.cursor() as cursor:
            while True:
                cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", LOCK_KEYS)
                if cursor.fetchone()[0]:
                    break
                if time.monotonic() > deadline:
                    raise Problem("lock", "another migration of this database is still running")
                time.sleep(0.2)
        yield


@contextlib.contextmanager
def locked_sqlite(path, deadline):
    with open(path + ".migration-lock", "w", encoding="utf-8") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Problem("lock", "another migration of this database is still running") from None
                time.sleep(0.2)
        yield


def locked(database, deadline):
    if database["kind"] == "sqlite":
        return locked_sqlite(database["connect"]["path"], deadline)
    return locked_postgresql(database["connect"], deadline)


def migrate_tracking(uri, artifact_root):
    """MLflow's own first start or upgrade, and the Default experiment, which servers started together race for."""
    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    engine = utils.create_sqlalchemy_engine(uri)
    try:
        # Makes the first tables where they are missing (an earlier try may have been killed between the two
        # steps), then runs the migrations.
        if utils._get_schema_version(engine) is None:
            utils._initialize_tables(engine)
        else:
            utils._upgrade_db(engine)
    finally:
        engine.dispose()
    store = SqlAlchemyStore(uri, artifact_root)
    store.engine.dispose()


def migrate_auth(uri, artifact_root):
    del artifact_root
    import sqlalchemy
    from mlflow.server.auth.db import utils

    engine = sqlalchemy.create_engine(uri)
    try:
        utils.migrate(engine, "head")
    finally:
        engine.dispose()


MIGRATIONS = {"tracking": migrate_tracking, "auth": migrate_auth}


def limit_statements(deadline):
    """Makes PostgreSQL itself end what runs past the deadline, and what lost its client."""
    import sqlalchemy

    def on_connect(connection, record):
        if type(connection).__module__.startswith("psycopg2"):
            left = max(1, int((deadline - time.monotonic()) * 1000))
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = %d" % left)
            connection.commit()

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", on_connect)


def migrate_postgresql(database, store, artifact_root):
    MIGRATIONS[store](database["uri"], artifact_root)


def migrate_sqlite(database, store, artifact_root):
    """Migrates a copy and puts it in the file's place: SQLite could be left half migrated otherwise."""
    path = database["connect"]["path"]
    work = path + ".migrating"
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(work + suffix)
    os.close(os.open(work, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    mode = 0o600
    try:
        if os.path.exists(path):
            mode = os.stat(path).st_mode & 0o777
            copy_sqlite(path, work)
        MIGRATIONS[store]("sqlite:///" + work, artifact_root)
        os.chmod(work, mode)
        handle = os.open(work, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(work, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(work)
        raise


def copy_sqlite(path, work):
    """Copies a database that nobody uses; its write-ahead log must be gone, or it would be replayed on the new file."""
    with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as source:
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        source.execute("BEGIN EXCLUSIVE")
        source.execute("ROLLBACK")
        with contextlib.closing(sqlite3.connect(work)) as target:
            source.backup(target)
    if os.path.exists(path + "-wal"):
        raise RuntimeError("another process has the database open: stop the MLflow server that uses it")


def migrate_store(step, deadline, artifact_root):
    """Migrates one store unless another process has just done so; says whether it changed anything."""
    database, store, head = step["database"], step["store"], step["head"]
    with locked(database, deadline):
        state = read(database)
        if state["revisions"].get(VERSION_TABLES[store]) == [head]:
            return False
        limit_statements(deadline)
        run = migrate_sqlite if database["kind"] == "sqlite" else migrate_postgresql
        try:
            run(database, store, artifact_root)
        except Exception as error:
            sys.stderr.write("%s: %s\n" % (type(error).__name__, error))
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise Problem("migrate", lines[0]) from None
        found = read(database)["revisions"].get(VERSION_TABLES[store])
        if found != [head]:
            raise Problem("verify", "the revision is %s afterwards and not %s" % (found, head))
    return True


def action_read(request):
    states = []
    for database in request["databases"]:
        try:
            states.append({"state": read(database)})
        except Problem as problem:
            states.append({"error": str(problem), "phase": problem.phase})
    return {"states": states}


def action_migrate(request):
    deadline = time.monotonic() + request["timeout"]
    done = {}
    for step in request["steps"]:
        try:
            done[step["store"]] = migrate_store(step, deadline, request["artifact_root"])
        except Problem as problem:
            return {"done": done, "error": str(problem), "phase": problem.phase, "store": step["store"]}
    return {"done": done}


def action_set_admin(request):
    """Gives an administrator of the users' store this password, through MLflow's own code."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    try:
        store.init_db(request["uri"])
        if store.has_user(request["username"]):
            store.update_user(request["username"], password=request["password"], is_admin=True)
        else:
            store.create_user(request["username"], request["password"], is_admin=True)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return {"error": lines[0], "phase": "admin"}
    return {"done": True}


ACTIONS = {"read": action_read, "migrate": action_migrate, "set_admin": action_set_admin}


def main(stdin, stdout):
    # End with the module that waits for the answer (PR_SET_PDEATHSIG).
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    request = json.loads(stdin.read())
    json.dump(ACTIONS[request["action"]](request), stdout)
    stdout.flush()
    return 0


def start():
    """Answers on standard output; whatever libraries print goes to standard error."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return main(sys.stdin, answer)


if __name__ == "__main__":
    raise SystemExit(start())
