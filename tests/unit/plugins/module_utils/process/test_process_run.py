# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def test_a_command_gives_its_output_and_status():
    result = process.run([sys.executable, "-c", "import sys; print('out'); sys.stderr.write('err'); sys.exit(3)"], 20)
    assert (result.rc, result.out, result.err, result.timed_out) == (3, "out\n", "err", False)


def test_a_command_that_does_not_exist_is_a_result(monkeypatch):
    monkeypatch.setattr(process.shutil, "which", lambda name: None)
    result = process.run(["/nowhere/program"], 20)
    assert result.rc == 127
    assert result.err == "/nowhere/program: No such file or directory"


def test_a_slow_command_is_killed_with_its_children(tmp_path):
    mark = tmp_path / "mark"
    began = time.monotonic()
    result = process.run(["sh", "-c", "(sleep 2; touch %s) & sleep 30" % mark], 0.2)
    assert result.timed_out and result.rc != 0
    assert time.monotonic() - began < 2
    time.sleep(2.2)
    assert not mark.exists()


@pytest.mark.parametrize("wanted", SIGNALS)
def test_a_signal_ends_the_command_and_is_told(wanted):
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    try:
        process.end_cleanly_on_signals()
        signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), wanted))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        began = time.monotonic()
        with pytest.raises(process.Interrupted, match=f"interrupted by {wanted.name}"):
            process.run(["sleep", "30"], 60)
        assert time.monotonic() - began < 5
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_environment_is_merged(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "x")
    monkeypatch.setenv("KEPT", "y")
    merged = process.merged_environment({"NEW": "z"}, ("PIP_",))
    assert "PIP_INDEX_URL" not in merged
    assert (merged["KEPT"], merged["NEW"], merged["LC_ALL"]) == ("y", "z", "C")
    assert process.merged_environment({})["PIP_INDEX_URL"] == "x"


def test_a_given_environment_is_the_whole():
    result = process.run(
        [sys.executable, "-c", "import os; print(os.environ.get('HOME'), os.getcwd())"], 20, env={"A": "b"}, cwd="/usr"
    )
    assert result.out == "None /usr\n"


def test_who_runs_several_gets_to_know_each():
    seen = []
    result = process.run([sys.executable, "-c", "print(1)"], 20, started=seen.append)
    assert (result.out, [child.pid > 0 for child in seen]) == ("1\n", [True])
