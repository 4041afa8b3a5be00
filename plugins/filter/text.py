# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that write values for the programs that read them."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.mlflow import uri
from ansible_collections.mlops.stack.plugins.module_utils.stack import text


def database_uri(database, password, **options):
    """SQLAlchemy's URI for the database of the stack's plan."""
    return uri.postgresql_uri(
        database["host"], database["database"], database["user"], password, database["port"], options
    )


class FilterModule:
    """Registers the filters; each is documented in a file of its name."""

    def filters(self):
        return {
            "systemd_environment": text.systemd_environment,
            "database_uri": database_uri,
            "fingerprint": text.fingerprint,
            "ini_value": uri.ini_value,
            "sqlite_uri": uri.sqlite_uri,
        }
