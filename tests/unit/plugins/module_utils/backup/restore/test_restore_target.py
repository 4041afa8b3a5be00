# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import plan
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.plan import Found
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.target import Server, ServerError

TARGET = plan.Target(
    {"name": "mlflow", "encoding": "UTF8", "collate": "C", "ctype": "C"}, "mlflow", "mlflow__new_L", "mlflow__old_L"
)


@pytest.fixture(name="server")
def fixture_server(fake):
    return Server(fake.connect)


def test_no_statement_runs_into_a_time_limit(fake, server):
    server.connect("other")
    setting = "SET statement_timeout = 0; SET row_security = off"
    assert fake.said == [("postgres", setting), ("other", setting)]


def test_a_refusal_is_one_sentence(fake, server, fault):
    fake.on("SELECT 1", fault("ERROR:  no such thing\nLINE 1: SELECT 1", "42704"))
    with pytest.raises(ServerError) as caught:
        server.query("SELECT 1")
    assert caught.value.message == "PostgreSQL did not do what it was told: no such thing."
    assert (caught.value.code, caught.value.phase) == ("42704", "server")
    assert caught.value.stderr_tail == "ERROR:  no such thing\nLINE 1: SELECT 1"
    fake.on("SELECT 2", fault(""))
    with pytest.raises(ServerError, match="told: Fault."):
        server.query("SELECT 2")


def test_locks_differ_by_database(fake, server):
    fake.on("SELECT pg_try_advisory_lock", [(True,)], [(False,)])
    assert server.lock("a") is True
    assert server.lock("b") is False
    first, second = (one[2] for one in fake.said if len(one) == 3)
    assert first[0] == second[0] and first[1] != second[1]
    assert all(-(1 << 31) <= number < (1 << 31) for number in (*first, *second))


def test_closing_ends_the_session(fake, server, fault):
    server.close()
    assert fake.connections[0].closed

    def broken():
        raise fault("gone")

    server.connection.close = broken
    server.close()


def test_what_is_there(fake, server):
    fake.on("SELECT d.datname", [("mlflow", "owner", "a comment"), ("x", "y", None)])
    assert server.databases() == {"mlflow": Found("mlflow", "owner", "a comment"), "x": Found("x", "y", None)}
    fake.on("SELECT current_setting('server_version_num')", [(170012, "mlops_restore", False, True)])
    fake.on("SELECT rolname", [("mlflow", True), ("other", False)])
    fake.on("SELECT e.name", [("plpgsql", True), ("postgis", False)])
    assert server.facts(123) == plan.Facts(
        version_num=170012,
        user="mlops_restore",
        superuser=False,
        createdb=True,
        roles=frozenset({"mlflow", "other"}),
        member_of=frozenset({"mlflow"}),
        extensions={"plpgsql": True, "postgis": False},
        free_bytes=123,
    )


def test_the_size_of_a_database(fake, server):
    fake.on("SELECT pg_database_size", [(4711,)])
    assert server.size("mlflow") == 4711
    assert fake.said[-1][2] == ("mlflow",)


def test_whether_a_database_is_empty(fake, server, fault):
    fake.on("SELECT NOT EXISTS", [(True,)], [(False,)], fault("ERROR:  denied", "42501"))
    assert [server.is_empty("a"), server.is_empty("b"), server.is_empty("c")] == [True, False, False]
    assert [(one.database, one.closed) for one in fake.connections[1:]] == [("a", True), ("b", True), ("c", True)]

    def refuse(_database):
        raise BackupError("no", "connect")

    server._connect = refuse
    assert server.is_empty("a") is False


def test_the_data_directory_may_be_a_secret(fake, server, fault):
    fake.on("SELECT current_setting('data_directory')", [("/srv/pg",)], fault("denied", "42501"))
    assert server.data_directory() == "/srv/pg"
    assert server.data_directory() is None


