# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a set: databases, what belongs to them, artifacts, and the proof that all can be read."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import socket

from ansible_collections.mlops.stack.plugins.module_utils.backup import (
    dump,
    folder,
    manifest,
    names,
    plan,
    results,
    verify,
)
from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import KEEPALIVE
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.settings import read_secret
from ansible_collections.mlops.stack.plugins.module_utils.backup.together import Together

TOOL_VERSION = "0.1.0"
# Threads that run or watch something: a dump, its counts, the globals, reading and hashing several files.
WORKERS = 6


def tools():
    """The dump programs of this host."""
    return dump.find_tools(dump.candidates())


class Making:
    """Writes one set into ``partial``, all but its manifest, which the call gives.

    Making one, and check(), tell what cannot be before anything is written; for that alone no ``progress`` is needed.
    ``extras`` makes what may be missing (artifacts, encryption, a rehearsal): see extras.py.
    """

    def __init__(self, settings, server, identity, label, partial, progress, now, extras, find_tools=tools):
        self.settings = settings
        self.server = server
        self.identity = identity
        self.label = label
        self.partial = pathlib.Path(partial)
        self.progress = progress
        self.now = now
        self.tool = dump.choose(find_tools(), identity.major)
        self.compress, self.compress_option = dump.compression(settings.compress, self.tool)
        self.extras = extras
        self.warnings: list[str] = []
        # Why the set is there and the call fails.
        self.failure: BackupError | None = None
        self.taken = None
        self.globals_done = False
        # What secret_files hold, by name.
        self.secrets: dict[str, str] = {}
        # By path in the set: size and sha256.
        self.files: dict[str, tuple[int, str]] = {}

    def __call__(self, earlier) -> dict:
        """The manifest of the written set. ``earlier`` are the sets that are there."""
        settings = self.settings
        with self.progress.phase("check"):
            self.check(earlier)
        self.partial.mkdir(mode=0o700)
        (self.partial / names.DATABASES).mkdir(mode=0o700)
        with dump.passfile(settings.login.password) as passfile, Together(WORKERS, self._tick) as together:
            environment = dump.environment(settings.login, passfile)
            databases = [self._database(name, together, environment) for name in settings.databases]
            if self.secrets:
                manifest.write_json(self.partial / names.SECRETS, self.secrets)
            with self.progress.phase("read"):
                files = self._settle(together)
        dumped = sum(item["size"] for item in files if item["path"].startswith(names.DATABASES))
        plan.check_size(dumped, settings.sets.min_size)
        data = self._manifest(databases, files, self._artifacts(files))
        if settings.verify == "restore":
            self.extras.rehearse(settings, self.partial, data, self.tool, self.progress)
        if settings.encrypt_to:
            with self.progress.phase("encrypt"):
                data["files"] = self._sealed(files)
        data["finished"] = names.format_time(self.now())
        return data

    def check(self, earlier) -> None:
        """That the databases are there, that there is room for them, and that what belongs to them can be had."""
        settings = self.settings
        there = self.server.databases(settings.databases[0])
        missing = [name for name in settings.databases if name not in there]
        if missing:
            raise BackupError(
                f"The server at {settings.login.where} has no database {missing[0]}; it has {', '.join(there)}.",
                "options",
                safe_to_retry=False,
            )
        sizes = {name: self.server.size(name) for name in settings.databases}
        needed = plan.needed_bytes(sizes, earlier, settings.free_space_factor)
        dest = self.partial.parent
        # In check mode the folder may still have to be made.
        space = os.statvfs(next(path for path in (dest, *dest.parents) if path.exists()))
        free = space.f_bavail * space.f_frsize
        plan.check_space(needed, free, len(settings.databases), space.f_favail, dest)
        # What a restored MLflow needs to read its own tables.
        self.secrets = {
            name: read_secret(f"secret_files.{name}", path) for name, path in sorted(settings.secret_files.items())
        }
        self.extras.check(settings)

    def _database(self, name: str, together: Together, environment: dict) -> dict:
        """Dump one database, read back what was written, and say what the manifest says of it."""
        settings = self.settings
        with self.server.snapshot(name, settings.lock_timeout) as snapshot, self._cancelling(snapshot):
            if self.taken is None:
                self.taken = snapshot.taken
                self.warnings += plan.clocks(self.taken, self.now(), settings.login.where)
            with self.progress.phase("dump", unit="bytes"):
                facts = self._dump(name, snapshot, together, environment)
            with self.progress.phase("read"):
                # In the same snapshot; the server counts while this host reads, so that neither waits for the other.
                work = [together.submit(snapshot.counts), *self._read(name, together)]
                facts["tables"] = together.wait(work)[0]
        return facts

    def _dump(self, name: str, snapshot, together: Together, environment: dict) -> dict:
        """Dump one database, and meanwhile read in the same snapshot what the manifest says of it."""
        settings = self.settings
        argv = dump.dump_argv(
            self.tool,
            dump.connection_string(name, KEEPALIVE),
            self.partial / names.database_folder(name),
            jobs=settings.jobs,
            compress=self.compress_option,
            snapshot=snapshot.exported,
            lock_timeout=settings.lock_timeout,
        )
        work = [together.submit(lambda: self._done(together.call(argv, settings.timeout, environment), name))]
        if not self.globals_done:
            self.globals_done = True
            work.append(together.submit(self._globals, name, together, environment))
        work.append(together.submit(snapshot.facts))
        facts = together.wait(work)[-1]
        facts["dump"] = {
            "format": "directory",
            "compress": self.compress,
            "jobs": settings.jobs,
            "dump_tool_version": self.tool.version,
            "path": names.database_folder(name),
        }
        return facts

    def _done(self, result, name):
        self.warnings += dump.check(result, f"pg_dump of {name}", "dump", self.settings.login, self.partial.parent)

    def _globals(self, database, together, environment):
        argv = dump.globals_argv(
            self.tool,
            dump.connection_string(database, KEEPALIVE),
            self.partial / names.GLOBALS,
            lock_timeout=self.settings.lock_timeout,
        )
        result = together.call(argv, self.settings.timeout, environment)
        self.warnings += dump.check(result, "pg_dumpall", "dump", self.settings.login, self.partial.parent)

    @contextlib.contextmanager
    def _cancelling(self, snapshot):
        """End the query that runs in another thread when this one is ended."""
        try:
            yield
        except BaseException:
            snapshot.cancel()
            raise

    def _tick(self) -> None:
        if self.progress.current["unit"] == "bytes":
            self.progress.report(sum(size_of(path) for path in folder.files_below(self.partial)))

    def _read(self, name, together) -> list:
        """Put a database's dump on disk, decompress the archive and hash each file, side by side: what is under way."""
        target = self.partial / names.database_folder(name)
        work = [together.submit(self._hash, path) for path in folder.files_below(target)]
        if self.settings.verify != "none":
            argv = verify.read_argv(self.tool.path("pg_restore"), target)
            work.insert(0, together.submit(self._read_one, name, argv, together))
        return work

    def _hash(self, path) -> None:
        """Put a file on disk, and read what the manifest says of it."""
        self.files[str(path.relative_to(self.partial))] = verify.settle(path)

    def _settle(self, together) -> list[dict]:
        """The same for the files that are no database's: the manifest's files."""
        paths = [
            path for path in folder.files_below(self.partial) if str(path.relative_to(self.partial)) not in self.files
        ]
        together.wait([together.submit(self._hash, path) for path in paths])
        return [verify.entry(name, found) for name, found in sorted(self.files.items())]

    def _read_one(self, name, argv, together):
        result = together.call(argv, self.settings.timeout)
        dump.check(result, f"Reading back the dump of {name}", "read", self.settings.login, self.partial.parent)

    def _artifacts(self, files) -> dict | None:
        """The artifacts' part of the manifest; after the databases, so that every artifact that they name is there."""
        if self.settings.artifacts.mode == "none":
            return None
        with self.progress.phase("artifacts"):
            try:
                found = self.extras.artifacts(self.settings, self.label, self.partial, self.progress.report)
            except BackupError as error:
                found = self._listed(error)
            self.warnings += results.of_artifacts(found)
            path = self.partial / names.ARTIFACTS_LIST
            files.append(verify.entry(names.ARTIFACTS_LIST, verify.settle(path)))
        return found

    def _listed(self, error) -> dict:
        """The artifacts without copies, which could not be made: the call fails, and its set is there all the same."""
        if self.settings.artifacts.mode != "copy":
            raise error
        # Where copies should be is told all the same: other sets have copied most of what this one lists.
        wanted = dataclasses.replace(self.settings.artifacts, mode="inventory")
        try:
            settings = dataclasses.replace(self.settings, artifacts=wanted)
            found = self.extras.artifacts(settings, self.label, self.partial, self.progress.report)
        except BackupError:
            # The artifacts themselves cannot be had.
            raise error from None
        self.failure = error
        return found

    def _sealed(self, files) -> list[dict]:
        """Encrypt all files: what the manifest says of them then."""
        plain = {item["path"]: item["sha256"] for item in files}
        self.extras.seal(self.settings, self.partial, sorted(plain))
        sealed = {name + names.SEALED: one for name, one in plain.items()}
        return [
            {**verify.entry(name, verify.sha256(self.partial / name)), "plain_sha256": one}
            for name, one in sealed.items()
        ]

    def _manifest(self, databases, files, artifacts) -> dict:
        settings, identity = self.settings, self.identity
        return manifest.build(
            self.label,
            self.taken,
            self.now(),
            tool_version=TOOL_VERSION,
            host=socket.gethostname(),
            postgres={
                "version_num": identity.version_num,
                "system_identifier": identity.system_identifier,
                "host": settings.login.host,
                "port": settings.login.port,
            },
            databases=databases,
            versions=settings.versions,
            files=files,
            artifacts=artifacts,
            verified={"level": settings.verify, "at": names.format_time(self.now())},
            encrypted=bool(settings.encrypt_to),
        )


def size_of(path) -> int:
    """A file's size, 0 where it went meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
