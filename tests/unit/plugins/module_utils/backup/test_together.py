# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import bucket, together
from ansible_collections.mlops.stack.plugins.module_utils.backup.together import Together, side_by_side

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


@pytest.mark.parametrize("only_reads", [False, True])
def test_side_by_side(only_reads):
    assert side_by_side(lambda item: time.sleep(0.05 / item) or item, range(1, 9), 3, only_reads) == list(range(1, 9))
    assert side_by_side(None, [], only_reads=only_reads) == []


@pytest.mark.parametrize("only_reads", [False, True])
def test_after_an_error_nothing_new_is_begun(only_reads):
    both_run, ended, begun = threading.Event(), [], []

    def work(item):
        begun.append(item)
        if item == 0:
            both_run.wait(20)
            raise ValueError("first")
        both_run.set()
        time.sleep(0.5)
        ended.append(item)

    with pytest.raises(ValueError, match="first"):
        side_by_side(work, range(100), 2, only_reads)
    assert (begun, ended) == ([0, 1], [] if only_reads else [1])


TOLD_TO_END = """
import sys, time
from ansible_collections.mlops.stack.plugins.module_utils.backup.together import side_by_side
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted, end_cleanly_on_signals
end_cleanly_on_signals()
begun = []
def work(item):
    begun.append(item)
    if len(begun) == 2:
        print("begun", flush=True)
    time.sleep(float(sys.argv[1]))
    print("ended", flush=True)
try:
    side_by_side(work, range(9), 2, sys.argv[2] == "reads")
except Interrupted as error:
    print(error, len(begun), flush=True)
"""


@pytest.mark.parametrize(
    ("seconds", "what", "said"),
    [("60", "reads", "interrupted by SIGTERM 2\n"), ("1", "writes", "ended\nended\ninterrupted by SIGTERM 2\n")],
)
def test_what_only_reads_is_not_waited_for_when_we_are_asked_to_end(seconds, what, said):
    argv = [sys.executable, "-c", TOLD_TO_END, seconds, what]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "begun\n"
        child.send_signal(signal.SIGTERM)
        assert child.communicate(timeout=20)[0] == said
        assert child.returncode == 0


class Slow:
    """A store that takes its time."""

    where = "http://store/"

    def __init__(self):
        self.go_on = threading.Event()

    def folders(self):
        return ["20261121T120000Z-abcd"]

    def below(self, _label):
        return self

    def list(self):
        os.kill(os.getpid(), signal.SIGUSR1)
        self.go_on.wait(60)
        return []


def test_the_listing_of_sets_is_not_waited_for(monkeypatch):
    def interrupt(_number, _frame):
        raise InterruptedError("asked to end")

    before = signal.signal(signal.SIGUSR1, interrupt)
    slow = Slow()
    try:
        began = time.monotonic()
        with pytest.raises(InterruptedError):
            bucket.SetStore(slow).sets()
        assert time.monotonic() - began < 20
    finally:
        slow.go_on.set()
        signal.signal(signal.SIGUSR1, before)