def test_a_new_database_is_marked_and_closed(fake, server, fault):
    server.create(TARGET, "mlflow", "L")
    assert fake.texts()[0].startswith('CREATE DATABASE "mlflow__new_L" OWNER "mlflow" TEMPLATE template0')
    assert fake.texts()[1:] == [
        "COMMENT ON DATABASE \"mlflow__new_L\" IS 'mlops.stack loading L'",
        'REVOKE ALL ON DATABASE "mlflow__new_L" FROM PUBLIC',
    ]
    fake.on("CREATE DATABASE", fault('ERROR:  invalid LC_COLLATE locale name: "xx"', "42809"))
    with pytest.raises(BackupError, match="'mlflow__new_L' could not be made: invalid LC_COLLATE") as caught:
        server.create(TARGET, "mlflow", "L")
    assert caught.value.phase == "create"


def test_a_database_is_dropped_with_its_sessions(fake, server, fault):
    server.drop('a"b')
    assert fake.texts() == ['DROP DATABASE IF EXISTS "a""b" WITH (FORCE)']
    fake.on("DROP", fault("ERROR:  must be owner", "42501"))
    with pytest.raises(BackupError, match="'x' could not be dropped: must be owner") as caught:
        server.drop("x")
    assert caught.value.phase == "clean"


def tables(count):
    return [("public", f"t{number}", f"public.t{number}", number) for number in range(count)]


@pytest.mark.parametrize("jobs, connections", [(1, 1), (3, 3), (50, 6)])
def test_counts_and_revisions(fake, server, jobs, connections):
    fake.on(
        "SELECT n.nspname",
        [
            *tables(4),
            ("public", "alembic_version", "public.alembic_version", 9),
            ("s", "alembic_version", "s.alembic_version", 0),
        ],
    )
    fake.on("SELECT count(*)", lambda _database, text, _values: [(len(text),)])
    fake.on("SELECT version_num", [("aa",), ("bb",)])
    counts, heads = server.content("mlflow__new_L", jobs)
    assert counts == {
        **{f"public.t{number}": len("SELECT count(*) FROM ONLY public.t0") for number in range(4)},
        "public.alembic_version": len("SELECT count(*) FROM ONLY public.alembic_version"),
        "s.alembic_version": len("SELECT count(*) FROM ONLY s.alembic_version"),
    }
    assert heads == {"alembic_version": "aa,bb"}
    opened = [one for one in fake.connections if one.database == "mlflow__new_L"]
    assert len(opened) == connections + 1
    assert all(one.closed for one in opened)
    if jobs == 1:
        assert fake.texts("SELECT count")[:2] == [
            "SELECT count(*) FROM ONLY public.alembic_version",
            "SELECT count(*) FROM ONLY public.t3",
        ]


def test_statistics_are_made_where_they_are_asked_for(fake, server):
    fake.on("SELECT n.nspname", tables(2))
    fake.on("SELECT count(*)", [(1,)])
    server.content("d", 1)
    assert fake.texts("ANALYZE") == []
    server.content("d", 1, analyze=True)
    assert fake.texts("ANALYZE") == ["ANALYZE public.t1", "ANALYZE public.t0"]


def test_a_database_without_tables(fake, server):
    fake.on("SELECT n.nspname", [])
    assert server.content("d", 4) == ({}, {})


def test_an_error_while_counting(fake, server, fault):
    fake.on("SELECT n.nspname", tables(3))
    fake.on("SELECT count(*)", fault("ERROR:  could not read block", "XX001"))
    with pytest.raises(ServerError, match="could not read block"):
        server.content("d", 2)
    assert all(one.closed for one in fake.connections[1:])


def test_a_server_that_comes_back(fake, server):
    times, pauses = iter([0.0, 1.0, 2.0]), []
    refusals = [BackupError("not yet", "connect"), BackupError("not yet", "connect")]

    def connect(database):
        if refusals:
            raise refusals.pop()
        return fake.connect(database)

    first = server.connection
    server._connect = connect
    assert server.wait_until_back(30, lambda: next(times), pauses.append) is True
    assert first.closed and server.connection is not first and not server.connection.closed
    assert pauses == [0.5, 0.5]


def test_a_server_that_does_not_come_back(server, fake):
    times = iter([0.0, 29.0, 30.0])

    def connect(_database):
        raise BackupError("no", "connect")

    server._connect = connect
    assert server.wait_until_back(30, lambda: next(times), lambda seconds: None) is False
