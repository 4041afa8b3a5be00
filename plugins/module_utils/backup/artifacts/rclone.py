# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""rclone, which moves the bulk of the artifacts. Keys reach it by its environment only."""

from __future__ import annotations

import json
import pathlib
import ssl
import threading

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

PROGRAM = "rclone"
TRANSFERS = 8
TAIL = 20
POLL_SECONDS = 2.0
# No file of settings: the name stands for none.
NO_CONFIG = "/notfound"
COMMON = (
    "--no-unicode-normalization",
    "--contimeout=10s",
    "--timeout=60s",
    "--retries=1",
    "--low-level-retries=20",
    "--use-json-log",
    "--log-level=NOTICE",
    "--stats=2s",
    "--stats-log-level=NOTICE",
)


def copy_argv(source, target, names, log):
    """Copy the objects whose names a file lists, whatever lies at the target."""
    return [
        PROGRAM,
        "copy",
        source,
        target,
        f"--files-from-raw={names}",
        "--no-check-dest",
        "--no-traverse",
        f"--transfers={TRANSFERS}",
        f"--checkers={TRANSFERS}",
        *COMMON,
        f"--log-file={log}",
    ]


def hash_argv(place, names, log, output):
    """Read the objects whose names a file lists, and write their hashes to another file."""
    return [
        PROGRAM,
        "hashsum",
        "sha256",
        place,
        "--download",
        f"--files-from-raw={names}",
        f"--output-file={output}",
        f"--checkers={TRANSFERS}",
        *COMMON,
        f"--log-file={log}",
    ]


def environment(remotes, bundle):
    """rclone's environment: its settings for the places, none of the user's own."""
    settings = {"RCLONE_CONFIG": NO_CONFIG}
    for remote in remotes:
        settings.update(remote)
    if bundle:
        settings["RCLONE_CA_CERT"] = str(bundle)
    return process.merged_environment(settings, ("RCLONE_", "AWS_"))


def write_bundle(places, target, system=None):
    """One file with the certificates to trust for all places, for rclone knows only one; None where none is named."""
    named = sorted({str(place.ca_bundle) for place in places if place.ca_bundle})
    if not named:
        return None
    if any(not place.is_folder and not place.ca_bundle for place in places):
        named.append(system or ssl.get_default_verify_paths().cafile or "")
    texts = [pathlib.Path(name).read_text(encoding="utf-8") for name in named if pathlib.Path(name).is_file()]
    pathlib.Path(target).write_text("\n".join(texts), encoding="utf-8")
    return target


def lines(text):
    """The lines of what rclone wrote. Other separators than its own, such as U+2028, belong to the names in them."""
    return text.split("\n")


def read_log(text):
    """(errors, the newest statistics) of a log in JSON lines, without a line still being written.

    An error is (the object, empty where it is about none; what was wrong).
    """
    errors = []
    stats = {}
    for line in lines(text):
        try:
            item = json.loads(line)
        except ValueError:
            continue
        if item.get("level") == "error":
            errors.append((item.get("object", ""), item.get("msg", "")))
        stats = item.get("stats", stats)
    return errors, stats


def scrub(text, secrets):
    """The text without the secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def failure(result, errors, doing, secrets):
    """The BackupError for a command that failed."""
    said = [": ".join(word for word in error if word) for error in errors] or lines(result.err.strip())
    tail = scrub("\n".join(said[-TAIL:]), secrets)
    if result.rc == 127:
        message = f"{doing} needs the program rclone, which is not on this host: install the Debian package rclone."
    elif result.timed_out:
        message = f"{doing} did not end in time; set a longer timeout, or see whether the store answers."
    else:
        last = lines(tail)[-1] if tail else f"rclone ended with {result.rc}"
        message = f"{doing} failed: {last}"
    return BackupError(message, "artifacts", result.rc, tail)


def _watch(log, ended, progress):
    while not ended.wait(POLL_SECONDS):
        stats = read_log(log.read_text(encoding="utf-8", errors="replace") if log.exists() else "")[1]
        if stats:
            progress(stats.get("transfers", 0), stats.get("bytes", 0))


def run(argv, env, timeout, log, progress=None, runner=process.run):
    """Run rclone: (its Result, the errors of its log). ``progress`` gets the objects and bytes done so far."""
    log = pathlib.Path(log)
    log.unlink(missing_ok=True)
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(log, ended, progress), daemon=True)
    if progress:
        watcher.start()
    try:
        result = runner(argv, timeout, env)
    finally:
        ended.set()
        if progress:
            watcher.join()
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return result, read_log(text)[0]
