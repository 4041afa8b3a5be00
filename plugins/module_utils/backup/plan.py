# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call for a backup has to do, from what is there. Pure."""

from __future__ import annotations

import dataclasses
import datetime

from ansible_collections.mlops.stack.plugins.module_utils.backup import manifest, retention
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

NOTHING = "none"
UPLOAD = "upload"
BACKUP = "backup"
# A set's files besides its tables' data: toc.dat, globals, the manifest, lists.
FILES_BESIDE = 64


@dataclasses.dataclass(frozen=True)
class Decision:
    """What is to be done, with which set, and why."""

    action: str
    label: str | None
    reason: str


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a set must be so that no new one is needed; ``max_age`` in seconds, None where any set is too old."""

    system_identifier: str
    databases: tuple[str, ...]
    level: str
    max_age: float | None
    label: str | None
    artifacts: str
    encrypted: bool


def decide(wanted: Wanted, here, there, now: datetime.datetime) -> Decision:
    """Whether a set that is there will do. ``here`` are the folder's sets, ``there`` the store's, None without one."""
    if wanted.label:
        return _decide_label(wanted, here, there)
    if wanted.max_age is None:
        return Decision(BACKUP, None, "a backup was asked for")
    limit = now - datetime.timedelta(seconds=wanted.max_age)
    young = [
        one
        for one in here
        if one.complete and limit < one.created <= now + retention.TOLERANCE and not lacks(wanted, one.manifest)
    ]
    if not young:
        return Decision(BACKUP, None, "no verified set of these databases is younger than max_age")
    newest = max(young, key=lambda one: (one.created, one.label))
    return _there(newest, there, "is younger than max_age")


def _decide_label(wanted, here, there):
    one, other = _labelled(wanted.label, here), _labelled(wanted.label, there)
    if one is None:
        return _decide_by_store(wanted, other)
    if not one.complete:
        raise refuse(_damaged(wanted, one, other))
    lacking = lacks(wanted, one.manifest)
    if lacking:
        raise refuse(f"The set {one.label} is there and {lacking}: choose another label.")
    if other and other.manifest and other.manifest != one.manifest:
        raise refuse(f"The set {one.label} is there and the store has another of that label: choose another label.")
    return _there(one, there, "is there")


def _decide_by_store(wanted, other):
    """The decision where the folder has no set of the label; ``other`` is the store's, None where it has none."""
    if other is None or other.unfinished:
        return Decision(BACKUP, wanted.label, f"there is no set {wanted.label}")
    if other.manifest is None:
        raise BackupError(
            f"What the set {wanted.label} in the store is cannot be read ({other.problems[0]}): repeat, or choose "
            "another label.",
            "plan",
        )
    lacking = lacks(wanted, other.manifest) if other.complete else f"is damaged ({other.problems[0]})"
    if lacking:
        raise refuse(f"The set {wanted.label} is in the store and {lacking}: choose another label.")
    return Decision(NOTHING, wanted.label, f"the set {wanted.label} is in the store")


def _damaged(wanted, one, other):
    """What to do about a damaged set of the folder, so that nothing more is lost."""
    found = f"The set {one.label} is there and is damaged ({one.problems[0]})"
    if other and other.complete and not lacks(wanted, other.manifest):
        return f"{found}, and is whole in the store: move the folder {one.path} away, and the one in the store will do."
    return f"{found}: choose another label, or move the folder {one.path} away."


def _labelled(label, sets):
    return next((one for one in sets or () if one.label == label), None)


def _there(one, there, why):
    other = _labelled(one.label, there)
    if there is not None and not (other and other.complete and other.manifest == one.manifest):
        return Decision(UPLOAD, one.label, f"the set {one.label} {why} and is not in the store")
    return Decision(NOTHING, one.label, f"the set {one.label} {why}")


def refuse(message: str) -> BackupError:
    """The error of a call that asks for what cannot be."""
    return BackupError(message, "plan", safe_to_retry=False)


def lacks(wanted: Wanted, data: dict) -> str | None:
    """What a complete set lacks to be what is asked for, None where it is that."""
    if data["postgres"].get("system_identifier") != wanted.system_identifier:
        return "is of another PostgreSQL server"
    missing = sorted(set(wanted.databases) - set(manifest.databases(data)))
    if missing:
        return f"does not hold the database {missing[0]}"
    if manifest.LEVELS.index(data["verified"].get("level", "none")) < manifest.LEVELS.index(wanted.level):
        return f"was not verified by verify={wanted.level}"
    if wanted.artifacts != "none" and (data.get("artifacts") or {}).get("mode") != wanted.artifacts:
        return f"has no artifacts by mode={wanted.artifacts}"
    if data["encrypted"] != wanted.encrypted:
        return "is not encrypted" if wanted.encrypted else "is encrypted"
    return None


