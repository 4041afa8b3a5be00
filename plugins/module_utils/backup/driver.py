# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to PostgreSQL, and what goes wrong with them."""

from __future__ import annotations

import contextlib
import dataclasses
import traceback

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.uri import explain, scrub

try:
    import psycopg2
except ImportError:
    HAS_PSYCOPG2 = False
    PSYCOPG2_IMPORT_ERROR = traceback.format_exc()
    DriverError = OSError
else:
    HAS_PSYCOPG2 = True
    PSYCOPG2_IMPORT_ERROR = None
    DriverError = psycopg2.Error

CONNECT_SECONDS = 10
# A server that vanishes without a word is noticed after about a minute.
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 4}


@dataclasses.dataclass(frozen=True)
class Login:
    """How a server is reached. ``password`` None leaves it to the server to ask for none."""

    host: str
    port: int = 5432
    user: str = "mlops_backup"
    password: str | None = dataclasses.field(default=None, repr=False)
    sslmode: str = "require"
    ca_cert: str | None = None

    @property
    def where(self) -> str:
        """The server as messages name it."""
        return f"{self.host}:{self.port}"

    def words(self) -> dict:
        """The connection's parameters as libpq spells them, the password left out."""
        words = {"host": self.host, "port": self.port, "user": self.user, "sslmode": self.sslmode}
        if self.ca_cert:
            words["sslrootcert"] = self.ca_cert
        return words


def connect(login: Login, database: str, autocommit: bool = True):
    """A psycopg2 connection; BackupError with the host and what to check where there is none."""
    words = login.words()
    try:
        connection = psycopg2.connect(
            dbname=database,
            # An empty password is none, and libpq then fails instead of asking a terminal or reading a file.
            password=login.password or "",
            passfile="/dev/null",
            connect_timeout=CONNECT_SECONDS,
            application_name="mlops.stack backup",
            **KEEPALIVE,
            **words,
        )
    except DriverError as error:
        text = scrub(str(error), [login.password] if login.password else [])
        reason, check = explain(text, dict(words, dbname=database))
        if "unsupported startup parameter" in text:
            raise pooler(login) from None
        raise BackupError(
            f"The database {database} at {login.where} cannot be reached: {reason}; {check}.",
            "connect",
            stderr_tail=text.strip(),
        ) from None
    connection.autocommit = autocommit
    return connection


def pooler(login: Login) -> BackupError:
    """The error of a server behind a pooler."""
    return BackupError(
        f"What answers at {login.where} is a connection pooler, through which no consistent dump is made: set "
        "login_host and login_port to PostgreSQL itself.",
        "connect",
        safe_to_retry=False,
    )


def query(connection, text: str, values=None) -> list[tuple]:
    """The rows that a statement answers."""
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchall()


@contextlib.contextmanager
def reading(what: str, login: Login):
    """Turn the driver's errors into ours."""
    try:
        yield
    except DriverError as error:
        said = str(error).strip()
        first = said.splitlines()[0] if said else type(error).__name__
        raise BackupError(f"{what} at {login.where} cannot be read: {first}.", "read", stderr_tail=said) from error
