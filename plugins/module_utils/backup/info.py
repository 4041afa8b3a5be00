# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sets there are, and whether they are enough. What is damaged is told, never raised."""

from __future__ import annotations

import datetime
import json
import os
import pathlib

from ansible_collections.mlops.stack.plugins.module_utils.backup import (
    copies,
    folder,
    locks,
    manifest,
    names,
    plan,
    retention,
    verify,
)
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

# What there is to tell where looking at the sets failed in a way that nobody thought of.
UNKNOWN = {"healthy": False, "sets": [], "last": None}


def open_store(sets, deep=False):
    """The sets of the store that the settings name, and why they cannot be read, one of both."""
    if sets.s3 is None:
        return [], None
    from ansible_collections.mlops.stack.plugins.module_utils.backup.remote import Remote

    try:
        remote = Remote(sets.s3, None if deep else sets.timeout)
        found = remote.sets()
        for one in found if deep else ():
            one.problems = remote.verify(one.label)
        return found, None
    except BackupError as error:
        return [], error.message


def gather(sets, now, read_store=open_store, deep: bool = False, copied: bool = False) -> dict:
    """Everything about the sets; ``sets`` are the settings of that name. ``deep``: read all files, compare hashes.

    Where the settings name databases, sets that lack one of them are as if they were not there. ``copied``: a backup
    has seen to the copies of artifacts this moment, and they are not looked for again.
    """
    dest = pathlib.Path(sets.dest)
    problems = []
    try:
        here = folder.list_sets(dest)
        for one in here if deep else ():
            if one.complete:
                one.problems = verify.compare(one.path, one.manifest)
        orphans = [path.name for path in folder.leftovers(dest)]
    except BackupError as error:
        here, orphans = [], []
        problems.append(error.message)
    # Before the store is read and after it: a backup that ended meanwhile was uploading.
    running = locks.is_held(dest / names.LOCK)
    there, unread = read_store(sets, deep)
    if unread:
        problems.append(unread)
    running = running or locks.is_held(dest / names.LOCK)
    if running:
        mine = {one.label for one in here}
        there = [one for one in there if not (one.unfinished and one.label in mine)]
    last = read_json(dest / names.LAST)
    here, there = ([one for one in found if _holds(one, sets.databases)] for found in (here, there))
    listed = merge(here, there, sets, now)
    problems += judge(listed, sets, now, last, running or bool(unread), folder.since(dest))
    problems += [] if copied else copies.problems(here, sets, deep)
    if not running and orphans:
        problems.append(f"A backup was interrupted and left {orphans[0]} in {dest}; the next one removes it.")
    newest = newest_complete(listed)
    return {
        "folder": str(dest),
        "sets": listed,
        "latest": newest["label"] if newest else None,
        "healthy": not problems,
        "problems": problems,
        "locked": running,
        "running": progress_of(dest) if running else None,
        "orphans": [] if running else orphans,
        "last": last,
    }


def _holds(one, databases) -> bool:
    """Whether a set holds these databases, as far as is known."""
    return one.manifest is None or set(databases) <= set(manifest.databases(one.manifest))


def progress_of(dest) -> dict | None:
    """How far the backup or the restore is that has the lock: what is not of it was left by one that was killed."""
    told = [found for name in (names.PROGRESS, names.RESTORE_PROGRESS) if (found := read_json(dest / name))]
    return max(told, key=lambda found: str(found.get("updated")), default=None)


def read_json(path) -> dict | None:
    """A small file that a backup writes, None where it is not there or is not that."""
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def merge(here, there, sets, now) -> list[dict]:
    """One entry for each label, the newest first, whether it is in the folder, in the store or in both."""
    verdicts = {
        "folder": plan.expiry(here, sets, now),
        "s3": plan.expiry(there, sets, now),
    }
    found: dict[str, dict] = {}
    for place, many in (("folder", here), ("s3", there)):
        for one in many:
            entry = found.setdefault(one.label, _empty(one.label))
            entry["locations"].append(place)
            entry["problems"] += [f"{place}: {problem}" for problem in one.problems]
            if one.manifest is not None and entry["created"] is None:
                entry.update(_told(one.manifest))
            entry["complete"] = entry["complete"] or one.complete
            entry["orphan"] = one.unfinished and entry["locations"] == ["s3"]
            verdict = verdicts[place].get(one.label)
            if verdict and verdict[0] == retention.EXPIRE:
                entry["expires_if"] = "the next backup succeeds"
            elif verdict and entry["expires_if"] is None:
                entry["kept_by"] = verdict[1]
    return sorted(found.values(), key=lambda entry: (entry["created"] or "", entry["label"]), reverse=True)


def newest_complete(listed: list[dict]) -> dict | None:
    """The newest complete set among the entries of merge(), None where there is none."""
    return max((one for one in listed if one["complete"]), key=lambda one: one["created"], default=None)


def _empty(label: str) -> dict:
    return {
        "label": label,
        "created": None,
        "bytes": 0,
        "databases": [],
        "locations": [],
        "complete": False,
        "verified": None,
        "encrypted": False,
        "artifacts": None,
        "problems": [],
        "orphan": False,
        "expires_if": None,
        "kept_by": None,
    }


