# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which schema an installed MLflow wants, read from its migration scripts without importing it."""

from __future__ import annotations

import ast
import glob
import os
import re

TRACKING_SCRIPTS = "store/db_migrations/versions"
AUTH_SCRIPTS = "server/auth/db/migrations/versions"

_REVISION = re.compile(r"^revision(?:\s*:[^=\n]+)?\s*=\s*(.+?)\s*$", re.MULTILINE)
_DOWN = re.compile(r"^down_revision(?:\s*:[^=\n]+)?\s*=\s*(.+?)\s*$", re.MULTILINE)
_TABLE = re.compile(r"\bop\.create_table\(\s*[\"'](\w+)[\"']")
_VERSION = re.compile(r"^VERSION\s*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


class NotInstalled(Exception):
    """There is no MLflow where one was expected."""


class Scripts:
    """The revisions of one store: known (all), heads (those no other one follows) and the tables they make."""

    def __init__(self, known, heads, tables):
        self.known = frozenset(known)
        self.heads = tuple(sorted(heads))
        self.tables = frozenset(tables)


def _literal(text):
    try:
        return ast.literal_eval(text.split("#")[0].strip())
    except (ValueError, SyntaxError):
        return None


def parse_scripts(texts):
    """The Scripts that these migration files (their texts) make up."""
    known, followed, tables = set(), set(), set()
    for text in texts:
        found = _REVISION.search(text)
        revision = _literal(found.group(1)) if found else None
        if not revision:
            continue
        known.add(revision)
        found = _DOWN.search(text)
        down = _literal(found.group(1)) if found else None
        followed.update([down] if isinstance(down, str) else down or [])
        tables.update(_TABLE.findall(text))
    return Scripts(known, known - followed, tables)


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


class Installed:
    """The MLflow of a virtual environment."""

    def __init__(self, env):
        self.env = env
        self.python = os.path.join(env, "bin", "python")
        found = sorted(glob.glob(os.path.join(env, "lib", "python3*", "site-packages", "mlflow", "version.py")))
        if not found or not os.path.exists(self.python):
            raise NotInstalled("there is no MLflow in %s" % env)
        self.package = os.path.dirname(found[-1])
        match = _VERSION.search(read(found[-1]))
        self.version = match.group(1) if match else "unknown"

    def scripts(self, folder):
        paths = sorted(glob.glob(os.path.join(self.package, folder, "*.py")))
        scripts = parse_scripts([read(path) for path in paths])
        if len(scripts.heads) != 1:
            raise NotInstalled(
                "the MLflow %s in %s is damaged: its migrations in %s end in %d revisions instead of one; install it "
                "again" % (self.version, self.env, folder, len(scripts.heads))
            )
        return scripts