def expiry(found, sets, now, new: str | None = None) -> dict[str, tuple[str, str]]:
    """What retention says of complete sets, those of the folder or those of the store; ``sets`` are the settings.

    Sets of the same databases are judged among themselves, whichever server they are of: a stack on new machines goes
    on where the old one ended. Where the settings name databases, sets of others are not judged at all. A set whose
    artifacts could not be copied takes no other one's place.

    ``new``: the set of this call. It stays whatever its time says, which is that of the server's clock; where it is not
    there yet, it counts as made now.
    """
    complete = {one.label: (manifest.databases(one.manifest), one.created) for one in found if one.complete}
    if new is not None:
        complete.setdefault(new, (sorted(sets.databases), now))
    groups: dict[tuple[str, ...], list] = {}
    for label, (databases, created) in complete.items():
        if not sets.databases or databases == sorted(sets.databases):
            groups.setdefault(tuple(databases), []).append((label, created))
    listed = {one.label for one in found if one.complete and manifest.lacks_copies(one.manifest)}
    planned = {}
    for group in groups.values():
        planned.update(retention.plan(group, sets.policy, now, sets.minimum_redundancy, listed))
    if new is not None:
        planned[new] = (retention.KEEP, "it is new")
    return planned


def behind(here, there, sets, now, new: str) -> list:
    """The sets of the folder that the store should have and has not, or not whole, the newest first.

    ``here`` and ``there`` are the sets of both. What retention would drop again is left out, and so is ``new``.
    """
    whole = {one.label: one for one in there if one.complete}
    lacking = {one.label: one for one in here if one.complete and one.label not in whole}
    planned = expiry([*whole.values(), *lacking.values()], sets, now, new)
    kept = {label for label, (verdict, _why) in planned.items() if verdict == retention.KEEP and label != new}
    late = [one for label, one in lacking.items() if label in kept]
    return sorted(late, key=lambda one: (one.created, one.label), reverse=True)


def clocks(server: datetime.datetime, here: datetime.datetime, where: str) -> list[str]:
    """The warning of two clocks that differ: which sets expire and which is the newest goes by the server's."""
    apart = server - here
    if abs(apart) <= retention.TOLERANCE:
        return []
    minutes, way = abs(apart).total_seconds() / 60, "behind" if apart < datetime.timedelta() else "ahead of"
    return [
        f"The clock of the server at {where}, which tells how old sets are, is {minutes:.0f} minutes {way} this "
        "host's: set both by NTP (timedatectl status)."
    ]


def needed_bytes(sizes: dict[str, int], found, factor: float) -> int:
    """How much space a dump of databases of these sizes may need.

    The newest set of them tells how small they become; without one, as much as they take on the server.
    """
    whole = sorted((one for one in found if one.complete), key=lambda one: one.manifest["created"], reverse=True)
    for one in whole:
        before = {entry["name"]: entry.get("size_bytes", 0) for entry in one.manifest["databases"]}
        if set(before) == set(sizes) and sum(before.values()):
            share = manifest.total_bytes(one.manifest) / sum(before.values())
            return int(sum(sizes.values()) * min(share, 1.0) * factor)
    return int(sum(sizes.values()) * factor)


def check_space(needed: int, free: int, files: int, free_files: int, dest) -> None:
    """BackupError where the file system of the sets is too full; ``free_files`` 0 where it does not count them."""
    if free < needed:
        raise BackupError(
            f"{dest} has {free >> 20} MiB free and the backup may need {needed >> 20} MiB: make room, or set a lower "
            "free_space_factor.",
            "check",
        )
    if free_files and free_files < files + FILES_BESIDE:
        raise BackupError(
            f"The file system of {dest} has room for {free_files} more files (inodes) and the backup needs "
            f"{files + FILES_BESIDE}: remove files there.",
            "check",
        )


def check_size(found: int, least: int | None) -> None:
    """BackupError where a dump is smaller than it may be."""
    if least is not None and found < least:
        raise BackupError(
            f"The dump has {found} bytes and min_size is {least}: is the database empty, or the wrong one? Nothing was "
            "published and no set was removed.",
            "check",
            safe_to_retry=False,
        )
