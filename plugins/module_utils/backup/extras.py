# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What not every backup has: artifacts, encryption, a rehearsed restore. Each is loaded where it is asked for."""

from __future__ import annotations

import contextlib
import pathlib

from ansible_collections.mlops.stack.plugins.module_utils.backup import manifest, names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError


def open_place(place, timeout, option):
    """A folder or a store of artifacts."""
    from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Folder

    if place.path:
        return Folder(place.path, f"{option}.path")
    from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.store import Store

    return Store(place.s3, timeout=timeout, option=option)


def open_copies(place, told, dest, timeout, option):
    """Where a set's artifacts have their copies: as the options say, else beside the sets, else as its manifest says.

    ``told`` is the artifacts' part of the manifest, ``dest`` the folder of the sets, where they are in one. None where
    there are no copies, or it is not known where. A set that was made before copies went to a store has its own in a
    folder still, if that is there. One that was only listed finds what other sets have copied.
    """
    if place is None and told.get("destination") is None:
        return None
    destination = str(told.get("destination"))
    folders = [pathlib.Path(dest, names.ARTIFACTS)] if dest else []
    folders = [*folders, pathlib.Path(destination)] if destination.startswith("/") else []
    there = next((path for path in folders if path.is_dir()), None)
    if place and (place.path or there is None):
        return open_place(place, timeout, option)
    if not folders:
        return None
    from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Folder

    return Folder(there or folders[-1], f"{option}.path")


def listed_entries(sets) -> list:
    """The entries of those sets whose artifacts could only be listed.

    BackupError where one's list is not here, or a set's manifest cannot be read, so that nobody knows what it is.
    """
    from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import DamagedList, read_list

    found: dict[str, list | None] = {}
    for one in sets:
        if one.manifest is None and not one.unfinished:
            raise BackupError(
                f"it is not known which artifacts the set {one.path} refers to: {one.problems[0].rstrip('.')}.",
                "expire",
            )
        if one.manifest and manifest.lacks_copies(one.manifest):
            found.setdefault(one.label, None)
            # One that is encrypted, or in the store alone, is no file of this name.
            with contextlib.suppress(DamagedList):
                found[one.label] = list(read_list(pathlib.Path(one.path, names.ARTIFACTS_LIST)))
    unread = sorted(label for label, entries in found.items() if entries is None)
    if unread:
        raise BackupError(
            f"the artifacts of the set {unread[0]} could only be listed, and their list cannot be read here.",
            "expire",
        )
    return [entry for entries in found.values() for entry in entries]


class Extras:
    """The parts that a set may lack."""

    def check(self, settings) -> None:
        """Fail before a long dump, and not after it."""
        if settings.encrypt_to:
            from ansible_collections.mlops.stack.plugins.module_utils.backup import seal

            seal.check_recipients(settings.encrypt_to)
        if settings.restore_login:
            self._check_login(settings.restore_login)
        if settings.artifacts.source:
            self._check_artifacts(settings)

    @staticmethod
    def _check_login(login) -> None:
        from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import call

        try:
            call.open_server(login).close()
        except BackupError as error:
            error.message += " With verify=restore, correct restore_user or restore_password."
            raise

    @staticmethod
    def _check_artifacts(settings) -> None:
        from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import run as artifacts

        wanted = settings.artifacts
        source = open_place(wanted.source, settings.timeout, "artifacts.source")
        source.check()
        if wanted.destination:
            # Whether copies can be made there is seen when they are: the databases' set does not need them.
            artifacts.check_apart(source, open_place(wanted.destination, settings.timeout, "artifacts.destination"))

    def artifacts(self, settings, label, partial, report) -> dict:
        """List or copy the artifacts, and write their list into the set: what the manifest says of them."""
        from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import run as artifacts

        wanted = settings.artifacts
        source = open_place(wanted.source, settings.timeout, "artifacts.source")
        destination = None
        if wanted.destination:
            destination = open_place(wanted.destination, settings.timeout, "artifacts.destination")
        return artifacts.work(artifacts.Job(wanted.mode, source, destination, partial, label, settings.timeout, report))

    def collect(self, settings, sets) -> None:
        """Delete the copies of artifacts that none of these sets refers to; in a store only where it may.

        BackupError where it is not known to what a set refers: nothing is deleted then.
        """
        wanted = settings.artifacts
        if wanted.destination is None or (wanted.destination.s3 and not wanted.destination.s3.expire):
            return
        from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import garbage

        place = open_place(wanted.destination, settings.timeout, "artifacts.destination")
        garbage.collect(place, {one.label for one in sets}, listed_entries(sets))

    def seal(self, settings, folder, files) -> None:
        """Encrypt files of a folder; each gets the suffix .age."""
        from ansible_collections.mlops.stack.plugins.module_utils.backup import seal

        seal.encrypt(folder, files, settings.encrypt_to, settings.timeout)

    def rehearse(self, settings, partial, data, tool, progress) -> None:
        """Restore the set that is being written into databases that are dropped again, and compare."""
        from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import rehearse

        login = settings.restore_login
        rehearse.rehearse(login, partial, data, tool, settings.jobs, settings.timeout, progress)
