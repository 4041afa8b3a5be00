# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore does beside the server: the set's files, pg_restore, and what this host knows."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup import dump, names, seal, verify
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import load, secrets, sets, units
from ansible_collections.mlops.stack.plugins.module_utils.backup.settings import read_secret
from ansible_collections.mlops.stack.plugins.module_utils.backup.together import Together
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import revisions
from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

# Where PostgreSQL's files are on this host when the server does not tell: the folder of Debian's packages.
USUAL_DATA = "/var/lib/postgresql"
REPORT_EVERY = 2.0


def damaged(label: str, wrong: list[str]) -> BackupError:
    """The error of a set whose files are not what the manifest says."""
    return BackupError(
        f"The set {label} is damaged: {'; '.join(wrong[:3])}{'; …' if len(wrong) > 3 else ''}. Restore another set.",
        "hash",
        safe_to_retry=False,
    )


class Files:
    """A set's files: in a folder, or in a store, from which they are fetched into ``work`` before they are used.

    ``work`` is a folder of this restore alone; what is encrypted is decrypted there. ``store`` is a bucket.SetStore.
    """

    def __init__(self, manifest: dict, folder=None, store=None, work=None, identity_file=None, timeout=86400.0):
        self.manifest = manifest
        self.folder = folder and pathlib.Path(folder)
        self.store = store
        self.work = work and pathlib.Path(work)
        self.identity_file = identity_file
        self.timeout = timeout
        # Whether the files in the folder are as they were before any encryption.
        self.plain = not manifest["encrypted"]

    @property
    def label(self) -> str:
        """The set's label."""
        return self.manifest["label"]

    def verify(self, check_mode: bool = False, progress=None) -> None:
        """Read all files and compare their hashes; fetch and decrypt them where they have to be.

        In check mode, of a set in a store only the files' sizes are compared, and of one that is encrypted the smallest
        file alone is decrypted: it tells whether the identity is the right one.
        """
        self._need_identity()
        if self.folder is None and check_mode:
            wrong = self.store.look(self.label).problems
        elif self.folder is None:
            wrong = []
            self.store.download_set(self.label, self.work / "set", progress)
            self.folder = self.work / "set"
        else:
            wrong = verify.compare(self.folder, self.manifest)
        if wrong:
            raise damaged(self.label, wrong)
        if self.manifest["encrypted"] and check_mode:
            sealed = [item for item in self.manifest["files"] if _is_sealed(item)]
            self.fetch(_plain(min(sealed, key=lambda item: item["size"])))
        elif self.manifest["encrypted"]:
            plain = self.work / "plain"
            sets.borrow(self.folder, plain, [item["path"] for item in self.manifest["files"]])
            self._decrypt(plain, self.manifest["files"])
            self.folder, self.plain = plain, True

    def _need_identity(self):
        if self.manifest["encrypted"] and not self.identity_file:
            raise BackupError(
                f"The set {self.label} is encrypted: set identity_file to the file with the age identity.",
                "options",
                safe_to_retry=False,
            )

    def _decrypt(self, folder, items):
        """Decrypt those of a folder's files that are encrypted."""
        sealed = [item for item in items if _is_sealed(item)]
        seal.decrypt(folder, [item["path"] for item in sealed], self.identity_file, self.timeout)
        wrong = [
            f"{_plain(item)} is not what was encrypted"
            for item in sealed
            if verify.sha256(folder / _plain(item))[1] != item["plain_sha256"]
        ]
        if wrong:
            raise damaged(self.label, wrong)

    def fetch(self, name: str) -> pathlib.Path | None:
        """The path of one of the set's files, which is fetched and decrypted alone where it is not here yet.

        None where the set has no such file.
        """
        if self.readable or not self.holds(name):
            return self.path(name)
        self._need_identity()
        alone = self.work / "alone"
        if not (alone / name).exists():
            item = self._item(name)
            if self.folder is None:
                self.store.download_file(self.label, item, alone / item["path"])
            else:
                sets.borrow(self.folder, alone, [item["path"]])
            self._decrypt(alone, [item])
        return alone / name

    @property
    def readable(self) -> bool:
        """Whether the files are here, as they were before any encryption."""
        return self.folder is not None and self.plain

    def archive(self, database: str) -> pathlib.Path:
        """Where a database's dump is."""
        return self.folder / names.database_folder(database)

    def check_archive(self, database: str) -> None:
        """BackupError where the dump of a database is no archive, or none whose hash was compared."""
        toc = f"{names.database_folder(database)}/toc.dat"
        if not (self.holds(toc) or self.holds(names.database_folder(database))):
            raise damaged(self.label, [f"its manifest does not name {toc}"])
        if self.readable:
            load.archive_format(self.archive(database))

    def path(self, name: str) -> pathlib.Path | None:
        """The path of one of the set's files; None where it is not here or the set has no such file."""
        return self.folder / name if self.readable and self.holds(name) else None

    def holds(self, name: str) -> bool:
        """Whether the set has a file of this name."""
        return self._item(name) is not None

    def sha256(self, name: str) -> str:
        """The hash that one of the set's files had before any encryption."""
        item = self._item(name)
        return item["plain_sha256"] if _is_sealed(item) else item["sha256"]

    def _item(self, name):
        return next((item for item in self.manifest["files"] if _plain(item) == name), None)


