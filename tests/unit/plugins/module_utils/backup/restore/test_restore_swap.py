# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import sql, swap
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.target import Server, ServerError

RENAMES = [("mlflow", "mlflow__old_L"), ("mlflow__new_L", "mlflow")]
COMMENTS = {"mlflow": "mlops.stack set L"}


@pytest.fixture(name="server")
def fixture_server(fake):
    fake.on("SELECT a.pid", [])
    return Server(fake.connect)


def test_properties(fake, server):
    fake.on("SELECT datacl", [(False, 5)], [(True, -1)])
    fake.on("SELECT CASE a.grantee", [["mlflow", "CONNECT", False]])
    fake.on("SELECT CASE s.setrole", [(None, ["a=1", "b=2"]), ("r", ["c=3"])])
    assert swap.properties(server, "mlflow") == sql.Properties(
        [("mlflow", "CONNECT", False)], [(None, "a=1"), (None, "b=2"), ("r", "c=3")], 5
    )
    assert swap.properties(server, "mlflow").grants is None


def test_what_this_role_may_not_set_is_told(fake, server, fault):
    role = []
    fake.on("SET ROLE", lambda _database, text, _values: role.append(text.split()[-1]))
    fake.on("RESET ROLE", lambda *_call: role.clear())

    def owners_alone(*_call):
        return None if role == ['"mlflow"'] else fault("ERROR:  permission denied", "42501")

    fake.on('ALTER ROLE "mlflow"', owners_alone)
    fake.on('ALTER ROLE "grafana"', fault("ERROR:  permission denied to alter role\nDETAIL:  more", "42501"))
    settings = [(None, "work_mem=8MB"), ("mlflow", "a=1"), ("grafana", "b=2")]
    left = swap.apply(server, "new", "mlflow", sql.Properties([], settings))
    assert left == [
        ('ALTER ROLE "grafana" IN DATABASE "new" SET "b" TO \'2\'', "ERROR:  permission denied to alter role")
    ]
    assert role == []
    assert fake.texts("ALTER DATABASE") == ['ALTER DATABASE "new" SET "work_mem" TO \'8MB\'']


def test_a_server_that_is_gone_is_no_refusal(fake, server, fault):
    fake.on("GRANT", fault("server closed the connection"))
    with pytest.raises(ServerError, match="closed the connection"):
        swap.apply(server, "new", "mlflow", sql.Properties())


def test_all_names_change_in_one_transaction(fake, server):
    swap.rename(server, RENAMES, COMMENTS)
    mine = [text for text in fake.texts() if not text.startswith("SELECT")]
    assert mine == [
        "BEGIN",
        "SET LOCAL lock_timeout = '10s'",
        'ALTER DATABASE "mlflow" RENAME TO "mlflow__old_L"',
        'ALTER DATABASE "mlflow__new_L" RENAME TO "mlflow"',
        "COMMENT ON DATABASE \"mlflow\" IS 'mlops.stack set L'",
        "COMMIT",
    ]
    assert [one.closed for one in fake.connections] == [False, True]
    assert all(one[2] == (["mlflow", "mlflow__new_L"],) for one in fake.said if one[1].startswith("SELECT a.pid"))


def test_sessions_are_ended_while_the_rename_waits(fake, server, fault):
    ended = threading.Event()
    fake.on("SELECT a.pid", [(7, "mlflow", True), (8, "late", False)])
    fake.answers[0][1].insert(0, [])
    fake.on(
        "SELECT pg_terminate_backend",
        lambda _database, _text, values: fault("denied", "42501") if values == (8,) else ended.set(),
    )
    fake.on('ALTER DATABASE "mlflow" RENAME', lambda *_call: None if ended.wait(10) else fault("in use", "55006"))
    swap.rename(server, RENAMES, COMMENTS)
    assert "COMMIT" in fake.texts()
    assert (8,) in [one[2] for one in fake.said if one[1].startswith("SELECT pg_terminate")]


def test_an_error_of_the_helper_leaves_the_rename_to_itself(fake, server, fault):
    fake.on("SELECT a.pid", [], [(7, "mlflow", True)])
    fake.on("SELECT pg_terminate_backend", fault("boom", "XX000"))
    swap.rename(server, RENAMES, COMMENTS)
    assert "COMMIT" in fake.texts()


def test_sessions_that_come_back_are_tried_again(fake, server, fault):
    fake.on('ALTER DATABASE "mlflow" RENAME', fault("in use", "55006"), None)
    swap.rename(server, RENAMES, COMMENTS)
    assert [text for text in fake.texts() if text in ("BEGIN", "ROLLBACK", "COMMIT")] == [
        "BEGIN",
        "ROLLBACK",
        "BEGIN",
        "COMMIT",
    ]


@pytest.mark.parametrize(
    "code, tries, message",
    [("55006", swap.TRIES, "stays in use, by a session or a prepared"), ("42501", 1, "could not be renamed: no way")],
)
def test_names_stay_where_they_cannot_change(fake, server, fault, code, tries, message):
    fake.on('ALTER DATABASE "mlflow__new_L"', fault("ERROR:  no way", code))
    fake.on("ROLLBACK", fault("gone"))
    with pytest.raises(BackupError, match=message) as caught:
        swap.rename(server, RENAMES, COMMENTS)
    assert caught.value.phase == "swap"
    assert fake.texts("BEGIN") == ["BEGIN"] * tries
    assert "COMMIT" not in fake.texts()


def test_sessions_that_this_role_may_not_end_are_waited_for(fake, server):
    fake.on("SELECT a.pid", [(1, "grafana", False), (2, "mlflow", True)], [])
    pauses = []
    swap.rename(server, RENAMES, COMMENTS, iter([0.0, 1.0]).__next__, pauses.append)
    assert pauses == [0.5]
    assert "COMMIT" in fake.texts()


def test_sessions_that_nobody_ends(fake, server):
    fake.on("SELECT a.pid", [(1, "grafana", False), (2, "mlflow", True), (3, "backup", False)])
    with pytest.raises(BackupError, match="Sessions of backup, grafana use the database.* GRANT pg_signal_backend"):
        swap.rename(server, RENAMES, COMMENTS, iter([0.0, 1.0, 15.0]).__next__, lambda seconds: None)
    assert fake.texts("BEGIN") == []
    assert fake.texts("SELECT pg_terminate") == []
