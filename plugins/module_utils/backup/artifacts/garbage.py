# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies that no remaining set refers to."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import find
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Gone
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.listing import (
    CURRENT,
    LIST,
    LISTS,
    REPLACED,
    load_list,
    numbered,
)
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError


def outdated(lists, labels, needed=frozenset()):
    """The lists of sets that are no more, of {number: folder}, but for the numbers that are ``needed``.

    The newest stays: the next backup goes by it.
    """
    kept = {max(lists, default=0), *needed}
    return {
        number: folder
        for number, folder in lists.items()
        if number not in kept and folder.partition("-")[2] not in labels
    }


def plan(copies, lists):
    """The copies, with their folders, that no list refers to. ``lists``: (number, entries) of each remaining set."""
    left = {f"{CURRENT}/{name}" for name in copies.current}
    left.update(f"{REPLACED}/{folder}/{name}" for folder, names in copies.replaced.values() for name in names)
    for number, entries in lists:
        for entry in entries:
            left.difference_update(f"{folder}/{entry.name}" for folder, _copy in copies.candidates(entry, number))
    return sorted(left)


def collect(destination, labels, listed=()):
    """Delete the copies that none of the sets with these labels refers to, and the lists of others: how many copies.

    ``listed``: the entries of those of them that have no list here, for they were only listed. Lists that know the
    same objects stay, and so does all that they name. To be called only by who holds the lock of the backups, after
    all sets have been looked at. BackupError where a list cannot be read: nothing is deleted then.
    """
    lists = numbered(destination.names(LISTS))
    gone = outdated(lists, labels, {number for _entry, number in find.vouched(destination, listed, strict=True)[0]})
    copies = find.read(destination)
    remaining = {number: folder for number, folder in lists.items() if number not in gone}
    try:
        names = plan(copies, ((number, load_list(destination, folder)) for number, folder in remaining.items()))
    except Gone as error:
        raise BackupError(f"the list {error} of a set is not at {destination.where} any more.", "expire") from error
    for name in names:
        destination.delete(name)
    # The lists go last: after an interruption the next call finds the same copies again.
    for folder in gone.values():
        destination.delete(f"{LISTS}/{folder}/{LIST}")
    return len(names)
