# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifacts that a set names: which are there, which can be brought back, and bringing them back."""

from __future__ import annotations

import contextlib
import dataclasses

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import find
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Entry, is_md5
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Gone
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import plan

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
    ``number`` is that of the backup among all that wrote to these copies, None for one that only listed the artifacts:
    copies of the same objects are its own, too. ``mover`` moves objects. With ``level`` V(hash), every live object is
    read, and not only listed.
    """

    def __init__(self, entries, number: int | None, label: str, live, copies, mover, level=SIZE, force=False):
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
        # Where they are once they are put aside.
        self.aside = None

    def check(self) -> list[str]:
        """The paths that neither the live store nor the copies have; what can be brought back is kept in mind."""
        self.live.check()
        listed = {name: (size, etag) for name, size, etag, _modified, _version in self.live.list()}
        found = sort(self.entries, listed)
        if self.level == HASH:
            self._read(found)
        self.other = [entry.path for entry in found.other]
        wanted = found.absent + (found.other if self.force else [])
        # Where nothing is missing, their place may be as it likes.
        if self.copies is None or not wanted:
            self.groups, missing = {}, wanted
        else:
            self.groups, missing = find.search(self.copies, wanted, self.number)
        restored = {entry.path for group in self.groups.values() for entry in group}
        self.in_the_way = [entry for entry in found.other if entry.path in restored]
        return sorted(entry.path for entry in missing if entry.path not in listed)

    def _read(self, found):
        known = [entry for entry in found.same if entry.sha256]
        wrong = set(self._unlike(self.live, [(entry, entry.path) for entry in known]))
        found.other += [entry for entry in found.same if entry.path in wrong]
        found.same = [entry for entry in found.same if entry.path not in wrong]

    def _unlike(self, place, read):
        return find.unlike(read, self.mover.hashes(place, [name for _entry, name in read]))

    def restore(self) -> list[str]:
        """Bring back what check() found among the copies: the paths. BackupError where a hash is not the set's.

        Whatever goes wrong, now or until nothing can go wrong any more, what was ``aside`` by then is for put_back().
        """
        if not self.groups:
            return []
        # What was done before, such as loading the databases, takes nothing off the time for moving.
        self.live, self.copies, self.mover = self.live.anew(), self.copies.anew(), self.mover.anew()
        if not self.in_the_way:
            return self._bring_back()
        self._prove()
        # What an earlier restore of this set put aside stays.
        kept = self.copies.below(KEPT).below(plan.free_name(self.label, self.copies.names(KEPT)))
        pairs = [(entry.path, entry.path) for entry in self.in_the_way]
        gone = self.mover.transfer(self.live, kept, pairs)
        self.in_the_way = [entry for entry in self.in_the_way if entry.path not in gone]
        # On disk before anything takes their places.
        self.copies.settle()
        self.aside = kept
        return self._bring_back()

    @property
    def _over(self):
        return {entry.path for entry in self.in_the_way}

    def _prove(self):
        """Read the copies that are to go over live objects: what they replace is touched only when they are whole."""
        over, wrong = self._over, []
        for folder, entries in sorted(self.groups.items()):
            read = [(entry, entry.name) for entry in entries if entry.path in over]
            wrong += self._unlike(self.copies.below(folder), read)
        if wrong:
            raise self._damaged(f"{len(wrong)} artifacts were not put in the place of live ones", wrong)

    def _damaged(self, what, wrong):
        return BackupError(
            f"{what}, among them {wrong[0]}: their copies at {self.copies.where} are damaged.",
            "artifacts",
            safe_to_retry=False,
        )

    def _bring_back(self):
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
        wrong = self._unlike(self.live, [(entry, entry.path) for entry in restored])
        if wrong:
            for path in set(wrong) - self._over:
                with contextlib.suppress(BackupError, OSError):
                    self.live.delete(path)
            raise self._damaged(
                f"{len(wrong)} restored artifacts were not what the set names and were removed again", wrong
            )
        return sorted(entry.path for entry in restored)

    def put_back(self) -> str:
        """Give the live store what was put aside, one by one: how that went, as a sentence."""
        # It may be the end of the time for moving that makes this necessary.
        live, aside = self.live.unlimited(), self.aside.unlimited()
        try:
            for entry in self.in_the_way:
                live.write(entry.path, aside.read(entry.path))
            live.settle()
        except (BackupError, OSError, Gone) as error:
            return (
                f" The live artifacts that the set's had replaced lie at {self.aside.where} and could not all be put"
                f" back: {error}"
            )
        for entry in self.in_the_way:
            with contextlib.suppress(BackupError, OSError):
                aside.delete(entry.path)
        return " The live artifacts that the set's had replaced were put back."
