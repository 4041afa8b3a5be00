# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One moment of a database, as pg_dump sees it too."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime

from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import DriverError, Login, query, reading
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

# Written for all versions: a column that a version lacks is read through a JSON object of the row.
DATABASE = """
SELECT d.datname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
  coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
  coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
  pg_get_userbyid(d.datdba), pg_database_size(d.oid), d.datacl IS NULL
FROM pg_database d WHERE d.datname = %s
"""
GRANTS = """
SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = %s ORDER BY 1 NULLS FIRST, 2
"""
SETTINGS = """
SELECT CASE s.setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(s.setrole) END, s.setconfig
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = %s ORDER BY 1 NULLS FIRST
"""
EXTENSIONS = "SELECT extname, extversion FROM pg_extension ORDER BY 1"
TABLES = """
SELECT n.nspname, c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname), pg_relation_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_t'
ORDER BY 1, 2
"""
ALEMBIC = "alembic_version"
LOCK_TIMEOUT = "lock timeout"
# Nothing but ourselves may end the snapshot's transaction while pg_dump reads in it, and no row may be hidden.
SESSION = """
SELECT set_config(name, CASE name WHEN 'row_security' THEN 'off' WHEN 'lock_timeout' THEN %s ELSE '0' END, true)
FROM pg_settings WHERE name IN ('row_security', 'lock_timeout', 'statement_timeout', 'transaction_timeout',
  'idle_in_transaction_session_timeout')
"""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with rows of its own. ``name`` is schema.table as it is called, ``quoted`` as SQL wants it."""

    schema: str
    table: str
    quoted: str
    bytes: int

    @property
    def name(self) -> str:
        """The key of the manifest's tables."""
        return f"{self.schema}.{self.table}"


@dataclasses.dataclass
class Snapshot:
    """One moment of a database: what pg_dump dumps with ``--snapshot`` is what this reads.

    ``taken`` is the server's time. The transaction is idle between reads, and the server may not end it for that.
    """

    login: Login
    database: str
    connection: object
    exported: str
    taken: datetime.datetime
    cancelled: bool = False

    def cancel(self) -> None:
        """End what runs in another thread, and begin nothing more."""
        self.cancelled = True
        with contextlib.suppress(DriverError):
            self.connection.cancel()

    def counts(self) -> dict[str, int]:
        """The rows of each table; the biggest ones are counted first."""
        tables = sorted(self.tables(), key=lambda table: (-table.bytes, table.name))
        counts = {table.name: self.count(table) for table in tables}
        return dict(sorted(counts.items()))

    def facts(self) -> dict:
        """What the manifest says of the database, but for its rows and its dump.

        From here on no table is rewritten or dropped until the snapshot ends, so that all can be counted.
        """
        self._hold(self.tables())
        with reading(f"The database {self.database}", self.login):
            name, encoding, collate, ctype, provider, locale, owner, size, default_acl = self._query(
                DATABASE, (self.database,)
            )[0]
            grants = None if default_acl else [list(row) for row in self._query(GRANTS, (self.database,))]
            return {
                "name": name,
                "encoding": encoding,
                "collate": collate,
                "ctype": ctype,
                "locale_provider": provider,
                "locale": locale,
                "owner": owner,
                "size_bytes": size,
                "alembic": self.alembic(),
                "extensions": [{"name": row[0], "version": row[1]} for row in self._query(EXTENSIONS)],
                "settings": [
                    {"role": role, "config": list(config)} for role, config in self._query(SETTINGS, (self.database,))
                ],
                "acl": grants,
            }

    def _hold(self, tables):
        names = ", ".join(f"ONLY {table.quoted}" for table in tables)
        if not names:
            return
        with reading(f"The database {self.database}", self.login), self.connection.cursor() as cursor:
            try:
                cursor.execute(f"LOCK TABLE {names} IN ACCESS SHARE MODE")
            except DriverError as error:
                if LOCK_TIMEOUT not in str(error):
                    raise
                raise BackupError(
                    f"A table of {self.database} at {self.login.where} was locked by another session for longer than "
                    "lock_timeout; end that session, or repeat later.",
                    "dump",
                    stderr_tail=str(error).strip(),
                ) from error

    def _query(self, text, values=None):
        return query(self.connection, text, values)

    def tables(self) -> list[Table]:
        """The tables that have rows of their own."""
        with reading(f"The database {self.database}", self.login):
            return [Table(*row) for row in self._query(TABLES)]

    def alembic(self) -> dict[str, str]:
        """Each of MLflow's alembic tables with its revision."""
        tables = [table for table in self.tables() if table.schema == "public" and table.table.startswith(ALEMBIC)]
        heads = {}
        for table in tables:
            rows = self._query(f"SELECT version_num FROM {table.quoted} ORDER BY 1")
            heads[table.table] = ",".join(row[0] for row in rows)
        return heads

    def count(self, table: Table) -> int:
        """The rows of one table."""
        with reading(f"The table {table.name} of {self.database}", self.login):
            if self.cancelled:
                raise DriverError("the backup is being ended")
            return self._query(f"SELECT count(*) FROM ONLY {table.quoted}")[0][0]
