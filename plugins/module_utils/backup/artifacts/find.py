# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the copy of an artifact lies that belongs to a certain set."""

from __future__ import annotations

import dataclasses

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.listing import (
    CURRENT,
    REPLACED,
    list_copies,
    numbered,
    read_lists,
)


@dataclasses.dataclass
class Copies:
    """All copies in a destination. ``replaced``: the number of a backup to (its folder, what it set aside)."""

    current: dict
    replaced: dict

    def candidates(self, entry, number):
        """Where the copy of an entry of the set with this number may lie, the likeliest first.

        What a later backup set aside, the first of them, is what lay in current when the set was made.
        """
        for later in sorted(self.replaced):
            folder, copies = self.replaced[later]
            if later > number and entry.name in copies:
                yield f"{REPLACED}/{folder}", copies[entry.name]
        if entry.name in self.current:
            yield CURRENT, self.current[entry.name]

    def locate(self, entry, number):
        """The folder of the copy, such as ``current``; the copy is ``entry.name`` in it. None where there is none."""
        for folder, copy in self.candidates(entry, number):
            if copy.size == entry.size:
                return folder
        return None


def read(destination):
    """List all copies in a destination."""
    replaced = {
        number: (folder, list_copies(destination.below(REPLACED).below(folder)))
        for number, folder in numbered(destination.names(REPLACED)).items()
    }
    return Copies(list_copies(destination.below(CURRENT)), replaced)


def vouched(destination, entries, strict=False):
    """Entries of a set that was only listed, as the newest lists know them that have the very same objects.

    Gives ([(the entry with its hash, the number of the list)], the entries that no list knows). A damaged list vouches
    for nothing; with ``strict`` it is a BackupError.
    """
    unknown = {(entry.path, entry.identity): entry for entry in entries}
    found = []
    lists = read_lists(destination, strict=strict)
    while unknown and (one := next(lists, None)):
        number, known = one
        same = [entry for entry in known if entry.sha256 and unknown.pop((entry.path, entry.identity), None)]
        found += [(entry, number) for entry in same]
    return found, list(unknown.values())


def search(destination, entries, number):
    """Look for the copies of a set's entries: ({folder: [entries]}, the entries without a copy).

    ``number``: that of the set, None for one that was only listed. What is found of such a one has its hash.
    """
    if number is None:
        pairs, unknown = vouched(destination, entries)
    else:
        pairs, unknown = [(entry, number) for entry in entries], []
    found, missing = group(read(destination), pairs)
    return found, missing + unknown


def group(copies, pairs):
    """Entries, each with the number of a set that has it, by the folder of their copies; as search() gives them."""
    found = {}
    missing = []
    for entry, number in pairs:
        folder = copies.locate(entry, number)
        if folder is None:
            missing.append(entry)
        else:
            found.setdefault(folder, []).append(entry)
    return found, missing


def lacking(destination, entries, number, mover=None):
    """The paths of entries that have no whole copy: there is none of their size, or it reads as something else.

    ``number`` is as in search(). Copies are only listed without a ``mover``, and read by it with one.
    """
    groups, missing = search(destination, entries, number)
    wrong = [entry.path for entry in missing]
    for folder, found in groups.items() if mover else ():
        names = [entry.name for entry in found]
        wrong += unlike(zip(found, names), mover.hashes(destination.below(folder), names))
    return sorted(wrong)


def unlike(read, hashes):
    """The paths of entries whose objects were read and are not what their hashes say; one without a hash is unknown.

    ``read``: (entry, the name that it was read by); ``hashes``: what Mover.hashes() told of these names.
    """
    return sorted(
        entry.path for entry, name in read if hashes.get(name, (None, None))[1] != (entry.sha256 or "unknown")
    )
