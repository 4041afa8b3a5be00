# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holding backups off while a set of theirs is restored: in folders by their locks, in a store by its lease."""

from __future__ import annotations

import contextlib
import os
import socket

from ansible_collections.mlops.stack.plugins.module_utils.backup import folder, locks, names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.progress import utc_now


def folders(job) -> list[str]:
    """The folders of sets that a restore works with, each once, however it is written.

    That is the one that the set is read from. ``work_dir`` is one too where a backup host restores out of a store: its
    own backups would go on meanwhile, and what removes artifacts is held off by their lock alone.
    """
    paths = [job.source] if job.source else []
    beside = [os.path.dirname(job.wanted.rstrip("/"))] if "/" in job.wanted else []
    paths += [path for path in (*beside, job.work_dir) if folder.holds_sets(path)]
    found = {}
    for path in paths:
        # That there is no such folder is told when sets are looked for in it.
        with contextlib.suppress(OSError):
            facts = os.stat(path)
            found.setdefault((facts.st_dev, facts.st_ino), path)
    # Two restores take the same locks in the same order.
    return sorted(found.values())


def all_of(job, remote, stack: contextlib.ExitStack) -> list[str]:
    """Hold backups off until the stack ends, the folders first, as backups do: warnings about what cannot be held.

    BackupError where somebody else holds it longer than ``lock_timeout``. A folder that takes no lock, or a key that
    may not write, is no reason to leave what is broken as it is.
    """
    who, since = f"{socket.gethostname()}, restore", names.format_time(utc_now())
    warnings = []
    for path in folders(job):
        warnings += _tried(
            lambda path=path: stack.enter_context(locks.held(path, who, since, job.lock_timeout)), f"The sets in {path}"
        )
    if remote:
        warnings += _tried(lambda: remote.hold(job.lock_timeout), "The sets in the store")
    return warnings


def _tried(hold, what) -> list[str]:
    try:
        hold()
    except BackupError as error:
        if error.phase == "lock":
            raise
        return [f"{what} could not be locked, so see to it that no backup expires them meanwhile: {error.message}"]
    return []
