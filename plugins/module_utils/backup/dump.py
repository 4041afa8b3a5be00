# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump and pg_dumpall: which ones, with which arguments, and what it means when they fail."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

# Where the packages of Debian and of Red Hat's family put programs, one folder for each major version.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
VERSION = re.compile(r"\) (\d+)(\S*)")
PROBE_SECONDS = 30
TAIL = 20
ZSTD_SINCE = 16
COMPRESS = re.compile(r"(auto|none|gzip|lz4|zstd)(?::(\d{1,2}))?")
CAUSES = (
    (
        re.compile(r"canceling statement due to lock timeout|could not obtain lock"),
        "a table was locked by another session for longer than lock_timeout; end that session, or repeat later",
    ),
    (re.compile(r"No space left on device"), "there is no space left in {folder}; make room there"),
    (re.compile(r"Disk quota exceeded"), "the disk quota of {folder} is used up; raise it"),
    (re.compile(r"Read-only file system"), "{folder} is on a read-only file system; mount it writable"),
    (
        re.compile(r"password authentication failed|no password supplied"),
        "the server refuses the password of user {user}; correct login_password",
    ),
    (
        re.compile(r"no pg_hba.conf entry"),
        "its access rules do not let user {user} in from this host; add a rule to pg_hba.conf",
    ),
    (
        re.compile(r"permission denied for"),
        "user {user} may not read everything in it; GRANT pg_read_all_data TO {user}",
    ),
    (
        re.compile(r"does not support compression|not supported by this installation|unrecognized compression"),
        "this pg_dump cannot compress so; set compress to gzip",
    ),
    (
        re.compile(
            r"server closed the connection|terminating connection|connection to server|lost synchronization"
            r"|SSL SYSCALL error|PQgetCopyData\(\) failed"
        ),
        "the server went away; look into its log, and repeat",
    ),
)


@dataclasses.dataclass(frozen=True)
class Tool:
    """The programs of one version of PostgreSQL: their folder, and the version of its pg_dump."""

    folder: str
    major: int
    version: str

    def path(self, program: str) -> str:
        """The path of one of the programs."""
        return f"{self.folder}/{program}"


def candidates(places=PLACES, which=shutil.which) -> list[str]:
    """The folders that may hold pg_dump: those of packages, and the one in PATH."""
    found = [str(path.parent) for place in places for path in sorted(pathlib.Path("/").glob(f"{place[1:]}/pg_dump"))]
    named = which("pg_dump")
    if named:
        found.append(os.path.dirname(named))
    return found


def find_tools(folders, runner=process.run) -> list[Tool]:
    """The tools in these folders, each asked for its version."""
    tools = []
    for folder in folders:
        match = VERSION.search(runner([f"{folder}/pg_dump", "--version"], PROBE_SECONDS).out)
        if match:
            tools.append(Tool(folder, int(match[1]), match[1] + match[2]))
    return tools


def choose(tools: list[Tool], server_major: int) -> Tool:
    """The tool of the server's version, else the nearest newer one: an older pg_dump misses what it does not know."""
    able = [tool for tool in tools if tool.major >= server_major]
    if able:
        return min(able, key=lambda tool: tool.major)
    newest = max((tool.major for tool in tools), default=None)
    there = f"pg_dump {newest} is too old for it" if newest else "there is no pg_dump here"
    raise BackupError(
        f"The server is PostgreSQL {server_major} and {there}: install the package postgresql-client-{server_major}.",
        "check",
        safe_to_retry=False,
    )


def compression(wanted: str, tool: Tool) -> tuple[str, str]:
    """(what the manifest calls it, pg_dump's option) for the option compress."""
    match = COMPRESS.fullmatch(wanted)
    if match is None:
        raise BackupError(
            f"compress is '{wanted}' and must be auto, none, gzip, lz4 or zstd, with a level where wanted (zstd:3).",
            "options",
            safe_to_retry=False,
        )
    method, level = match[1], match[2]
    if method == "auto":
        method, level = ("zstd", "1") if tool.major >= ZSTD_SINCE else ("gzip", "1")
    if method in ("zstd", "lz4") and tool.major < ZSTD_SINCE:
        raise BackupError(
            f"compress is '{wanted}', which pg_dump {tool.major} cannot do: set it to gzip, or install "
            f"postgresql-client-{ZSTD_SINCE} or newer.",
            "options",
            safe_to_retry=False,
        )
    name = method if level is None or method == "none" else f"{method}:{level}"
    if tool.major >= ZSTD_SINCE:
        return name, f"--compress={name}"
    return name, f"--compress={0 if method == 'none' else level or 6}"


