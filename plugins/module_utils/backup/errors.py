# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong in a backup or a restore, as the user is told."""

from __future__ import annotations


class BackupError(Exception):
    """One clear sentence, where it happened, and whether the same call may succeed later."""

    def __init__(self, message, phase, rc=None, stderr_tail="", safe_to_retry=True):
        super().__init__(message)
        self.message = message
        self.phase = phase
        self.rc = rc
        self.stderr_tail = stderr_tail
        self.safe_to_retry = safe_to_retry

    def __str__(self):
        return self.message

    def result(self):
        """The failure as a module returns it."""
        return {
            "msg": self.message,
            "phase": self.phase,
            "rc": self.rc,
            "stderr_tail": self.stderr_tail,
            "safe_to_retry": self.safe_to_retry,
        }
