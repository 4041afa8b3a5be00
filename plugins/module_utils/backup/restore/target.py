# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server that is restored to: what it has, and the databases made on it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import time
import zlib

from ansible_collections.mlops.stack.plugins.module_utils.backup import postgres
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import plan, sql

# A lock's two numbers: ours, and one made of the database's name.
LOCK_SPACE = 0x6D6C6F70
# The phase of an error until somebody knows it better.
PHASE = "server"


class ServerError(BackupError):
    """What PostgreSQL answered instead of doing what it was told; ``code`` is its SQLSTATE, None without a server."""

    def __init__(self, error: Exception, what: str = "PostgreSQL did not do what it was told", phase: str = PHASE):
        said = str(error).strip()
        lines = said.splitlines() or [type(error).__name__]
        super().__init__(f"{what}: {lines[0].removeprefix('ERROR:').strip()}.", phase, stderr_tail=said)
        self.code = error.pgcode
        self.error = error

    def about(self, what: str, phase: str) -> ServerError:
        """The same with a better word for what failed."""
        return ServerError(self.error, what, phase)


class Server:
    """One PostgreSQL server.

    ``connect`` makes a connection in autocommit mode to the database that it is given, and raises BackupError where it
    cannot. One connection to the maintenance database is kept: it holds the locks against a second restore.
    """

    def __init__(self, connect, maintenance=postgres.MAINTENANCE):
        self._connect = connect
        self.maintenance = maintenance
        self.connection = self.connect(maintenance)

    def connect(self, database: str):
        """A connection whose statements may take their time, and see all rows, whatever the server's settings say."""
        connection = self._connect(database)
        self.query("SET statement_timeout = 0; SET row_security = off", None, connection)
        return connection

    def close(self) -> None:
        """End the session, and with it the locks."""
        with contextlib.suppress(postgres.DriverError):
            self.connection.close()

    def query(self, text, values=None, connection=None) -> list[tuple]:
        """The rows that a statement answers, none where it has no answer."""
        try:
            with (connection or self.connection).cursor() as cursor:
                cursor.execute(text, values)
                return cursor.fetchall() if cursor.description else []
        except postgres.DriverError as error:
            raise ServerError(error) from error

    def wait_until_back(self, seconds: float, clock=time.monotonic, sleep=time.sleep) -> bool:
        """Whether the server answers, asked anew until the time is over; the session is a new one then."""
        until = clock() + seconds
        while True:
            with contextlib.suppress(BackupError):
                self.close()
                self.connection = self.connect(self.maintenance)
                return True
            if clock() >= until:
                return False
            sleep(0.5)

    # What is there

    def lock(self, name: str) -> bool:
        """Whether nobody else restores to this database; the lock goes with the session."""
        key = zlib.crc32(name.encode()) - (1 << 31)
        return self.query("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_SPACE, key))[0][0]

    def databases(self) -> dict[str, plan.Found]:
        """All databases of the server."""
        return {row[0]: plan.Found(*row) for row in self.query(sql.DATABASES)}

    def facts(self, free_bytes: int | None = None) -> plan.Facts:
        """What the checks want to know."""
        version, user, superuser, createdb = self.query(sql.ME)[0]
        roles = self.query(sql.ROLES)
        return plan.Facts(
            version_num=version,
            user=user,
            superuser=superuser,
            createdb=createdb,
            roles=frozenset(name for name, _member in roles),
            member_of=frozenset(name for name, member in roles if member),
            extensions=dict(self.query(sql.EXTENSIONS)),
            free_bytes=free_bytes,
        )

    def data_directory(self) -> str | None:
        """Where the server's files are, where this role may know it."""
        with contextlib.suppress(ServerError):
            return self.query("SELECT current_setting('data_directory')")[0][0]
        return None

    def size(self, name: str) -> int:
        """The bytes of a database on the server's disk."""
        return self.query("SELECT pg_database_size(%s)", (name,))[0][0]

    def is_empty(self, name: str) -> bool:
        """Whether there is nothing in a database; of one that this role may not look into, that is not known."""
        with contextlib.suppress(BackupError), contextlib.closing(self.connect(name)) as connection:
            return self.query(sql.IS_EMPTY, None, connection)[0][0]
        return False

    # Making and removing

    def create(self, target: plan.Target, owner: str, label: str) -> None:
        """Make the empty database that the set is loaded into."""
        try:
            self.query(sql.create_database(target.new, owner, target.facts))
            self.query(sql.comment(target.new, plan.with_mark(None, "loading", label)))
            self.query(sql.close_to_public(target.new))
        except ServerError as error:
            raise error.about(f"The database '{target.new}' could not be made", "create") from error

    def drop(self, name: str) -> None:
        """Remove a database with all sessions in it; one that is not there is no error."""
        try:
            self.query(f"DROP DATABASE IF EXISTS {sql.identifier(name)} WITH (FORCE)")
        except ServerError as error:
            raise error.about(f"The database '{name}' could not be dropped", "clean") from error

    # What a loaded database holds

    def tables(self, name: str) -> list[postgres.Table]:
        """The tables that have rows of their own, the biggest first."""
        with contextlib.closing(self.connect(name)) as connection:
            found = [postgres.Table(*row) for row in self.query(postgres.TABLES, None, connection)]
        return sorted(found, key=lambda table: -table.bytes)

    def content(self, name: str, jobs: int, analyze: bool = False) -> tuple[dict[str, int], dict[str, str]]:
        """Each table's rows, counted over several connections, and each alembic table's revision.

        With ``analyze`` the planner gets its statistics too, without which MLflow's searches crawl at first.
        """
        tables = self.tables(name)
        left: queue.SimpleQueue = queue.SimpleQueue()
        for table in tables:
            left.put(table)
        workers = max(1, min(jobs, len(tables)))
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            parts = [pool.submit(self._read_some, name, left, analyze) for _worker in range(workers)]
        counts, heads = {}, {}
        for part in parts:
            counts.update(part.result()[0])
            heads.update(part.result()[1])
        return counts, heads

    def _read_some(self, name, left, analyze):
        counts, heads = {}, {}
        with contextlib.closing(self.connect(name)) as connection:
            while True:
                try:
                    table = left.get_nowait()
                except queue.Empty:
                    return counts, heads
                counts[table.name] = self.query(f"SELECT count(*) FROM ONLY {table.quoted}", None, connection)[0][0]
                if analyze:
                    self.query(f"ANALYZE {table.quoted}", None, connection)
                if table.schema == "public" and table.table.startswith(postgres.ALEMBIC):
                    rows = self.query(f"SELECT version_num FROM {table.quoted} ORDER BY 1", None, connection)
                    heads[table.table] = ",".join(row[0] for row in rows)
