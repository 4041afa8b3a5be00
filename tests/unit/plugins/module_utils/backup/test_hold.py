# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import socket

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import hold
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path, abstract):
    address = f"@{tmp_path}" if abstract else str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1))
        hold.ready({"NOTIFY_SOCKET": address})
        assert listening.recv(100) == b"READY=1"


def test_nobody_is_told_outside_of_systemd(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    hold.ready()


class Run:
    """Holds backups off until it is asked a third time whether it still does."""

    def __init__(self, phase):
        self.phase = phase
        self.asked = 0

    @contextlib.contextmanager
    def alone(self):
        yield self.check

    def check(self):
        self.asked += 1
        if self.asked == 3:
            raise BackupError("It ends.", self.phase)


def test_until_a_signal_comes():
    run, said, told, slept = Run("interrupted"), [], [], []
    hold.hold(run, said.append, slept.append, lambda: told.append(True))
    assert (told, slept) == ([True], [hold.PAUSE] * 3)
    assert said == ["Backups and restores are held off.", "Backups and restores may go on."]


def test_a_lost_lease_is_a_failure():
    with pytest.raises(BackupError, match="It ends"):
        hold.hold(Run("lock"), [].append, lambda _seconds: None, lambda: None)
