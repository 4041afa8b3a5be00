# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the artifacts of the newest set have their copies. What they have not is told, never raised."""

from __future__ import annotations

import contextlib
import tempfile

from ansible_collections.mlops.stack.plugins.module_utils.backup import locks, manifest, names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.extras import open_copies
from ansible_collections.mlops.stack.plugins.module_utils.backup.results import some

# Seconds for reading all copies.
READING = 86400


def problems(here, sets, deep: bool = False) -> list[str]:
    """What is wrong with the copies that the newest complete set of the folder needs, one sentence at most.

    ``here`` are the folder's sets, ``sets`` the settings of that name. With ``deep``, copies are read, too. Nothing is
    said of an encrypted set, whose list nobody can read here, nor while a backup moves copies about.
    """
    newest = newest_of(here, lambda data: copied(data) or manifest.lacks_copies(data))
    lock = sets.dest / names.LOCK
    if newest is None or newest.manifest["encrypted"] or locks.is_held(lock):
        return []
    found = look(newest, sets, deep)
    return [] if locks.is_held(lock) else found


def copied(data) -> bool:
    """Whether a set has copies of its artifacts."""
    return manifest.copies_number(data) is not None


def newest_of(sets, is_one):
    """The newest complete set of which the manifest is one, None where there is none."""
    found = [one for one in sets if one.complete and is_one(one.manifest)]
    return max(found, key=lambda one: (one.created, one.label), default=None)


def look(one, sets, deep: bool) -> list[str]:
    """What is wrong with the copies that one set needs."""
    from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import copy, find
    from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import read_list

    told = one.manifest["artifacts"]
    try:
        entries = list(read_list(one.path / names.ARTIFACTS_LIST, f"of the set {one.label}"))
        timeout = None if deep else sets.timeout
        place = open_copies(sets.copies, told, sets.dest, timeout, "artifacts.destination")
        if place is None:
            return []
        with contextlib.ExitStack() as stack:
            mover = None
            if deep:
                scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="mlops-stack-copies-"))
                mover = copy.Mover(scratch, READING)
            lacking = find.lacking(place, entries, manifest.copies_number(one.manifest), mover)
    except BackupError as error:
        return [error.message]
    if not lacking:
        return []
    return [
        f"Of the {len(entries)} artifacts of the set {one.label}, {len(lacking)} have no whole copy in {place.where}"
        f" ({some(lacking, len(lacking))}); the next backup copies those again that are still there."
    ]
