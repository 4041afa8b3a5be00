# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a set: what is in it and what each file of it must be. It is written last."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib

from ansible_collections.mlops.stack.plugins.module_utils.backup import names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

SCHEMA = 1
LEVELS = ("none", "read", "restore")
SHA256_DIGITS = 64
REQUIRED = {
    "label": str,
    "created": str,
    "finished": str,
    "host": str,
    "postgres": dict,
    "databases": list,
    "files": list,
    "verified": dict,
    "encrypted": bool,
}


def build(label, created, finished, *, host, postgres, databases, files, verified, **more) -> dict:
    """A manifest. ``created`` and ``finished`` are aware times; ``more`` are the keys that a set may lack.

    A set's time is that of its databases' snapshot, not that of its end.
    """
    return {
        "schema": SCHEMA,
        "label": label,
        "created": names.format_time(created),
        "finished": names.format_time(finished),
        "tool_version": more.get("tool_version", ""),
        "host": host,
        "postgres": postgres,
        "databases": databases,
        "versions": more.get("versions", {}),
        "files": sorted(files, key=lambda item: item["path"]),
        "artifacts": more.get("artifacts"),
        "verified": verified,
        "encrypted": more.get("encrypted", False),
        "seconds": more.get("seconds", {}),
    }


def damaged(where, why) -> BackupError:
    """The error of a set whose manifest cannot be used."""
    return BackupError(f"The manifest {where} {why}: the set is damaged.", "manifest", safe_to_retry=False)


def validate(data, where) -> dict:
    """The manifest, or a BackupError that says what is wrong with it; ``where`` is its path."""
    if not isinstance(data, dict):
        raise damaged(where, "is no object")
    if data.get("schema") != SCHEMA:
        raise BackupError(
            f"The manifest {where} is of schema {data.get('schema')!r} and this version of the collection reads schema "
            f"{SCHEMA}: use the version that made the set.",
            "manifest",
            safe_to_retry=False,
        )
    for key, kind in REQUIRED.items():
        if not isinstance(data.get(key), kind):
            raise damaged(where, f"has no {key}")
    if not names.is_label(data["label"]):
        raise damaged(where, "names no label")
    try:
        names.parse_time(data["created"])
    except ValueError:
        raise damaged(where, "does not say when it was made") from None
    if not all(_is_file(item) for item in data["files"]):
        raise damaged(where, "names a file that cannot be part of a set")
    if not all(_is_database(entry) for entry in data["databases"]):
        raise damaged(where, "does not tell its databases")
    if not isinstance(data["postgres"].get("version_num", 0), int):
        raise damaged(where, "does not tell its server's version")
    if not isinstance(data.get("artifacts"), (dict, type(None))):
        raise damaged(where, "does not tell its artifacts")
    if data["verified"].get("level", "none") not in LEVELS:
        raise damaged(where, "does not tell how it was verified")
    return data


def _is_database(entry) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return False
    tables = entry.get("tables", {})
    numbers = [entry.get("size_bytes", 0), *(tables.values() if isinstance(tables, dict) else [None])]
    return all(isinstance(number, int) for number in numbers)


def _is_file(item) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("path"), str) or not isinstance(item.get("size"), int):
        return False
    path = pathlib.PurePosixPath(item["path"])
    inside = not path.is_absolute() and ".." not in path.parts and path.parts != ()
    # A null byte, or what is no character, is in no file's name, and asking for one is an error.
    inside = inside and item["path"].isprintable()
    return inside and isinstance(item.get("sha256"), str) and len(item["sha256"]) == SHA256_DIGITS


def read(folder) -> dict:
    """The manifest of the set in this folder; FileNotFoundError where there is none, BackupError where it is bad."""
    path = pathlib.Path(folder, names.MANIFEST)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error
    except ValueError:
        raise damaged(path, "is not JSON") from None
    return validate(data, path)


def write(folder, data) -> pathlib.Path:
    """Write the manifest into the folder, whole or not at all, and onto the disk: its path."""
    return write_json(pathlib.Path(folder, names.MANIFEST), data)


def write_json(path, data) -> pathlib.Path:
    """Write a small JSON file, whole or not at all, readable by its owner only, and onto the disk: its path."""
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
            json.dump(data, stream, indent=1)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)
    return path


def sync_folder(folder) -> None:
    """Put a folder's entries onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def problems(folder, data) -> list[str]:
    """Files of the set that are missing or of another size, one sentence each. Hashes are read by verify.py."""
    found = []
    for item in data["files"]:
        try:
            size = pathlib.Path(folder, item["path"]).stat().st_size
        except OSError:
            found.append(f"{item['path']} is missing")
            continue
        if size != item["size"]:
            found.append(f"{item['path']} has {size} bytes instead of {item['size']}")
    return found


def copies_number(data) -> int | None:
    """The number of the set among those with copies of artifacts in one place; None where there are none of its own."""
    told = data.get("artifacts") or {}
    return told.get("number", 0) if told.get("mode") == "copy" else None


def lacks_copies(data) -> bool:
    """Whether the set's artifacts should have been copied, and could only be listed."""
    told = data.get("artifacts") or {}
    return told.get("mode") != "copy" and told.get("destination") is not None


def total_bytes(data) -> int:
    """What the files of the set take, its artifacts' copies left out."""
    return sum(item["size"] for item in data["files"])


def databases(data) -> list[str]:
    """The names of the set's databases."""
    return sorted(entry["name"] for entry in data["databases"])


def rows(data) -> int:
    """The rows of all tables of the set's databases."""
    return sum(sum(entry.get("tables", {}).values()) for entry in data["databases"])
