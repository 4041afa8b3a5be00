# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backup at a time in one folder. The lock goes with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup import folder, names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

PAUSE = 0.1
# Who only asks whether the lock is held, holds it for a moment.
GRACE = 0.3


def holder(path) -> dict:
    """Who holds the lock, or was the last to hold it: who, pid, since; nothing where that cannot be read."""
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_held(path) -> bool:
    """Whether somebody holds the lock now; nothing is changed by asking."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held(dest, who: str, since: str, timeout: float, clock=time.monotonic, sleep=time.sleep):
    """Hold the lock of the folder, waiting ``timeout`` seconds at most; a BackupError names who holds it.

    ``who``: what the holder is called in others' messages; ``since``: the time now, as text.
    """
    path = pathlib.Path(dest, names.LOCK)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise folder.unwritable(path, error) from error
    try:
        _take(descriptor, path, clock() + max(timeout, GRACE), clock, sleep)
        _sign(descriptor, path, {"who": who, "pid": os.getpid(), "since": since})
        yield
    finally:
        # The file stays: whoever waits for it has it open.
        os.close(descriptor)


def _take(descriptor, path, deadline, clock, sleep) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            left = deadline - clock()
        if left <= 0:
            found = holder(path)
            by = (
                f"{found['who']} (process {found.get('pid')}, since {found.get('since')})"
                if "who" in found
                else "an unknown one"
            )
            raise BackupError(
                f"Another process works on the sets in {path.parent}: {by}. Wait for its end, or set a longer "
                "lock_timeout.",
                "lock",
            )
        sleep(min(PAUSE, left))


def _sign(descriptor, path, data) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(data).encode(), 0)
    except OSError as error:
        raise folder.unwritable(path, error) from error
