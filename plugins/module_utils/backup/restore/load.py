# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore: which one, of what, with which arguments, and what it said."""

from __future__ import annotations

import pathlib
import re

from ansible_collections.mlops.stack.plugins.module_utils.backup import postgres
from ansible_collections.mlops.stack.plugins.module_utils.backup.dump import Tool, connection_string
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

MAGIC = b"PGDMP"
DIRECTORY = "directory"
CUSTOM = "custom"
TAR = "tar"
# From here on pg_restore sets a limit that older servers do not know and that is no part of what was dumped.
SETS_TRANSACTION_TIMEOUT = 17
HARMLESS = 'unrecognized configuration parameter "transaction_timeout"'
ERROR_LINE = re.compile(r"^pg_restore: error: (?P<text>.*)$", re.MULTILINE)
CAUSES = (
    (re.compile(r'role "([^"]+)" does not exist'), "the role '{0}', which the set grants rights to, does not exist"),
    (re.compile(r'extension "([^"]+)" is not available'), "the extension '{0}' is not installed on the server"),
    (re.compile(r'permission denied to create extension "([^"]+)"'), "only a superuser may make the extension '{0}'"),
    (re.compile(r"No space left on device|could not extend file"), "a disk is full"),
    (re.compile(r"unsupported version"), "the set was made by a newer pg_dump than this pg_restore"),
    (re.compile(r"server closed the connection|terminating connection|connection to server"), "the server went away"),
)


def archive_format(path: pathlib.Path) -> str:
    """What kind of archive lies here, by its content and not by its name; BackupError where it is none."""
    try:
        if path.is_dir():
            head, kind = _start(path / "toc.dat"), DIRECTORY
        else:
            head, kind = _start(path), CUSTOM
    except OSError as error:
        raise BackupError(
            f"The archive {path} cannot be read: {error.strerror}.", "check", safe_to_retry=False
        ) from error
    # A tar archive's first member is the table of contents.
    if head[:7] == b"toc.dat" and head[257:262] == b"ustar":
        return TAR
    if not head.startswith(MAGIC):
        raise BackupError(f"{path} is no archive of pg_dump.", "check", safe_to_retry=False)
    return kind


def _start(path):
    with path.open("rb") as stream:
        return stream.read(512)


def choose(tools: list[Tool], server_major: int, dump_major: int) -> Tool:
    """The pg_restore to take: that of the server's version, else the nearest newer one that can read the set."""
    able = [tool for tool in tools if tool.major >= dump_major]
    if not able:
        raise BackupError(
            f"The set was made by pg_dump {dump_major}, and there is no pg_restore of that version or newer here:"
            f" install postgresql-client-{dump_major}.",
            "check",
            safe_to_retry=False,
        )
    return min(able, key=lambda tool: (tool.major < server_major, abs(tool.major - server_major)))


def tolerant(tool: Tool, server_major: int) -> bool:
    """Whether this pg_restore is known to say one harmless error to this server."""
    return tool.major >= SETS_TRANSACTION_TIMEOUT > server_major


def arguments(tool: Tool, server_major: int, archive: pathlib.Path, database: str, owner: str, jobs: int) -> list[str]:
    """The argument list; where the server is and its password come by the environment."""
    argv = [
        tool.path("pg_restore"),
        f"--dbname={connection_string(database, postgres.KEEPALIVE)}",
        "--no-password",
        "--no-owner",
        f"--role={owner}",
    ]
    if not tolerant(tool, server_major):
        argv.append("--exit-on-error")
    if jobs > 1 and archive_format(archive) != TAR:
        argv.append(f"--jobs={jobs}")
    return [*argv, str(archive)]


def judge(result, tolerated: bool, database: str) -> list[str]:
    """pg_restore's warnings where it did all of its work; BackupError where it did not."""
    errors = [match["text"] for match in ERROR_LINE.finditer(result.err)]
    harmless = tolerated and bool(errors) and all(text.endswith(HARMLESS) for text in errors)
    if result.rc == 0 or (result.rc == 1 and harmless):
        return [line for line in result.err.splitlines() if "warning:" in line and "errors ignored" not in line]
    if result.timed_out:
        why = f"it took longer than {result.seconds:.0f} seconds"
    else:
        why = cause(result.err) or (errors[0] if errors else f"pg_restore ended with status {result.rc}")
    raise BackupError(f"Loading the set into '{database}' failed: {why}.", "load", rc=result.rc, stderr_tail=result.err)


def cause(text: str) -> str | None:
    """What is behind pg_restore's words, where it is known."""
    for pattern, sentence in CAUSES:
        match = pattern.search(text)
        if match:
            return sentence.format(*match.groups())
    return None
