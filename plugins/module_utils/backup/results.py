# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a call."""

from __future__ import annotations

import errno

from ansible_collections.mlops.stack.plugins.module_utils.backup import folder, manifest, plan
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

FULL = (errno.ENOSPC, errno.EDQUOT)
# So many names a sentence has.
SHOWN = 3
# What the manifest tells of artifacts that are not as they were listed, and what is said of it.
UNEXPECTED = {
    "vanished": "artifacts went away while they were copied and are not in the set",
    "lost_copies": "copies of artifacts were gone or cut off and were made anew",
    "skipped": "things among the artifacts are no files, such as links, and are not in the set",
}


def some(names: list[str], count: int) -> str:
    """The first of some names, and whether there are more; each in one line, whatever characters it has."""
    shown = ", ".join(name if name.isprintable() else repr(name) for name in names[:SHOWN])
    return shown + (", …" if count > SHOWN else "")


def of_artifacts(told: dict) -> list[str]:
    """What a backup warns of, by the artifacts' part of its manifest: one sentence for each kind."""
    found = [(words, told.get(key) or {"count": 0}) for key, words in UNEXPECTED.items()]
    return [f"{one['count']} {words}: {some(one['paths'], one['count'])}." for words, one in found if one["count"]]


def failed_write(error: OSError, dest) -> BackupError:
    """The error of a file system that does not take what is written."""
    where = error.filename or dest
    if error.errno in FULL:
        why = "there is no space (or no inode) left; make room there"
    elif error.errno == errno.EROFS:
        why = "its file system is read-only; mount it writable"
    else:
        why = error.strerror or str(error)
    return BackupError(f"Writing to {where} failed: {why}.", "write")


def summary(found: folder.Found) -> dict:
    """What the result tells of a set."""
    data = found.manifest
    return {
        "label": found.label,
        "path": str(found.path),
        "created": data["created"],
        "bytes": found.bytes,
        "databases": manifest.databases(data),
        "rows": manifest.rows(data),
        "verified": data["verified"],
        "encrypted": data["encrypted"],
        "artifacts": data.get("artifacts"),
    }


def diff(before: list[str], made: str | None, gone: list[str]) -> dict:
    """The complete sets before and after, for Ansible's diff; ``made`` is the new one, where there is one."""
    after = [label for label in before if label not in gone]
    if made is not None and made not in after:
        after.append(made)
    return {"before": {"sets": before}, "after": {"sets": after}}


def sentence(result: dict) -> str:
    """What became of a call, in a line."""
    gone = f" Expired: {', '.join(result['expired'])}." if result["expired"] else ""
    gone += f" Uploaded late: {', '.join(result['uploaded'])}." if result["uploaded"] else ""
    made = result.get("set")
    if result["action"] == plan.BACKUP:
        artifacts = made["artifacts"]
        count = f" and {artifacts['objects']} artifacts" if artifacts else ""
        seconds = sum(result["seconds"].values())
        return (
            f"Made the set {made['label']} with {made['rows']} rows ({made['bytes'] / 2**20:.1f} MiB){count} in "
            f"{seconds:.1f} seconds.{gone}"
        )
    if result["action"] == plan.UPLOAD:
        return f"Uploaded the set {made['label']}.{gone}"
    return gone.strip() or "There was nothing to do."
