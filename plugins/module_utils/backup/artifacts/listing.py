# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a source holds, and what there are copies of."""

from __future__ import annotations

import pathlib

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Copy, Entry, named, read_list
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Gone

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


def fetch_list(destination, folder, target):
    """Bring a list of a destination into a file here."""
    with pathlib.Path(target).open("xb") as stream:
        for chunk in destination.read(f"{LISTS}/{folder}/{LIST}"):
            stream.write(chunk)


def read_lists(destination, scratch):
    """The lists of the backups that ended in this destination, the newest first: (number, entries).

    One that cannot be read is passed over. ``scratch`` is an empty folder.
    """
    lists = numbered(destination.names(LISTS))
    for number in sorted(lists, reverse=True):
        target = pathlib.Path(scratch, f"list-{number}.gz")
        try:
            fetch_list(destination, lists[number], target)
            entries = list(read_list(target))
        except (Gone, EOFError, ValueError, KeyError, OSError):
            continue
        yield number, entries


def next_number(destination, previous=0):
    """The number of a new backup in a destination: above all that left traces there, whatever the clock says."""
    used = [*numbered(destination.names(REPLACED)), *numbered(destination.names(LISTS)), previous]
    return max(used) + 1
