# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import manifest, progress
from ansible_collections.mlops.stack.plugins.module_utils.backup.progress import Progress


class Watch:
    """A clock, the lines of the journal and the writes of the file."""

    def __init__(self, folder, noon):
        self.seconds = 0.0
        self.lines = []
        self.writes = 0
        self.progress = Progress(
            folder, "one", self.write, self.lines.append, clock=lambda: self.seconds, now=lambda: noon
        )

    def write(self, path, data):
        self.writes += 1
        manifest.write_json(path, data)


@pytest.fixture
def watch(tmp_path, noon):
    return Watch(tmp_path, noon)


def test_a_phase_is_told_and_timed(watch, tmp_path):
    with watch.progress.phase("dump", 10 << 20, "bytes"):
        found = json.loads((tmp_path / "progress.json").read_text())
        watch.seconds += 1.5
    with watch.progress.phase("dump"):
        watch.seconds += 1
    assert watch.progress.seconds == {"dump": 2.5}
    assert (found["label"], found["phase"], found["done"], found["total"]) == ("one", "dump", 0, 10 << 20)
    assert found["started"] == found["updated"] == "2026-11-21T12:00:00Z"
    assert watch.lines == ["one: dump", "one: dump"]
    watch.progress.clear()
    assert not (tmp_path / "progress.json").exists()
    watch.progress.clear()


def test_the_file_is_written_every_two_seconds_and_a_line_every_thirty(watch, tmp_path):
    with watch.progress.phase("copy"):
        for _second in range(65):
            watch.seconds += 1
            watch.progress.report(int(watch.seconds) << 20, 100 << 20, "bytes")
    assert watch.writes == 1 + 32
    assert watch.lines == ["one: copy", "one: copy: 30 of 100 MiB", "one: copy: 60 of 100 MiB"]
    assert json.loads((tmp_path / "progress.json").read_text())["done"] == 64 << 20


def test_a_failed_phase_is_timed_too(watch):
    with pytest.raises(ValueError, match="x"), watch.progress.phase("dump"):
        watch.seconds += 3
        raise ValueError("x")
    assert watch.progress.seconds == {"dump": 3}


def test_a_full_disk_does_not_fail_here(tmp_path, noon):
    def full(_path, _data):
        raise OSError(28, "No space left on device")

    made = Progress(tmp_path, "one", full)
    with made.phase("dump"):
        made.report(1)
    assert made.current["done"] == 1


@pytest.mark.parametrize(
    ("current", "text"),
    [
        ({"phase": "a", "done": 3, "total": None, "unit": None}, "a: 3"),
        ({"phase": "a", "done": 3, "total": 9, "unit": "objects"}, "a: 3 of 9 objects"),
        ({"phase": "a", "done": 3 << 20, "total": None, "unit": "bytes"}, "a: 3 MiB"),
    ],
)
def test_sentences(current, text):
    assert progress.sentence(current) == text


def test_the_time_is_aware():
    assert progress.utc_now().utcoffset().total_seconds() == 0
