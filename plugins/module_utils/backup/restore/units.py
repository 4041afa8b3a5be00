# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units that stand still while databases change their names."""

from __future__ import annotations

import os

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

TIMEOUT = 180
# When this process is killed, systemd starts the units after this time, in seconds. A swap takes less than one minute.
AGAIN_AFTER = 180
ACTIVE = ("active", "activating", "reloading")


class Units:
    """Stops the units that run, on entry, and starts those again, on exit, whatever happened in between."""

    def __init__(self, names: list[str], warn, runner=process.run):
        self.names = names
        self.warn = warn
        self.runner = runner
        self.stopped: list[str] = []
        self.armed = False

    def _systemctl(self, verb, name):
        return self.runner(["systemctl", verb, "--", name], TIMEOUT)

    @property
    def timer(self) -> str:
        """The name of what starts the units when this process cannot."""
        return f"mlops-stack-restore-{os.getpid()}"

    def __enter__(self):
        running = [name for name in self.names if self._systemctl("is-active", name).out.strip() in ACTIVE]
        try:
            if running:
                self._arm(running)
            for name in running:
                # Noted first: what was stopped half-way is started too.
                self.stopped.append(name)
                result = self._systemctl("stop", name)
                if result.rc:
                    raise BackupError(
                        f"The unit {name} could not be stopped.", "stop_units", rc=result.rc, stderr_tail=result.err
                    )
        except BaseException:
            self.start()
            raise
        return self

    def _arm(self, names):
        command = ["systemd-run", "--quiet", "--collect", f"--unit={self.timer}", f"--on-active={AGAIN_AFTER}"]
        result = self.runner([*command, "systemctl", "start", "--", *names], TIMEOUT)
        if result.rc:
            raise BackupError(
                "No timer could be made that starts the units again if this process dies.",
                "stop_units",
                rc=result.rc,
                stderr_tail=result.err,
            )
        self.armed = True

    def __exit__(self, *_error):
        self.start()

    def start(self) -> None:
        """Start what was stopped; one that does not start is told, and keeps no other from it."""
        failed = False
        while self.stopped:
            name = self.stopped.pop()
            if self._systemctl("start", name).rc:
                failed = True
                self.warn(f"The unit {name} did not start again: see journalctl -u {name}.")
        # What did not start gets another chance.
        if self.armed and not failed:
            self._systemctl("stop", f"{self.timer}.timer")
            self.armed = False
