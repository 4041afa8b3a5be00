# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be copied, and what may stay as it is."""

from __future__ import annotations

import dataclasses

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import is_md5, parents


@dataclasses.dataclass
class Plan:
    """Each entry of the source is in one of the first four.

    ``keep``: unchanged since the last list, with its known hash, and its copy is there. ``check``: there is a copy of
    the same size that no list vouches for; what an interrupted backup left. ``copy``: there is no copy. ``replace``:
    there is a copy of something else, which is set aside first. ``lost`` are the paths of those of them that the last
    list has unchanged, so that their copies were lost or cut off.
    """

    keep: list = dataclasses.field(default_factory=list)
    check: list = dataclasses.field(default_factory=list)
    copy: list = dataclasses.field(default_factory=list)
    replace: list = dataclasses.field(default_factory=list)
    lost: list = dataclasses.field(default_factory=list)


def plan(entries, previous, copies):
    """Sort the source's entries. ``previous``: {path: Entry} of the last list; ``copies``: {name: Copy}."""
    result = Plan()
    for entry in entries:
        known = previous.get(entry.path)
        copy = copies.get(entry.name)
        unchanged = (
            known is not None
            and known.identity == entry.identity
            and known.name == entry.name
            and known.sha256 is not None
        )
        if unchanged and copy is not None and copy.size == entry.size:
            result.keep.append(entry._replace(sha256=known.sha256))
            continue
        if unchanged:
            result.lost.append(entry.path)
        if copy is None:
            result.copy.append(entry)
        elif copy.size == entry.size:
            result.check.append(entry)
        else:
            result.replace.append(entry)
    return result


def could_be(entry, copy):
    """Whether a copy of the same size may be one of this very object, so that reading it is worth the time."""
    if is_md5(entry.etag):
        # A copy in a folder has no ETag; what its MD5 is, its content tells.
        return copy.etag in (None, entry.etag)
    return entry.etag is None and copy.etag is None and copy.modified == entry.modified


def is_it(entry, digests):
    """Whether a copy that was read, (size, sha256, md5), is one of this very object."""
    return digests is not None and digests[0] == entry.size and (entry.etag is None or digests[2] == entry.etag)


def obstacles(names, copies):
    """The copies that lie in the way of new ones in a folder: where a file becomes a folder, or a folder a file.

    They are copies of objects that the source no longer has, for the names of those it has do not collide.
    """
    names = set(names)
    wanted_folders = {folder for name in names for folder in parents(name)}
    return sorted(name for name in copies if name in wanted_folders or any(folder in names for folder in parents(name)))
