# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The artifacts' part of a backup: list, plan, copy, hash, and tell what became of each."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import tempfile

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import copy as copying
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import listing, plan
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import is_md5, write_list
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

NONE = "none"
INVENTORY = "inventory"
COPY = "copy"
LIST = "artifacts.jsonl"
# So many names of artifacts a manifest shows; their number it always tells.
SHOWN = 100
CHUNK = 1024 * 1024


@dataclasses.dataclass
class Job:
    """What to do: ``source`` and ``destination`` are a Folder or a Store, ``partial`` is the set being written.

    ``mode``: copy, or inventory, which lists the source; a destination is only told then, as where there should have
    been copies. ``timeout``: seconds for copying and reading together. ``progress`` is called with (done, total, unit).
    """

    mode: str
    source: object
    destination: object | None
    partial: pathlib.Path
    label: str
    timeout: float
    progress: object = None
    runner: object = process.run


@dataclasses.dataclass
class Outcome:
    """What became of the artifacts; each list holds entries or paths."""

    entries: list = dataclasses.field(default_factory=list)
    number: int = 0
    kept: int = 0
    copied: int = 0
    replaced: int = 0
    changed: int = 0
    lost: list = dataclasses.field(default_factory=list)
    vanished: list = dataclasses.field(default_factory=list)


def _file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def summary(job, outcome, list_file):
    """What the manifest tells of the artifacts."""
    return {
        "mode": job.mode,
        "source": job.source.where,
        "destination": job.destination.where if job.destination else None,
        "objects": len(outcome.entries),
        "bytes": sum(entry.size for entry in outcome.entries),
        "list_file": LIST,
        "list_sha256": _file_sha256(list_file),
        "number": outcome.number,
        "copied": outcome.copied,
        "kept": outcome.kept,
        "replaced": outcome.replaced,
        "changed_meanwhile": outcome.changed,
        "lost_copies": _counted(outcome.lost),
        "vanished": _counted(outcome.vanished),
        "skipped": _counted(job.source.skipped),
    }


def _counted(paths):
    return {"count": len(paths), "paths": sorted(paths)[:SHOWN]}


def newest_list(destination, scratch):
    """The list of the last backup that ended in this destination, {path: Entry}; nothing where there was none."""
    for _number, entries in listing.read_lists(destination, scratch):
        return {entry.path: entry for entry in entries}
    return {}


class Backup:
    """One backup of artifacts into a destination."""

    def __init__(self, job, scratch):
        self.job = job
        self.scratch = pathlib.Path(scratch)
        self.outcome = Outcome()
        self.current = job.destination.below(listing.CURRENT)
        self.copies = {}
        self.bytes = 0
        self.mover = copying.Mover(scratch, job.timeout, self._moved, job.runner)

    def _moved(self, _objects, size):
        if self.job.progress:
            self.job.progress(size, self.bytes, "bytes")

    def __call__(self):
        job = self.job
        # Each of them mostly waits for somebody else.
        entries, self.copies, previous = copying.side_by_side(
            lambda look: look(),
            (
                lambda: listing.list_source(job.source),
                lambda: listing.list_copies(self.current),
                lambda: newest_list(job.destination, self.scratch),
            ),
            only_reads=True,
        )
        planned = plan.plan(entries, previous, self.copies)
        verified, differing = self._check(planned.check)
        outcome = self.outcome
        outcome.number = listing.next_number(job.destination)
        outcome.kept = len(planned.keep) + len(verified)
        outcome.lost = planned.lost
        self._set_aside(planned.replace + differing, planned.copy)
        copied = self._copy(planned.copy + planned.replace + differing)
        outcome.entries = planned.keep + verified + copied
        # On disk before the list that vouches for them.
        job.destination.settle()
        self._write_list()
        job.destination.settle()
        return outcome

    def _check(self, entries):
        """Copies that an interrupted backup left: (entries whose copy is right, with hashes; the others)."""
        likely = [entry for entry in entries if plan.could_be(entry, self.copies[entry.name])]
        digests = self.mover.hashes(self.current, [entry.name for entry in likely])
        verified = [
            entry._replace(sha256=digests[entry.name][1])
            for entry in likely
            if plan.is_it(entry, digests.get(entry.name))
        ]
        right = {entry.path for entry in verified}
        return verified, [entry for entry in entries if entry.path not in right]

    def _set_aside(self, replaced, fresh):
        """Keep what earlier sets refer to, before something else takes its place."""
        names = [entry.name for entry in replaced]
        if self.job.destination.is_folder and fresh:
            names += plan.obstacles([entry.name for entry in fresh], self.copies)
        folder = f"{listing.REPLACED}/{self.outcome.number:06d}-{self.job.label}"

        def move(name):
            self.job.destination.set_aside(f"{listing.CURRENT}/{name}", f"{folder}/{name}")

        copying.side_by_side(move, names)
        self.outcome.replaced = len(names)
        for entry in fresh:
            self.current.clear(entry.name)
        if self.job.destination.is_folder:
            for name in names:
                self.copies.pop(name)

    def _copy(self, entries):
        """Copy, and read what was copied: the entries as they were copied."""
        self.bytes = sum(entry.size for entry in entries)
        pairs = [(entry.path, entry.name) for entry in entries]
        outcome = self.outcome
        gone = set(self.mover.transfer(self.job.source, self.current, pairs, self.copies))
        outcome.vanished = sorted(gone)
        entries = [entry for entry in entries if entry.path not in gone]
        digests = self.mover.hashes(self.current, [entry.name for entry in entries])
        missing = [entry.path for entry in entries if entry.name not in digests]
        if missing:
            raise BackupError(
                f"{len(missing)} artifacts were copied to {self.current.where} and are not there, such as "
                f"{missing[0]!r}: does something else write there?",
                "artifacts",
            )
        outcome.copied = len(entries)
        return [self._as_copied(entry, *digests[entry.name]) for entry in entries]

    def _as_copied(self, entry, size, sha256, md5):
        changed = size != entry.size or (is_md5(entry.etag) and is_md5(md5) and md5 != entry.etag)
        if not changed:
            return entry._replace(sha256=sha256)
        # It was written anew after it was listed. Without a time the next backup takes it for unknown, and reads it.
        self.outcome.changed += 1
        return entry._replace(size=size, sha256=sha256, etag=md5, modified=None, version_id=None)

    def _write_list(self):
        file = self.scratch / "list.jsonl.gz"
        write_list(file, self.outcome.entries)
        name = f"{listing.LISTS}/{self.outcome.number:06d}-{self.job.label}/{listing.LIST}"
        self.job.destination.write(name, [file.read_bytes()])


def check_apart(source, destination):
    """Raise a BackupError where one of the places lies in the other."""
    if source.holds(destination) or destination.holds(source):
        raise BackupError(
            f"artifacts.source ({source.where}) and artifacts.destination ({destination.where}) lie in each other, so "
            "that copies would be copied again: choose another destination.",
            "options",
            safe_to_retry=False,
        )


def work(job):
    """Do the job: the summary for the manifest. The list of artifacts is in the set then. BackupError, or done."""
    if job.mode == COPY:
        check_apart(job.source, job.destination)
    with tempfile.TemporaryDirectory(prefix=".artifacts-", dir=job.partial) as scratch:
        outcome = Backup(job, scratch)() if job.mode == COPY else Outcome(listing.list_source(job.source))
    list_file = pathlib.Path(job.partial, LIST)
    write_list(list_file, outcome.entries)
    return summary(job, outcome, list_file)
