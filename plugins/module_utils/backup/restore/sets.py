# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which set is restored, and its files on this host: from a folder or out of a store, decrypted where needed."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import pathlib
import shutil
import tempfile
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup import folder, manifest, names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

LATEST = "latest"
WORK_PREFIX = ".mlops-stack-restore-"
YOUNG = 60
TIMES = (names.STAMP, "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%d %H:%M%z")


def no_set(message: str) -> BackupError:
    """The error of a set that is not there or not whole."""
    return BackupError(message, "set", safe_to_retry=False)


def moment(text: str) -> datetime.datetime | None:
    """The time that the text names, UTC where it names no zone; None where it is no time."""
    for form in TIMES:
        for spelled in (text, text + "Z", text + "+00:00"):
            with contextlib.suppress(ValueError):
                found = datetime.datetime.strptime(spelled, form)
                return found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)
    return None


def choose(found: list, wanted: str, where: str, databases=()):
    """The set that is asked for: by its label, the newest one, or the newest that is not younger than a time.

    ``found`` are sets as folder.py and bucket.py show them. Only a complete one is ever chosen, and the newest is that
    of those with all ``databases``. Whether a set that is named has them is looked at later.
    """
    whole = [one for one in found if one.manifest is not None and not one.problems]
    whole.sort(key=lambda one: (names.parse_time(one.manifest["created"]), one.label))
    named = [one for one in found if one.label == wanted]
    if named:
        if named[0] not in whole:
            raise no_set(f"The set {wanted} in {where} is not whole: {'; '.join(named[0].problems[:3])}.")
        return named[0]
    if wanted == LATEST:
        if not whole:
            raise no_set(f"There is no complete set in {where}.")
        able = _with_databases(whole, databases, f"No complete set in {where}")
        _refuse_emptier(able, where)
        return able[-1]
    limit = moment(wanted)
    if limit is None:
        raise no_set(f"There is no set {wanted} in {where}; the newest complete one is {_newest(whole)}.")
    before = [one for one in whole if names.parse_time(one.manifest["created"]) <= limit]
    if not before:
        raise no_set(f"No complete set in {where} was made until {wanted}; the newest one is {_newest(whole)}.")
    return _with_databases(before, databases, f"No complete set in {where} that was made until {wanted}")[-1]


def _with_databases(whole, databases, none):
    """Those of some sets that have all these databases; ``none`` begins the sentence that says that there is none."""
    able = [one for one in whole if set(databases) <= set(manifest.databases(one.manifest))]
    if not able:
        raise no_set(
            f"{none} holds {_listed(databases)}; the newest one, {_newest(whole)}, holds"
            f" {_listed(manifest.databases(whole[-1].manifest))}."
        )
    return able


def _listed(databases):
    return ", ".join(f"'{name}'" for name in databases) or "no database"


def _refuse_emptier(whole, where) -> None:
    """Refuse to call a set the newest that was made of a new server before the old one's data was restored into it."""
    newest = whole[-1]
    others = [one for one in whole if _server(one) != _server(newest)]
    if not others:
        return
    now, before = manifest.rows(newest.manifest), manifest.rows(others[-1].manifest)
    if now < before:
        raise no_set(
            f"The newest set {newest.label} in {where} is of another PostgreSQL server than {others[-1].label} and"
            f" holds fewer rows ({now} instead of {before}), as one of a new and empty stack does: name the set that"
            " you mean."
        )


def _server(one):
    return one.manifest.get("postgres", {}).get("system_identifier")


def _newest(whole):
    return whole[-1].label if whole else "none"


def from_folder(source: str | None, wanted: str, databases=()) -> folder.Found:
    """The set in a local folder; ``wanted`` may also be the path of a set's own folder."""
    if "/" in wanted:
        found = [folder.look(pathlib.Path(wanted.rstrip("/")))]
        wanted = found[0].label
        return choose(found, wanted, str(found[0].path.parent))
    return choose(folder.list_sets(source), wanted, str(source), databases)


@contextlib.contextmanager
def work_folder(parent):
    """A folder of our own, removed at the end; what killed restores have left beside it is removed before."""
    parent = pathlib.Path(parent)
    try:
        sweep(parent)
        made = pathlib.Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=parent))
    except OSError as error:
        raise BackupError(
            f"No folder can be made in {parent}: {error.strerror}; set work_dir to one with space.", "set"
        ) from error
    descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # The lock goes with this process, however it ends: it tells a folder in use from one left behind.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(descriptor)


def sweep(parent: pathlib.Path) -> None:
    """Remove the folders of restores that no longer run: they may hold decrypted files."""
    for path in parent.glob(WORK_PREFIX + "*"):
        with contextlib.suppress(OSError):
            # One that was made this moment may not be locked yet.
            if time.time() - path.lstat().st_mtime < YOUNG:
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def borrow(source: pathlib.Path, target: pathlib.Path, files: list[str]) -> None:
    """The set's files under another folder, without their bytes where one file system holds both."""
    for name in files:
        place = target / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.link(source / name, place)
        except OSError:
            shutil.copyfile(source / name, place)
            place.chmod(0o600)
