# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
import threading
import time

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import together
from ansible_collections.mlops.stack.plugins.module_utils.backup.together import Together

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_results_come_in_the_order_of_the_work():
    ticks = []
    with Together(2, lambda: ticks.append(1)) as work:
        slow = work.submit(lambda: time.sleep(0.05) or "slow")
        said = work.submit(work.call, [sys.executable, "-c", "print('hello')"], 20)
        found = work.wait([slow, said])
    assert (found[0], found[1].out) == ("slow", "hello\n")
    assert ticks


def test_without_a_tick():
    with Together(1) as work:
        assert work.wait([work.submit(lambda: 1)]) == [1]


def test_the_first_failure_ends_what_still_runs():
    results = []

    def fail():
        time.sleep(0.3)
        raise ValueError("first")

    began = time.monotonic()
    with pytest.raises(ValueError, match="first"), Together(3) as work:
        running = work.submit(lambda: results.append(work.call(SLEEP, 60)))
        work.wait([running, work.submit(fail)])
    assert time.monotonic() - began < 20
    assert results[0].rc == -9


def test_a_command_that_begins_too_late_is_ended():
    begun = threading.Event()
    results = []

    class Late(Together):
        def __exit__(self, *error):
            self.kill()
            begun.set()
            return super().__exit__(*error)

    def start():
        begun.wait(20)
        results.append(work.call(SLEEP, 60))

    with Late(1) as work:
        work.submit(start)
    assert results[0].rc == -9


def test_the_workers_of_a_killed_command_are_ended(monkeypatch):
    # The command dies at once; its child would hold the output open for a minute.
    monkeypatch.setattr(together, "TICK", 0.1)
    text = "import os, time\nif os.fork():\n    os.kill(os.getpid(), 9)\ntime.sleep(60)"
    began = time.monotonic()
    with Together(1) as work:
        result = work.wait([work.submit(work.call, [sys.executable, "-c", text], 60)])[0]
    assert result.rc == -9
    assert time.monotonic() - began < 20