def _is_sealed(item: dict) -> bool:
    return item["path"].endswith(names.SEALED)


def _plain(item: dict) -> str:
    """A file's name before any encryption."""
    return item["path"].removesuffix(names.SEALED)


class Tools:
    """All that one restore needs beside the server.

    ``find_tools`` gives the installed dump.Tools, ``artifacts_of`` an artifacts.Artifacts for the files, or None.
    """

    def __init__(self, job, files: Files, find_tools, artifacts_of, runner=process.run, clock=time.monotonic):
        self.job = job
        self.files = files
        self.find_tools = find_tools
        self.artifacts_of = artifacts_of
        self.runner = runner
        self.clock = clock
        self.tool = None
        self.server_major = 0

    @property
    def work_dir(self) -> str:
        """Where the files of this restore are."""
        return self.job.work_dir

    @property
    def stops_units(self) -> bool:
        """Whether units stand still during the swap, and with them the sessions that are theirs."""
        return bool(self.job.stop_units)

    def free_bytes(self, data_directory: str | None) -> int | None:
        """The free bytes beside PostgreSQL's files, where this host can know."""
        return free_bytes(self.job.login.host, data_directory)

    def revisions(self, manifest: dict) -> list[str]:
        """What the MLflow that is to run on the databases does not know."""
        return unknown_revisions(manifest, self.job.mlflow_env) if self.job.mlflow_env else []

    def prepare(self, facts: list[dict], version_num: int) -> None:
        """Refuse a set that no pg_restore here can read."""
        self.server_major = version_num // 10000
        self.tool = load.choose(self.find_tools(), self.server_major, max(_major(one) for one in facts))

    def verify(self, facts: list[dict], check_mode: bool, progress=None) -> None:
        """Check each file's hash and that each dump is an archive."""
        self.files.verify(check_mode, progress)
        for one in facts:
            self.files.check_archive(one["name"])

    def secrets(self, manifest: dict) -> list[str]:
        """Which secrets in force cannot read what the set holds."""
        wanted = self.job.secret_files
        path = self.files.fetch(names.SECRETS) if wanted else None
        if path is None:
            return []
        ours = {name: read_secret(f"secret_files.{name}", file) for name, file in wanted.items()}
        return secrets.others(manifest, json.loads(path.read_text(encoding="utf-8")), ours)

    def artifacts(self):
        """The set's artifacts, where they are to be looked at."""
        return self.artifacts_of(self.files)

    def load(self, facts: dict, database: str, owner: str, jobs: int, report) -> list[str]:
        """Load a database's dump; pg_restore's warnings. ``report`` is called now and then."""
        argv = load.arguments(self.tool, self.server_major, self.files.archive(facts["name"]), database, owner, jobs)
        last = self.clock()

        def tick():
            nonlocal last
            if self.clock() - last >= REPORT_EVERY:
                report()
                last = self.clock()

        login = self.job.login
        with dump.passfile(login.password) as passfile, Together(1, tick, self.runner) as together:
            environment = dump.environment(login, passfile)
            result = together.wait([together.submit(together.call, argv, self.job.timeout, environment)])[0]
        return load.judge(result, load.tolerant(self.tool, self.server_major), database)

    def units(self, warn) -> units.Units:
        """The units that stand still during the swap."""
        return units.Units(self.job.stop_units, warn, self.runner)


def unknown_revisions(manifest: dict, env: str) -> list[str]:
    """The revisions of the set's databases that the MLflow in a virtual environment does not know."""
    try:
        installed = revisions.Installed(env)
        known = {
            revision
            for scripts in (revisions.TRACKING_SCRIPTS, revisions.AUTH_SCRIPTS)
            for revision in installed.scripts(scripts).known
        }
    except (revisions.NotInstalled, OSError) as error:
        raise BackupError(f"mlflow_env: {error}.", "check", safe_to_retry=False) from error
    return [
        f"The database {facts['name']} of the set is at revision {head}, which MLflow {installed.version} in {env} does"
        " not know: install the version that the set was made with, or a newer one."
        for facts in manifest["databases"]
        for heads in facts["alembic"].values()
        for head in heads.split(",")
        if head and head not in known
    ]


def _major(facts: dict) -> int:
    version = str(facts.get("dump", {}).get("dump_tool_version") or "0")
    return int(version.partition(".")[0]) if version.partition(".")[0].isdecimal() else 0


def is_here(host: str) -> bool:
    """Whether an address is one of this host's own."""
    if not host or host.startswith("/"):
        return True
    with contextlib.suppress(OSError):
        for family, _kind, _protocol, _name, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind(address)
                return True
    return False


def free_bytes(host: str, data_directory: str | None, usual=USUAL_DATA) -> int | None:
    """The free bytes of the file system with PostgreSQL's files; None where this host cannot know it."""
    if not is_here(host):
        return None
    with contextlib.suppress(OSError):
        found = os.statvfs(data_directory or usual)
        return found.f_bavail * found.f_frsize
    return None
