# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifacts that a set names: which are there, which can be brought back, and bringing them back."""

from __future__ import annotations

import contextlib
import dataclasses

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import find
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Entry, is_md5
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

# Where a live object goes that an older one takes the place of; beside the copies, under the set's label.
KEPT = "kept"
SIZE = "size"
HASH = "hash"


@dataclasses.dataclass
class Sorted:
    """The entries of a set: there as they were, there as something else, and not there."""

    same: list[Entry] = dataclasses.field(default_factory=list)
    other: list[Entry] = dataclasses.field(default_factory=list)
    absent: list[Entry] = dataclasses.field(default_factory=list)


def sort(entries, live: dict[str, tuple]) -> Sorted:
    """Compare a set's entries with a listing of the live store, {path: (size, etag)}."""
    result = Sorted()
    for entry in entries:
        there = live.get(entry.path)
        if there is None:
            result.absent.append(entry)
        elif differs(entry, *there):
            result.other.append(entry)
        else:
            result.same.append(entry)
    return result


def differs(entry: Entry, size: int, etag: str | None) -> bool:
    """Whether an object is surely not the one that the set names.

    An ETag that is no MD5 depends on how the object was uploaded, so another one of that kind says nothing.
    """
    return size != entry.size or (is_md5(entry.etag) and is_md5(etag) and etag != entry.etag)


class Artifacts:
    """The artifacts of one set, the live store and the copies.

    ``live`` and ``copies`` are places as artifacts/folder.py and artifacts/store.py make them; ``copies`` may be None.
    ``number`` is that of the backup among all that wrote to these copies. ``mover`` moves objects. With ``level``
    V(hash), every live object is read, and not only listed.
    """

    def __init__(self, entries, number: int, label: str, live, copies, mover, level=SIZE, force=False):
        self.entries = list(entries)
        self.number = number
        self.label = label
        self.live = live
        self.copies = copies
        self.mover = mover
        self.level = level
        self.force = force
        self.groups: dict[str, list[Entry]] = {}
        self.other: list[str] = []
        self.in_the_way: list[Entry] = []

    def check(self) -> list[str]:
        """The paths that neither the live store nor the copies have; what can be brought back is kept in mind."""
        self.live.check()
        listed = {name: (size, etag) for name, size, etag, _modified, _version in self.live.list()}
        found = sort(self.entries, listed)
        if self.level == HASH:
            self._read(found)
        self.other = [entry.path for entry in found.other]
        wanted = found.absent + (found.other if self.force else [])
        if self.copies is None:
            self.groups, missing = {}, wanted
        else:
            self.groups, missing = find.group(find.read(self.copies), wanted, self.number)
        restored = {entry.path for group in self.groups.values() for entry in group}
        self.in_the_way = [entry for entry in found.other if entry.path in restored]
        return sorted(entry.path for entry in missing if entry.path not in listed)

    def _read(self, found):
        known = [entry for entry in found.same if entry.sha256]
        hashes = self.mover.hashes(self.live, [entry.path for entry in known])
        wrong = {entry.path for entry in known if hashes.get(entry.path, (None, None))[1] != entry.sha256}
        found.other += [entry for entry in found.same if entry.path in wrong]
        found.same = [entry for entry in found.same if entry.path not in wrong]

    def restore(self) -> list[str]:
        """Bring back what check() found among the copies: the paths. BackupError where a hash is not the set's."""
        if self.in_the_way:
            pairs = [(entry.path, entry.path) for entry in self.in_the_way]
            self.mover.transfer(self.live, self.copies.below(KEPT).below(self.label), pairs)
        for folder, entries in sorted(self.groups.items()):
            gone = self.mover.transfer(
                self.copies.below(folder), self.live, [(entry.name, entry.path) for entry in entries]
            )
            if gone:
                raise BackupError(
                    f"{len(gone)} copies of artifacts went away while they were restored, among them {gone[0]}.",
                    "artifacts",
                )
        self.live.settle()
        restored = [entry for entries in self.groups.values() for entry in entries]
        hashes = self.mover.hashes(self.live, [entry.path for entry in restored])
        wrong = sorted(
            entry.path for entry in restored if hashes.get(entry.path, (None, None))[1] != (entry.sha256 or "unknown")
        )
        if wrong:
            for path in wrong:
                with contextlib.suppress(BackupError, OSError):
                    self.live.delete(path)
            raise BackupError(
                f"{len(wrong)} restored artifacts were not what the set names and were removed again, among them"
                f" {wrong[0]}: their copies at {self.copies.where} are damaged.",
                "artifacts",
                safe_to_retry=False,
            )
        return sorted(entry.path for entry in restored)
