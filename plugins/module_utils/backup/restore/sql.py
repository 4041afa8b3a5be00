# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements about databases: pure text, with names and values quoted."""

from __future__ import annotations

import dataclasses
import re

DATABASES = """
SELECT d.datname, pg_get_userbyid(d.datdba), shobj_description(d.oid, 'pg_database') FROM pg_database d ORDER BY 1
"""
ME = """
SELECT current_setting('server_version_num')::int, rolname, rolsuper, rolcreatedb
FROM pg_roles WHERE rolname = current_user
"""
# To make a database for a role one must be able to become it, and to rename it one must have its rights.
ROLES = """
SELECT rolname, pg_has_role(oid, 'USAGE') AND
  pg_has_role(oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
FROM pg_roles
"""
# An extension may be made by the database's owner where its newest version needs no superuser or is trusted.
EXTENSIONS = """
SELECT e.name, COALESCE(bool_or(NOT v.superuser OR v.trusted OR e.name = 'plpgsql'), false)
FROM pg_available_extensions e LEFT JOIN pg_available_extension_versions v USING (name) GROUP BY e.name
"""
ACL = "SELECT datacl IS NULL, datconnlimit FROM pg_database WHERE datname = %s"
# What a new database has is made by initdb, which leaves the numbers from 16384 on to everybody else.
IS_EMPTY = """
SELECT NOT EXISTS (SELECT FROM pg_class WHERE oid >= 16384) AND NOT EXISTS (SELECT FROM pg_proc WHERE oid >= 16384)
  AND NOT EXISTS (SELECT FROM pg_namespace WHERE oid >= 16384)
  AND NOT EXISTS (SELECT FROM pg_extension WHERE oid >= 16384) AND NOT EXISTS (SELECT FROM pg_largeobject_metadata)
"""
# A worker of autovacuum has no user: PostgreSQL itself sends it away.
SESSIONS = """
SELECT a.pid, a.usename,
  NOT r.rolsuper AND (pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
    OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.datname = ANY(%s) AND a.pid <> pg_backend_pid() ORDER BY 1
"""
# Settings whose value is a list of names: quoted one by one, where any other value is quoted as a whole.
LISTS = frozenset(
    {"local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"},
)
ELEMENT = re.compile(r'"(?P<quoted>(?:[^"]|"")*)"|(?P<bare>[^\s",]+)')
PRIVILEGES = frozenset({"CONNECT", "CREATE", "TEMPORARY", "TEMP"})
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


@dataclasses.dataclass(frozen=True)
class Properties:
    """What a database has beside its content.

    ``grants`` are (role or None for PUBLIC, privilege, whether it may be passed on), and None is the default of a new
    database. ``settings`` are (role or None for all, "name=value").
    """

    grants: list[tuple] | None = None
    settings: list[tuple] = dataclasses.field(default_factory=list)
    connection_limit: int = -1


def from_manifest(facts: dict) -> Properties:
    """The properties that the manifest names."""
    grants = facts.get("acl")
    settings = [(one.get("role"), entry) for one in facts.get("settings", []) for entry in one["config"]]
    return Properties(None if grants is None else [tuple(grant) for grant in grants], settings)


def identifier(name: str) -> str:
    """A name as SQL wants it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL wants it, whatever the server thinks of backslashes."""
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in quoted else quoted


def comment(database: str, text: str) -> str:
    """Set a database's comment."""
    return f"COMMENT ON DATABASE {identifier(database)} IS {literal(text)}"


def close_to_public(database: str) -> str:
    """Let nobody but its owner into a new database."""
    return f"REVOKE ALL ON DATABASE {identifier(database)} FROM PUBLIC"


def create_database(name: str, owner: str, facts: dict) -> str:
    """Make an empty database with the encoding and the locale that the manifest names."""
    parts = [
        f"CREATE DATABASE {identifier(name)} OWNER {identifier(owner)} TEMPLATE template0",
        f"ENCODING {literal(facts['encoding'])}",
        f"LC_COLLATE {literal(facts['collate'])} LC_CTYPE {literal(facts['ctype'])}",
    ]
    provider = PROVIDERS.get(facts.get("locale_provider") or "c", facts.get("locale_provider"))
    if provider != "libc":
        parts.append(f"LOCALE_PROVIDER {provider} {provider.upper()}_LOCALE {literal(facts['locale'])}")
    return " ".join(parts)


def _setting(database, role, entry):
    name, _separator, value = entry.partition("=")
    values = [value]
    if name in LISTS:
        values = [part["bare"] or part["quoted"].replace('""', '"') for part in ELEMENT.finditer(value)]
    shown = ", ".join(literal(one) for one in values) or "''"
    place = f"DATABASE {identifier(database)}"
    if role:
        place = f"ROLE {identifier(role)} IN {place}"
    # A setting of an extension has dots in its name, each part of which is quoted.
    quoted = ".".join(identifier(part) for part in name.split("."))
    return f"ALTER {place} SET {quoted} TO {shown}"


def apply_properties(database: str, properties: Properties) -> list[str]:
    """The statements that give these properties to a new database, which is closed to the public."""
    name = identifier(database)
    statements = []
    if properties.grants is None:
        statements.append(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO PUBLIC")
    else:
        for role, privilege, grantable in properties.grants:
            if privilege not in PRIVILEGES:
                continue
            to = identifier(role) if role else "PUBLIC"
            option = " WITH GRANT OPTION" if grantable else ""
            statements.append(f"GRANT {privilege} ON DATABASE {name} TO {to}{option}")
    if properties.connection_limit != -1:
        statements.append(f"ALTER DATABASE {name} CONNECTION LIMIT {properties.connection_limit}")
    return statements + [_setting(database, role, entry) for role, entry in properties.settings]
