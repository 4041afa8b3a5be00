# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The set's file of secrets, written where ``secrets_dest`` says: whole, and readable by its owner only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import stat

from ansible_collections.mlops.stack.plugins.module_utils.backup import names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.tools import damaged

MODE = 0o600


def is_wanted(job, files) -> bool:
    """Whether there is something to write; ``job`` is a job.Job, ``files`` are tools.Files."""
    return bool(job.secrets_dest) and files.holds(names.SECRETS)


def check(job, files) -> None:
    """BackupError where the file could not be written: that is to be known before anything is restored."""
    if not is_wanted(job, files):
        return
    folder = os.path.dirname(job.secrets_dest) or "."
    if not os.path.isdir(folder):
        why = f"there is no folder {folder}: make it, or name another file"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"nothing can be written to the folder {folder}: allow it, or name another file"
    elif os.path.isdir(job.secrets_dest):
        why = f"{job.secrets_dest} is a folder: name a file"
    else:
        return
    raise BackupError(f"secrets_dest: {why}.", "options", safe_to_retry=False)


def keep(job, files, check_mode: bool = False) -> bool:
    """Write the file where it is not as it is to be: whether it was, or in check mode would be, written."""
    if not is_wanted(job, files):
        return False
    path, wanted = pathlib.Path(job.secrets_dest), files.sha256(names.SECRETS)
    # Compared by its hash, so that a repeat needs neither the store nor the key of an encrypted set.
    if _is(path, wanted):
        return False
    content = files.fetch(names.SECRETS).read_bytes()
    if hashlib.sha256(content).hexdigest() != wanted:
        raise damaged(files.label, [f"{names.SECRETS} is not what its hash in the manifest says"])
    if not check_mode:
        _write(path, content, files.label)
    return True


def _is(path, sha256) -> bool:
    try:
        return stat.S_IMODE(path.stat().st_mode) == MODE and hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def _write(path, content, label):
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as stream:
            stream.write(content)
        partial.replace(path)
    except OSError as error:
        raise BackupError(
            f"The set {label} is in place, but its file of secrets could not be written to {path} ({error.strerror}):"
            " see to that and run the task again.",
            "secrets",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def told(job, files) -> dict:
    """Whether the set has such a file, and where it can be read; never what is in it."""
    if is_wanted(job, files):
        return {"present": True, "path": job.secrets_dest}
    found = files.path(names.SECRETS)
    lasting = found is not None and (files.work is None or files.work not in found.parents)
    return {"present": files.holds(names.SECRETS), "path": str(found) if lasting else None}