def connection_string(database: str, keepalive: dict) -> str:
    """A libpq connection string for argv, which holds no secret: the database, and how a dead server is noticed."""
    words = {"dbname": database, **keepalive}
    escaped = {key: str(value).replace("\\", "\\\\").replace("'", "\\'") for key, value in words.items()}
    return " ".join(f"{key}='{value}'" for key, value in escaped.items())


def dump_argv(tool: Tool, connection: str, target, *, jobs: int, compress: str, snapshot: str, lock_timeout: int):
    """The command that dumps a database as a directory; ``lock_timeout`` in seconds."""
    return [
        tool.path("pg_dump"),
        f"--dbname={connection}",
        "--format=directory",
        f"--jobs={jobs}",
        compress,
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={lock_timeout * 1000}",
        "--no-password",
        # Put onto the disk by us, all files side by side, before they are read back.
        "--no-sync",
        f"--file={target}",
    ]


def globals_argv(tool: Tool, connection: str, target, *, lock_timeout: int):
    """The command that writes roles and tablespaces as SQL, without password hashes.

    pg_dumpall goes to postgres or template1 unless --database tells another, and takes what that tells for a connection
    string where it looks like one: a name such as a=b needs to be in one.
    """
    return [
        tool.path("pg_dumpall"),
        f"--database={connection}",
        "--globals-only",
        "--no-role-passwords",
        f"--lock-wait-timeout={lock_timeout * 1000}",
        "--no-password",
        "--no-sync",
        f"--file={target}",
    ]


def environment(login, passfile) -> dict[str, str]:
    """The programs' environment: where the server is, and where its password lies."""
    extra = {
        "PGHOST": login.host,
        "PGPORT": str(login.port),
        "PGUSER": login.user,
        "PGSSLMODE": login.sslmode,
        "PGPASSFILE": str(passfile),
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": "mlops.stack backup",
    }
    if login.ca_cert:
        extra["PGSSLROOTCERT"] = login.ca_cert
    return process.merged_environment(extra, ("PG",))


@contextlib.contextmanager
def passfile(password: str | None):
    """The path of a libpq password file that is in memory only and that other users cannot open."""
    if not password:
        yield "/dev/null"
        return
    if "\n" in password or "\0" in password:
        raise BackupError(
            "login_password holds a line break, which PostgreSQL's programs cannot read.",
            "options",
            safe_to_retry=False,
        )
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    descriptor = os.memfd_create("pgpass")
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, f"*:*:*:*:{escaped}\n".encode())
        # Opened anew by each program, through this process, so that nothing of it is left when this process is gone.
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def tail(text: str) -> str:
    """The last lines of what a command said."""
    return "\n".join(text.strip().splitlines()[-TAIL:])


def check(result, doing: str, phase: str, login, folder) -> list[str]:
    """The warnings of a command that ended well; BackupError with what is behind it where it did not."""
    if result.rc == 0:
        return [line for line in result.err.splitlines() if "warning:" in line]
    if result.timed_out:
        why = f"it did not end within {result.seconds:.0f} seconds; set a longer timeout"
    elif result.rc < 0:
        why = f"it was ended by signal {-result.rc}; repeat"
    else:
        why = cause(result.err, login.user, folder) or last_line(result)
    raise BackupError(f"{doing} at {login.where} failed: {why}.", phase, rc=result.rc, stderr_tail=tail(result.err))


def cause(text: str, user: str, folder) -> str | None:
    """What is behind the words of a program, and what to do, where that is known."""
    for pattern, sentence in CAUSES:
        if pattern.search(text):
            return sentence.format(user=user, folder=folder)
    return None


def last_line(result) -> str:
    """The last of what a program said."""
    lines = result.err.strip().splitlines()
    return lines[-1].rstrip(".") if lines else f"it ended with status {result.rc}"
