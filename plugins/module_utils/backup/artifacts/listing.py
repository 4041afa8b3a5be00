# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a source holds, and what there are copies of."""

from __future__ import annotations

import tempfile

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import (
    Copy,
    DamagedList,
    Entry,
    named,
    read_list,
)
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Gone
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

CURRENT = "current"
REPLACED = "replaced"
LISTS = "lists"
LIST = "artifacts.jsonl.gz"


def list_source(place):
    """All artifacts of a place, with the names of their copies."""
    place.check()
    return named(Entry(*facts) for facts in place.list())


def list_copies(place):
    """All copies under a place: {name: Copy}."""
    return {name: Copy(size, etag, modified) for name, size, etag, modified, _version in place.list()}


def numbered(names):
    """The names that begin with the number of a backup: {number: name}."""
    found = {}
    for name in names:
        digits, dash, _label = name.partition("-")
        if dash and digits.isdecimal():
            found[int(digits)] = name
    return found


def load_list(destination, folder, scratch=None):
    """The entries of a list of a destination, one after another.

    Gone where there is no such list, DamagedList where it is damaged, another BackupError where it cannot be had.
    ``scratch`` is the folder for a file that goes when all is read, None that of the system.
    """
    name = f"{LISTS}/{folder}/{LIST}"
    try:
        with tempfile.NamedTemporaryFile(prefix="mlops-stack-list-", suffix=".gz", dir=scratch) as file:
            for chunk in destination.read(name):
                file.write(chunk)
            file.flush()
            yield from read_list(file.name, f"{name} at {destination.where}")
    except OSError as error:
        raise BackupError(
            f"The list {name} at {destination.where} cannot be kept in {scratch or 'the folder for temporary files'}"
            f" while it is read ({error.strerror}): make room there.",
            "artifacts",
        ) from error


def read_lists(destination, scratch=None, strict=False):
    """The lists of the backups that ended in this destination, the newest first: (number, entries).

    One that is gone is passed over. So is a damaged one, unless ``strict``, which is for who deletes what no list
    names. ``scratch`` is as in load_list().
    """
    passed_over = Gone if strict else (Gone, DamagedList)
    lists = numbered(destination.names(LISTS))
    for number in sorted(lists, reverse=True):
        try:
            entries = list(load_list(destination, lists[number], scratch))
        except passed_over:
            continue
        yield number, entries


def next_number(destination, previous=0):
    """The number of a new backup in a destination: above all that left traces there, whatever the clock says."""
    used = [*numbered(destination.names(REPLACED)), *numbered(destination.names(LISTS)), previous]
    return max(used) + 1
