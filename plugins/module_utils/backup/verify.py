# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading back what was written: every byte of every archive decompressed, every file's hash from the file."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import pathlib

CHUNK = 1024 * 1024
THREADS = 4


def read_argv(pg_restore: str, archive) -> list[str]:
    """The command that decompresses and parses a whole archive: what is cut off or not compressed data fails it."""
    return [pg_restore, "--file=/dev/null", str(archive)]


def sha256(path) -> tuple[int, str]:
    """(size, sha256) of a file as it is read."""
    digest, size, buffer = hashlib.sha256(), 0, bytearray(CHUNK)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as stream:
        while number := stream.readinto(buffer):
            digest.update(view[:number])
            size += number
    return size, digest.hexdigest()


def settle(path) -> tuple[int, str]:
    """Put a file onto the disk, for its owner only, and read it back: (size, sha256)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return sha256(path)


def entry(name: str, found: tuple[int, str]) -> dict:
    """What the manifest says of a file; ``name`` is its path in the set."""
    return {"path": name, "size": found[0], "sha256": found[1]}


def compare(folder, data: dict, threads: int = THREADS) -> list[str]:
    """What is wrong with the files of a set, by reading each: one sentence for each file; ``data`` is its manifest."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return [wrong for wrong in pool.map(lambda item: _compare_one(folder, item), data["files"]) if wrong]


def _compare_one(folder, item) -> str | None:
    try:
        size, digest = sha256(pathlib.Path(folder, item["path"]))
    except FileNotFoundError:
        return f"{item['path']} is missing"
    except OSError as error:
        return f"{item['path']} cannot be read: {error.strerror}"
    if size != item["size"]:
        return f"{item['path']} has {size} bytes instead of {item['size']}"
    if digest != item["sha256"]:
        return f"{item['path']} is damaged: its sha256 is {digest} instead of {item['sha256']}"
    return None
