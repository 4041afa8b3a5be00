# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A loaded database takes the place of a live one: its rights and settings, and then its name."""

from __future__ import annotations

import contextlib
import threading
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup import postgres
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import sql
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.target import Server, ServerError

# A rename waits five seconds for other sessions to be gone; meanwhile they are ended this often.
TRIES = 3
TERMINATE_EVERY = 0.05
# How long sessions that this role may not end have time to end themselves, in seconds.
PATIENCE = 15
NOT_ALLOWED = "42501"
# The database is in use, a lock was not to be had in time, or two waited for each other.
BUSY = ("55006", "55P03", "40P01")


def properties(server: Server, name: str) -> sql.Properties:
    """The access rights, settings and connection limit of a database."""
    default_acl, limit = server.query(sql.ACL, (name,))[0]
    grants = None if default_acl else [tuple(row) for row in server.query(postgres.GRANTS, (name,))]
    settings = [(role, entry) for role, entries in server.query(postgres.SETTINGS, (name,)) for entry in entries]
    return sql.Properties(grants, settings, limit)


def apply(server: Server, name: str, owner: str, wanted: sql.Properties) -> list[tuple[str, str]]:
    """Give a database these properties; the statements that this role may not run, each with PostgreSQL's reason."""
    left = []
    for statement in sql.apply_properties(name, wanted):
        why = _refusal(server, statement) and _refusal(server, statement, owner)
        if why:
            left.append((statement, why))
    return left


def _refusal(server, statement, role=None) -> str | None:
    # A role's own settings can be set by that role alone, so the owner's are set as the owner.
    try:
        if role:
            server.query(f"SET ROLE {sql.identifier(role)}")
        server.query(statement)
    except ServerError as error:
        if error.code is None:
            raise
        return error.stderr_tail.splitlines()[0]
    finally:
        if role:
            server.query("RESET ROLE")
    return None


def rename(server: Server, renames, comments, clock=time.monotonic, sleep=time.sleep) -> None:
    """Give databases their names, (old, new) each, and comments, {name: text}: all in one transaction or not at all.

    Sessions are ended while the rename waits for them: it holds the lock that new sessions wait for, so none comes
    back in between. There is no moment at which a database refuses connections and somebody has to allow them again:
    when this process or the server dies, the databases have their old names.
    """
    names = [old for old, _new in renames]
    wait_for_others(server, names, clock, sleep)
    tries = 0
    while True:
        tries += 1
        try:
            with _ending_sessions(server, names):
                _rename_once(server, renames, comments)
            return
        except ServerError as error:
            if error.code not in BUSY:
                raise error.about("The databases could not be renamed", "swap") from error
            if tries == TRIES:
                raise error.about(
                    "The database stays in use, by a session or a prepared transaction", "swap"
                ) from error


def wait_for_others(server: Server, names: list[str], clock=time.monotonic, sleep=time.sleep) -> None:
    """Wait until these databases have no session that this role may not end; BackupError where one stays."""
    until = clock() + PATIENCE
    while True:
        users = sorted({user for _pid, user, endable in server.query(sql.SESSIONS, (names,)) if not endable})
        if not users:
            return
        if clock() >= until:
            raise BackupError(
                f"Sessions of {', '.join(users)} use the database, and this role may not end them: stop what they"
                " belong to, or GRANT pg_signal_backend to this role, which ends all but a superuser's.",
                "swap",
            )
        sleep(0.5)


def _rename_once(server, renames, comments):
    server.query("BEGIN")
    try:
        # Who waits for a lock lets all others wait behind it.
        server.query("SET LOCAL lock_timeout = '10s'")
        for old, new in renames:
            server.query(f"ALTER DATABASE {sql.identifier(old)} RENAME TO {sql.identifier(new)}")
        for name, text in comments.items():
            server.query(sql.comment(name, text))
        server.query("COMMIT")
    except BaseException:
        with contextlib.suppress(ServerError):
            server.query("ROLLBACK")
        raise


@contextlib.contextmanager
def _ending_sessions(server, names):
    connection = server.connect(server.maintenance)
    done = threading.Event()

    def work():
        # What goes wrong here, the rename runs into itself.
        with contextlib.suppress(ServerError):
            while not done.is_set():
                terminate(server, names, connection)
                done.wait(TERMINATE_EVERY)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        connection.close()


def terminate(server: Server, names: list[str], connection=None) -> None:
    """End the sessions in these databases, each for itself: one that this role may not end stops no other."""
    for pid, _user, _endable in server.query(sql.SESSIONS, (names,), connection):
        try:
            server.query("SELECT pg_terminate_backend(%s)", (pid,), connection)
        except ServerError as error:
            if error.code != NOT_ALLOWED:
                raise
