# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets in a local folder: which there are, how one comes to be there, and how one goes."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import os
import pathlib
import shutil
import stat

from ansible_collections.mlops.stack.plugins.module_utils.backup import manifest, names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError


@dataclasses.dataclass
class Found:
    """A set as it lies in the folder. It is complete when its manifest and all that it names are there.

    ``unfinished``: it has no manifest at all. In a store its upload did not end, or not yet.
    """

    label: str
    path: pathlib.Path
    manifest: dict | None
    problems: list[str]
    bytes: int
    unfinished: bool = False

    @property
    def complete(self) -> bool:
        """Whether all files are there with the sizes that the manifest names."""
        return self.manifest is not None and not self.problems

    @property
    def created(self) -> datetime.datetime | None:
        """When its snapshot was taken, where that is known."""
        return names.parse_time(self.manifest["created"]) if self.manifest else None


def since(dest) -> datetime.datetime | None:
    """When backups were set up in the folder, where whoever did it left a mark."""
    try:
        written = pathlib.Path(dest, names.SINCE).stat().st_mtime
    except OSError:
        return None
    return datetime.datetime.fromtimestamp(written, datetime.timezone.utc)


def holds_sets(path) -> bool:
    """Whether backups work in the folder, or are to: they have locked it before, or left a mark."""
    return any(pathlib.Path(path, name).exists() for name in (names.LOCK, names.SINCE))


def list_sets(dest) -> list[Found]:
    """All that looks like a set in the folder, complete or not, by label; none where there is no such folder."""
    dest = pathlib.Path(dest)
    found = []
    for entry in _entries(dest):
        if entry.is_dir(follow_symlinks=False) and names.is_label(entry.name):
            found.append(look(dest / entry.name))
    return sorted(found, key=lambda item: item.label)


def look(path) -> Found:
    """One set; what is wrong with it is told, never raised."""
    path = pathlib.Path(path)
    size = _size(path)
    try:
        data = manifest.read(path)
    except FileNotFoundError:
        problem = "it has no manifest: it was not finished, or not removed whole"
        return Found(path.name, path, None, [problem], size, unfinished=True)
    except BackupError as error:
        return Found(path.name, path, None, [error.message], size)
    if data["label"] != path.name:
        return Found(path.name, path, None, [f"its manifest is that of the set {data['label']}"], size)
    return Found(path.name, path, data, manifest.problems(path, data), size)


def leftovers(dest) -> list[pathlib.Path]:
    """What interrupted backups and removals have left: folders that are no sets (any more)."""
    dest = pathlib.Path(dest)
    prefixes = (names.PARTIAL_PREFIX, names.REMOVED_PREFIX)
    return sorted(dest / entry.name for entry in _entries(dest) if entry.name.startswith(prefixes))


def _entries(dest) -> list[os.DirEntry]:
    try:
        with os.scandir(dest) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BackupError(f"The folder {dest} cannot be read: {error.strerror}.", "read") from error


def files_below(path) -> list[pathlib.Path]:
    """All files below a folder, in a fixed order."""
    return sorted(pathlib.Path(root, name) for root, _folders, files in os.walk(path) for name in files)


def _size(path) -> int:
    total = 0
    for name in files_below(path):
        with contextlib.suppress(OSError):
            total += name.lstat().st_size
    return total


def prepare(dest) -> None:
    """Make the folder of the sets, for its owner only; refuse one that others may write to."""
    dest = pathlib.Path(dest)
    try:
        dest.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(dest, error) from error
    check_private(dest)


def check_private(dest) -> None:
    """Refuse a folder that others may write to, or what is none; one that is still to be made is fine."""
    try:
        found = os.stat(dest)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(dest, error) from error
    if not stat.S_ISDIR(found.st_mode):
        raise unwritable(dest, NotADirectoryError(errno.ENOTDIR, ""))
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise BackupError(
            f"The folder {dest} may be written to by others than its owner: set its mode to 0700.",
            "options",
            safe_to_retry=False,
        )


def unwritable(path, error: OSError) -> BackupError:
    """The error of a file system that does not take what is written, with the path."""
    where = error.filename or path
    return BackupError(f"Nothing can be written to {where}: {os.strerror(error.errno or 0)}.", "write")


def sweep(dest) -> list[str]:
    """Remove what interrupted backups have left: their names. To be called only while the lock is held."""
    gone = []
    for path in leftovers(dest):
        _remove_tree(path)
        gone.append(path.name)
    return gone


def publish(dest, label) -> pathlib.Path:
    """Give a finished set its place: what was written is on disk before, and the rename is on disk after."""
    dest = pathlib.Path(dest)
    source, target = dest / names.partial(label), dest / label
    for root, _folders, _files in os.walk(source):
        manifest.sync_folder(root)
    os.rename(source, target)
    manifest.sync_folder(dest)
    return target


def remove(dest, label) -> None:
    """Remove a set, its manifest first, so that no half-removed set looks complete."""
    dest = pathlib.Path(dest)
    path = dest / label
    (path / names.MANIFEST).unlink(missing_ok=True)
    manifest.sync_folder(path)
    gone = dest / (names.REMOVED_PREFIX + label)
    os.rename(path, gone)
    _remove_tree(gone)


def _remove_tree(path) -> None:
    # A killed pg_dump leaves workers that end a moment later and may still make a file.
    for _attempt in range(3):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BackupError(f"{error.filename or path} cannot be removed: {error.strerror}.", "sweep") from error
