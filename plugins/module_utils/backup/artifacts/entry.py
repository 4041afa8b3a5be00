# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One artifact as a set lists it, and the name under which its copy lies."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pathlib
import typing
import zlib

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

# Copies of objects whose names cannot be names of files lie here, under the hash of the name.
ODD = ".mlops-stack-names"
# Names of files end at 255 bytes; some tools add an ending of their own while they write.
LONGEST_SEGMENT = 240
LONGEST_PATH = 700
# What rclone reads as an escaped slash, dot or NUL.
ESCAPES = ("\u201b", "\uff0f", "\u2400")
DOTS = (".", "..", "\uff0e", "\uff0e\uff0e")


class DamagedList(BackupError):
    """A list that is not there, or is not what was written."""


class Entry(typing.NamedTuple):
    """An object of the source. ``copy`` is where its copy lies, where that is not at its own path."""

    path: str
    size: int
    etag: str | None = None
    modified: str | None = None
    version_id: str | None = None
    sha256: str | None = None
    copy: str | None = None

    @property
    def identity(self):
        """What changes whenever the object is written anew."""
        return self.size, self.etag, self.modified, self.version_id

    @property
    def name(self):
        """The name of its copy."""
        return self.copy or self.path


class Copy(typing.NamedTuple):
    """A copy as the destination lists it."""

    size: int
    etag: str | None = None
    modified: str | None = None


def is_plain(path):
    """Whether a path can be the name of a file, and a line of a list of files."""
    if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) <= 0xDFFF for letter in path):
        return False
    if any(letter in path for letter in ESCAPES) or len(path.encode()) > LONGEST_PATH:
        return False
    segments = path.split("/")
    return segments[0] != ODD and all(
        segment and segment not in DOTS and len(segment.encode()) <= LONGEST_SEGMENT for segment in segments
    )


def odd_name(path):
    """The name of the copy of an object whose path cannot be a name."""
    return f"{ODD}/{hashlib.sha256(path.encode('utf-8', 'surrogatepass')).hexdigest()}"


def parents(path):
    """The folders that a path lies in, from the outermost."""
    found = []
    end = path.find("/")
    while end != -1:
        found.append(path[:end])
        end = path.find("/", end + 1)
    return found


def named(entries):
    """The entries with the names of their copies: no name that is no file's, and none that is another's folder."""
    entries = list(entries)
    paths = {entry.path for entry in entries}
    folders = {folder for path in paths for folder in parents(path)} & paths
    return [
        entry if entry.path not in folders and is_plain(entry.path) else entry._replace(copy=odd_name(entry.path))
        for entry in entries
    ]


def is_md5(etag):
    """Whether an ETag is the MD5 of the object, which it is not for objects uploaded in parts."""
    return etag is not None and len(etag) == 32 and all(letter in "0123456789abcdef" for letter in etag)


def to_line(entry):
    """An entry as one line of JSON."""
    fields = {
        "path": entry.path,
        "size": entry.size,
        "sha256": entry.sha256,
        "version_id": entry.version_id,
        "etag": entry.etag,
        "modified": entry.modified,
    }
    if entry.copy:
        fields["copy"] = entry.copy
    return json.dumps(fields) + "\n"


def from_line(line):
    """The entry that a line of JSON tells."""
    fields = json.loads(line)
    return Entry(
        fields["path"],
        fields["size"],
        fields["etag"],
        fields["modified"],
        fields["version_id"],
        fields["sha256"],
        fields.get("copy"),
    )


def _open(path, mode):
    if pathlib.Path(path).suffix == ".gz":
        return gzip.open(path, mode + "t", compresslevel=1, encoding="ascii")
    return open(path, mode, encoding="ascii")


def write_list(path, entries):
    """Write a list of entries to a new file that only its owner reads; packed when its name ends in .gz."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with _open(path, "w") as stream:
        stream.writelines(to_line(entry) for entry in entries)
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def read_list(path, called=None):
    """The entries of a list, one after another. DamagedList where it cannot be read, or not to its end.

    ``called``: what an error calls it, where that is not its path.
    """
    try:
        # gzip takes nothing at all for a file that was packed.
        if pathlib.Path(path).suffix == ".gz" and not os.path.getsize(path):
            raise EOFError("it is empty")
        with _open(path, "r") as stream:
            for line in stream:
                yield from_line(line)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise DamagedList(
            f"The list of artifacts {called or path} cannot be read: it is damaged or gone.",
            "artifacts",
            safe_to_retry=False,
        ) from error
