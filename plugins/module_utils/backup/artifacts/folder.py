# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Artifacts, or copies of them, in a folder."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import pathlib
import uuid

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import ODD
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

CHUNK = 1024 * 1024


class Gone(Exception):
    """There is no such object, or no longer."""


def moment(nanoseconds):
    """A file's time, to the nanosecond."""
    whole, rest = divmod(nanoseconds, 10**9)
    stamp = datetime.datetime.fromtimestamp(whole, datetime.timezone.utc)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


class Folder:
    """A folder. Symbolic links and other things that are no files are not followed; ``skipped`` names them."""

    is_folder = True
    ca_bundle = None

    def __init__(self, root, option="path"):
        self.root = pathlib.Path(root)
        self.option = option
        self.skipped = []

    @property
    def where(self):
        """The place in words."""
        return f"{self.root}"

    def below(self, name):
        """A folder in it."""
        return Folder(self.root / name, self.option)

    def anew(self):
        """The same place: a folder has no time limit."""
        return self

    def unlimited(self):
        """The same place: a folder has no time limit."""
        return self

    def holds(self, other):
        """Whether another place is this one or lies in it."""
        return other.is_folder and self.root.resolve() in (other.root.resolve(), *other.root.resolve().parents)

    def remote(self, tag):
        """(rclone's settings, as environment variables, and its name for this place)."""
        prefix = f"RCLONE_CONFIG_{tag}_"
        settings = {"TYPE": "local", "ENCODING": "None", "NO_CHECK_UPDATED": "true"}
        return {prefix + name: value for name, value in settings.items()}, f"{tag}:{self.root}"

    def _failed(self, doing, error):
        name = error.filename or self.root
        if isinstance(name, bytes):
            name = os.fsdecode(name)
        return BackupError(f"{doing} {name} failed ({error.strerror}): check {self.option} and its disk.", "artifacts")

    # Looking

    def check(self):
        """Raise a BackupError where there is no such folder: an empty list would say that there are no artifacts."""
        if not self.root.is_dir():
            raise BackupError(f"There is no folder {self.root}: correct {self.option}.", "options", safe_to_retry=False)

    def list(self):
        """All files: (name, size, etag, modified, version_id)."""
        folders = [""]
        while folders:
            inside = folders.pop()
            try:
                with os.scandir(self.root / inside if inside else self.root) as items:
                    found = list(items)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._failed("Reading", error) from error
            for item in found:
                name = inside + item.name
                if item.is_dir(follow_symlinks=False):
                    folders.append(name + "/")
                elif item.is_file(follow_symlinks=False):
                    try:
                        facts = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield name, facts.st_size, None, moment(facts.st_mtime_ns), None
                else:
                    self.skipped.append(name)

    def names(self, under):
        """The names right under a folder."""
        try:
            return sorted(os.listdir(self.root / under))
        except FileNotFoundError:
            return []

    def find(self, name):
        """(size, etag, modified) of a file, None where it is not there."""
        try:
            facts = os.stat(self.root / name, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return facts.st_size, None, moment(facts.st_mtime_ns)

    def read(self, name):
        """A file's bytes, piece by piece. Gone where it is not there."""
        try:
            with open(self.root / name, "rb") as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Gone(name) from error
        except OSError as error:
            raise self._failed("Reading", error) from error

    def digests(self, name):
        """(size, sha256, md5) of a file, None where it is not there."""
        sha256 = hashlib.sha256()
        md5 = hashlib.md5(usedforsecurity=False)
        size = 0
        try:
            for chunk in self.read(name):
                sha256.update(chunk)
                md5.update(chunk)
                size += len(chunk)
        except Gone:
            return None
        return size, sha256.hexdigest(), md5.hexdigest()

    # Changing

    def write(self, name, chunks):
        """Write a file; it has its name only when it is whole."""
        target = self.root / name
        partial = self.root / ODD / f"partial-{uuid.uuid4().hex}"
        try:
            for folder in (target.parent, partial.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with partial.open("xb") as stream:
                    for chunk in chunks:
                        stream.write(chunk)
                partial.rename(target)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed("Writing", error) from error

    def set_aside(self, name, target):
        """Move a file within the folder."""
        try:
            (self.root / target).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.root / name).rename(self.root / target)
        except OSError as error:
            raise self._failed("Moving", error) from error

    def clear(self, name):
        """Remove a folder in which no file is left, so that a file can have its name."""
        for inside, _folders, _files in os.walk(self.root / name, topdown=False):
            os.rmdir(inside)

    def delete(self, name):
        """Delete a file, and the folders that it leaves empty."""
        path = self.root / name
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            while (path := path.parent) != self.root:
                path.rmdir()

    def settle(self):
        """Have all that was written on disk."""
        os.sync()
