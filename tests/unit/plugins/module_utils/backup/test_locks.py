# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import locks
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError


class Clock:
    """A clock that goes on by sleeping only."""

    def __init__(self):
        self.now = 0.0
        self.wake = None

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        if self.wake:
            self.wake()


def test_the_holder_is_named_and_the_lock_is_free_again(tmp_path):
    path = tmp_path / ".lock"
    assert not locks.is_held(path)
    with locks.held(tmp_path, "host1, timer", "2026-11-21T12:00:00Z", 0):
        assert locks.is_held(path)
        assert locks.holder(path) == {"who": "host1, timer", "pid": os.getpid(), "since": "2026-11-21T12:00:00Z"}
        clock = Clock()
        with (
            pytest.raises(BackupError, match=r"host1, timer \(process \d+, since 2026-11-21T12:00:00Z\)") as caught,
            locks.held(tmp_path, "host2", "later", 5, clock, clock.sleep),
        ):
            pytest.fail("two hold it")
        assert clock.now == pytest.approx(5)
        assert (caught.value.phase, caught.value.safe_to_retry) == ("lock", True)
    assert not locks.is_held(path)


def test_a_lock_that_becomes_free_is_taken(tmp_path):
    clock = Clock()
    first = locks.held(tmp_path, "first", "now", 0)
    first.__enter__()
    clock.wake = lambda: first.__exit__(None, None, None) if clock.now > 1 and locks.is_held(tmp_path / ".lock") else 0
    with locks.held(tmp_path, "second", "now", 5, clock, clock.sleep):
        assert locks.holder(tmp_path / ".lock")["who"] == "second"
    assert 1 < clock.now < 2


@pytest.mark.parametrize("content", ["", "[]", '{"pid": 1}'])
def test_a_holder_that_did_not_sign(tmp_path, content):
    clock = Clock()
    with locks.held(tmp_path, "first", "now", 0):
        (tmp_path / ".lock").write_text(content)
        with (
            pytest.raises(BackupError, match="an unknown one"),
            locks.held(tmp_path, "second", "now", 0, clock, clock.sleep),
        ):
            pytest.fail("two hold it")


def test_a_folder_that_takes_no_lock(tmp_path):
    with pytest.raises(BackupError, match="Nothing can be written to"), locks.held(tmp_path / "no", "x", "now", 0):
        pytest.fail("there is no such folder")


def test_a_disk_on_which_the_holder_cannot_sign(tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locks.os, "pwrite", full)
    with pytest.raises(BackupError, match="No space left"), locks.held(tmp_path, "x", "now", 0):
        pytest.fail("it could not sign")
    assert not locks.is_held(tmp_path / ".lock")


def test_the_file_is_for_its_owner(tmp_path):
    with locks.held(tmp_path, "x", "now", 0):
        assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o600
        assert json.loads((tmp_path / ".lock").read_text())["who"] == "x"
