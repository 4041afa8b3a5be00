# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends a restore beside its own errors, as its user is told."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted

ERRORS = (Interrupted, OSError)


def told(error: Interrupted | OSError, work_dir) -> BackupError:
    """The error of the module; ``work_dir`` is where its files are, for an OSError that names none."""
    if isinstance(error, Interrupted):
        return BackupError(
            f"The restore was {error}; every live database is whole, as it was or as it is in the set.", "interrupted"
        )
    return BackupError(f"{error.filename or work_dir}: {error.strerror}.", "files")
