# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL server that is backed up: what it is, what its databases are, and snapshots of them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime

from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import (
    HAS_PSYCOPG2,
    KEEPALIVE,
    PSYCOPG2_IMPORT_ERROR,
    DriverError,
    Login,
    connect,
    pooler,
    query,
    reading,
)
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.snapshot import (
    ALEMBIC,
    DATABASE,
    GRANTS,
    SESSION,
    SETTINGS,
    TABLES,
    Snapshot,
    Table,
)

__all__ = [
    "ALEMBIC",
    "GRANTS",
    "HAS_PSYCOPG2",
    "KEEPALIVE",
    "PSYCOPG2_IMPORT_ERROR",
    "SETTINGS",
    "TABLES",
    "DriverError",
    "Identity",
    "Login",
    "Server",
    "Snapshot",
    "Table",
    "connect",
]

# The database that every server has and every role may connect to, for what concerns the server.
MAINTENANCE = "postgres"
SERVER = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
  (SELECT system_identifier::text FROM pg_control_system()), pg_is_in_recovery(), pg_backend_pid()
"""
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1"


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a server is. ``version_num`` is such as 170012."""

    version_num: int
    version: str
    system_identifier: str
    in_recovery: bool

    @property
    def major(self) -> int:
        """Its major version."""
        return self.version_num // 10000


class Server:
    """A server to be backed up. ``connector`` makes connections as connect() does."""

    def __init__(self, login: Login, connector=connect):
        self.login = login
        self.connector = connector

    @contextlib.contextmanager
    def session(self, database: str, autocommit: bool = True):
        """A connection for a while."""
        connection = self.connector(self.login, database, autocommit)
        try:
            yield connection
        finally:
            with contextlib.suppress(DriverError):
                connection.close()

    def identity(self, allow_replica: bool = False, database: str = MAINTENANCE) -> Identity:
        """What the server is; BackupError for CrateDB, a pooler, and a replica that is not allowed."""
        with self.session(database) as connection, reading("The server", self.login):
            says = query(connection, "SELECT version()")[0][0]
            if "CrateDB" in says:
                raise BackupError(
                    f"What answers at {self.login.where} is CrateDB, of which pg_dump makes no backup: use its own "
                    "CREATE SNAPSHOT.",
                    "connect",
                    safe_to_retry=False,
                )
            number, version, system, recovering, process = query(connection, SERVER)[0]
            # A pooler invents the number that a client would cancel with; PostgreSQL sends its own process's.
            if process != connection.info.backend_pid:
                raise pooler(self.login)
        if recovering and not allow_replica:
            raise BackupError(
                f"The server at {self.login.where} is a replica, which may lag and cancels long dumps: set login_host "
                "to the primary.",
                "connect",
                safe_to_retry=False,
            )
        return Identity(number, version.split()[0], system, recovering)

    def databases(self, database: str = MAINTENANCE) -> list[str]:
        """The names of the databases that can be connected to, asked for in one of them."""
        with self.session(database) as connection, reading("The list of databases", self.login):
            return [row[0] for row in query(connection, DATABASES)]

    def size(self, database: str) -> int:
        """The bytes of a database on the server's disk."""
        with self.session(database) as connection, reading(f"The database {database}", self.login):
            return query(connection, DATABASE, (database,))[0][7]

    @contextlib.contextmanager
    def snapshot(self, database: str, lock_timeout: int = 0):
        """A Snapshot of the database, which lasts as long as this context.

        ``lock_timeout``: how many seconds its queries wait for a locked table; 0 is for ever.
        """
        with self.session(database, autocommit=False) as connection:
            with reading(f"The database {database}", self.login):
                connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                query(connection, SESSION, (str(lock_timeout * 1000),))
                exported, taken = query(connection, "SELECT pg_export_snapshot(), clock_timestamp()")[0]
            yield Snapshot(self.login, database, connection, exported, taken.astimezone(datetime.timezone.utc))
