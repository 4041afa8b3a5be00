# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a backup is: a small file for pg_backup_info, and lines for the journal."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup import names

FILE_EVERY = 2.0
LINE_EVERY = 30.0


def utc_now() -> datetime.datetime:
    """The time now, aware."""
    return datetime.datetime.now(datetime.timezone.utc)


class Progress:
    """The progress of one backup. ``write_json(path, data)`` writes the file, ``say(line)`` a line of the journal."""

    def __init__(self, dest, label, write_json, say=None, clock=time.monotonic, now=utc_now):
        self.path = pathlib.Path(dest, names.PROGRESS)
        self.label = label
        self.write_json = write_json
        self.say = say or (lambda line: None)
        self.clock = clock
        self.now = now
        self.started = names.format_time(now())
        self.current = {"phase": "begin", "done": 0, "total": None, "unit": None}
        self.seconds: dict[str, float] = {}
        self.last_file = self.last_line = self.began = clock()

    @contextlib.contextmanager
    def phase(self, name: str, total: int | None = None, unit: str | None = None):
        """A phase: its name is told, its time is kept in ``seconds``."""
        self.current = {"phase": name, "done": 0, "total": total, "unit": unit}
        self.began = self.last_line = self.clock()
        self.say(f"{self.label}: {name}")
        self._write()
        try:
            yield self
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + self.clock() - self.began, 3)

    def report(self, done: int, total: int | None = None, unit: str | None = None) -> None:
        """So much of the phase is done; cheap enough to be called for every file and every second."""
        self.current["done"] = done
        self.current["total"] = self.current["total"] if total is None else total
        self.current["unit"] = self.current["unit"] if unit is None else unit
        now = self.clock()
        if now - self.last_file >= FILE_EVERY:
            self._write()
        if now - self.last_line >= LINE_EVERY:
            self.last_line = now
            self.say(f"{self.label}: {sentence(self.current)}")

    def _write(self):
        self.last_file = self.clock()
        # A disk that is full fails the backup where it matters, not here.
        with contextlib.suppress(OSError):
            data = {"label": self.label, **self.current, "started": self.started, "pid": os.getpid()}
            self.write_json(self.path, {**data, "updated": names.format_time(self.now())})

    def clear(self):
        """Remove the file: nothing is running any more."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def sentence(current: dict) -> str:
    """A phase's progress in words."""
    done, total, unit = current["done"], current["total"], current["unit"] or ""
    if unit == "bytes":
        done, total, unit = done >> 20, total and total >> 20, "MiB"
    share = f" of {total}" if total else ""
    return f"{current['phase']}: {done}{share} {unit}".rstrip()
