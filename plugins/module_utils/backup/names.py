# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How sets and their files are named. Pure."""

from __future__ import annotations

import datetime
import re
import urllib.parse

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

MANIFEST = "manifest.json"
GLOBALS = "globals.sql"
SECRETS = "secrets.json"
ARTIFACTS_LIST = "artifacts.jsonl"
DATABASES = "databases"
ARTIFACTS = "artifacts"
LOCK = ".lock"
PROGRESS = "progress.json"
RESTORE_PROGRESS = "restore-progress.json"
LAST = "last.json"
# Its time is when backups were set up here.
SINCE = ".since"
PARTIAL_PREFIX = ".partial-"
# A set that is on its way out: it lost its place among the sets before its files went.
REMOVED_PREFIX = ".removed-"
SEALED = ".age"

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What lies beside the sets, such as the folder of a restore drill, and the word that pg_restore takes for a set.
RESERVED = (ARTIFACTS, PROGRESS, RESTORE_PROGRESS, LAST, MANIFEST, "lease.json", "drill", "latest")
STAMP = "%Y%m%dT%H%M%SZ"
RFC3339 = "%Y-%m-%dT%H:%M:%SZ"


def is_label(text: str) -> bool:
    """Whether a set may be named so."""
    return LABEL.fullmatch(text) is not None and text not in RESERVED


def check_label(text: str) -> str:
    """The label, or a BackupError that says what a label looks like."""
    if not is_label(text):
        raise BackupError(
            f"'{text}' is no label for a set: use up to 64 letters, digits, dots, underscores and hyphens, begin with "
            f"a letter or a digit, and use none of {', '.join(RESERVED)}.",
            "options",
            safe_to_retry=False,
        )
    return text


def new_label(now: datetime.datetime, token: str) -> str:
    """The label of a set that is begun now (an aware time); token is four hexadecimal digits by chance."""
    return f"{now.astimezone(datetime.timezone.utc).strftime(STAMP)}-{token}"


def partial(label: str) -> str:
    """The folder of a set while it is being written."""
    return PARTIAL_PREFIX + label


def database_folder(database: str) -> str:
    """The path of a database's dump within its set, whatever characters the database's name has."""
    quoted = urllib.parse.quote(database, safe=" ")
    # Of what quote leaves alone, only names of dots mean something to a file system.
    return f"{DATABASES}/{quoted.replace('.', '%2E') if set(quoted) == {'.'} else quoted}"


def format_time(moment: datetime.datetime) -> str:
    """An aware time as manifests have it: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(datetime.timezone.utc).strftime(RFC3339)


def parse_time(text: str) -> datetime.datetime:
    """An aware time from RFC 3339; ValueError where it is none."""
    return datetime.datetime.strptime(text, RFC3339).replace(tzinfo=datetime.timezone.utc)