def _told(data: dict) -> dict:
    artifacts = data.get("artifacts")
    return {
        "created": data["created"],
        "bytes": manifest.total_bytes(data),
        "databases": manifest.databases(data),
        "verified": data["verified"],
        "encrypted": data["encrypted"],
        "artifacts": artifacts and {key: artifacts.get(key) for key in ("mode", "objects", "bytes", "destination")},
    }


def due(sets, now, since: datetime.datetime | None) -> int:
    """How many complete sets have to be there by now: one more whenever ``max_age`` went by since the first was due.

    ``since``: when backups were set up, None where that is not known.
    """
    if since is None or not sets.max_age:
        return sets.minimum_redundancy
    return min(sets.minimum_redundancy, int((now - since).total_seconds() // sets.max_age))


def damaged(listed: list[dict]) -> list[dict]:
    """The damaged sets among the entries of merge(). What an upload left that did not end was never a set."""
    return [one for one in listed if one["problems"] and not one["orphan"]]


def judge(listed, sets, now, last, unsure: bool, since=None) -> list[str]:
    """Why the sets are not enough, one sentence each; none where they are.

    ``unsure``: the store was not read, or a set is on its way into it; ``since``: when backups were set up.
    """
    found = [f"The set {one['label']} is damaged: {one['problems'][0]}." for one in damaged(listed)]
    count = sum(one["complete"] for one in listed)
    wanted = due(sets, now, since)
    if count:
        found += judge_newest(newest_complete(listed), sets, now, unsure)
        if count < wanted:
            found.append(f"Complete sets: {count}; minimum_redundancy wants {sets.minimum_redundancy}.")
    elif wanted > 0:
        found.append("There is no complete set.")
    if last and not last.get("ok"):
        error = last.get("error")
        why = error["msg"] if isinstance(error, dict) and "msg" in error else "its end was not written down"
        found.append(f"The last backup, {last.get('label')}, failed: {why}")
    return found


def judge_newest(newest, sets, now, unsure: bool) -> list[str]:
    """Why the newest complete set is not enough."""
    found = []
    age = now - names.parse_time(newest["created"])
    if sets.max_age is not None and age > datetime.timedelta(seconds=sets.max_age):
        hours = age.total_seconds() / 3600
        found.append(
            f"The newest complete set, {newest['label']}, is {hours:.1f} hours old; max_age allows "
            f"{sets.max_age / 3600:g}."
        )
    if age < -retention.TOLERANCE:
        found.append(f"The set {newest['label']} is from the future: check the clocks.")
    if sets.min_size is not None and newest["bytes"] < sets.min_size:
        found.append(f"The set {newest['label']} has {newest['bytes']} bytes; min_size is {sets.min_size}.")
    if newest["verified"].get("level") == "none":
        found.append(f"The set {newest['label']} was never read back: verify is none.")
    if sets.s3 is not None and not unsure and "s3" not in newest["locations"]:
        found.append(f"The newest set, {newest['label']}, is not in the store.")
    return found


def sentence(told: dict) -> str:
    """What gather() tells, in a line."""
    count = sum(one["complete"] for one in told["sets"])
    newest = newest_complete(told["sets"])
    of = f", the newest, {newest['label']}, of {newest['created']}" if newest else ""
    orphans = [one["label"] for one in told["sets"] if one["orphan"]]
    left = f" Uploads that did not end have left {', '.join(orphans)} in the store." if orphans else ""
    return f"Backups are {'healthy' if told['healthy'] else 'not healthy'}: {count} complete sets{of}.{left}"


def metrics(told: dict, now: float) -> str:
    """The Prometheus text of what gather() tells; ``now`` in seconds since 1970."""
    newest = newest_complete(told["sets"])
    last = told["last"] or {}
    values = [
        ("healthy", "Whether the sets are enough, as pg_backup_info judges.", int(told["healthy"])),
        ("complete_sets", "Sets that are complete.", sum(one["complete"] for one in told["sets"])),
        ("damaged_sets", "Sets that are damaged.", len(damaged(told["sets"]))),
        ("last_success", "Whether the last attempt succeeded.", int(bool(last.get("ok")))),
        ("checked_timestamp_seconds", "When this was written.", int(now)),
    ]
    if newest:
        created = int(names.parse_time(newest["created"]).timestamp())
        values += [
            ("newest_timestamp_seconds", "Time of the newest complete set.", created),
            ("newest_bytes", "Size of the newest complete set, its artifacts left out.", newest["bytes"]),
        ]
    lines = []
    for name, meaning, value in values:
        full = f"mlops_stack_backup_{name}"
        lines += [f"# HELP {full} {meaning}", f"# TYPE {full} gauge", f"{full} {value}"]
    return "\n".join(lines) + "\n"


def write_metrics(path, text: str) -> None:
    """Write the text where node_exporter reads it, whole or not at all; everybody may read it."""
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.chmod(0o644)
    beside.replace(path)
