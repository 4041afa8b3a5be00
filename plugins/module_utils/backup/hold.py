# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holding backups off while something else removes what they would copy, such as ``mlflow gc``."""

from __future__ import annotations

import os
import socket
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

# How often it is seen to that the lease in the store is still held, in seconds.
PAUSE = 5


def ready(environment=None) -> None:
    """Tell systemd that a service of Type=notify is ready, as sd_notify(3) does; nothing outside of one."""
    address = (os.environ if environment is None else environment).get("NOTIFY_SOCKET")
    if not address:
        return
    # A leading @ stands for the null byte of an abstract address.
    address = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        notify.sendto(b"READY=1", address)


def hold(run, say, sleep=time.sleep, tell=ready) -> None:
    """Hold backups off until a signal ends this; BackupError where they cannot be held off, or no longer.

    :param run: the ``Run`` whose folder and store nobody else may work in.
    """
    try:
        with run.alone() as check:
            tell()
            say("Backups and restores are held off.")
            while True:
                sleep(PAUSE)
                check()
    except BackupError as error:
        if error.phase != "interrupted":
            raise
        say("Backups and restores may go on.")
