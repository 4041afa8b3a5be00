# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.units import Units
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result


class Systemd:
    """Units and what they are; ``stuck`` are commands that fail."""

    def __init__(self, stuck=(), **states):
        self.states = states
        self.stuck = stuck
        self.calls = []
        self.timers = {}

    def __call__(self, argv, timeout):
        assert timeout > 0
        if argv[0] == "systemd-run":
            unit = next(word for word in argv if word.startswith("--unit=")).removeprefix("--unit=")
            self.timers[f"{unit}.timer"] = argv[argv.index("systemctl") :]
            return Result(int("timer" in self.stuck), "", "no timers", False, 0.0)
        assert argv[0] == "systemctl" and argv[2] == "--"
        verb, name = argv[1], argv[3]
        if name in self.timers:
            assert verb == "stop"
            del self.timers[name]
            return Result(0, "", "", False, 0.0)
        if verb == "is-active":
            return Result(0, self.states[name] + "\n", "", False, 0.0)
        self.calls.append((verb, name))
        if (verb, name) in self.stuck:
            return Result(1, "", "no", False, 0.0)
        self.states[name] = "active" if verb == "start" else "inactive"
        return Result(0, "", "", False, 0.0)


def test_what_runs_stands_still_and_runs_again():
    systemd, warnings = Systemd(mlflow="active", other="inactive"), []
    with Units(["mlflow", "other"], warnings.append, systemd):
        assert systemd.states == {"mlflow": "inactive", "other": "inactive"}
        # If this process is killed now, systemd starts what it has stopped.
        assert list(systemd.timers.values()) == [["systemctl", "start", "--", "mlflow"]]
    assert systemd.states == {"mlflow": "active", "other": "inactive"}
    assert systemd.calls == [("stop", "mlflow"), ("start", "mlflow")]
    assert (warnings, systemd.timers) == ([], {})


def test_nothing_runs():
    systemd = Systemd(other="failed")
    with Units(["other"], print, systemd):
        assert systemd.timers == {}
    assert systemd.calls == []


def test_nothing_is_stopped_without_the_timer():
    systemd = Systemd(stuck=["timer"], mlflow="active")
    units = Units(["mlflow"], print, systemd)
    with pytest.raises(BackupError, match="No timer could be made") as caught:  # noqa: SIM117
        with units:
            raise AssertionError("nothing may be done then")
    assert (caught.value.phase, caught.value.stderr_tail, systemd.calls) == ("stop_units", "no timers", [])


def test_it_runs_again_after_a_failure():
    systemd = Systemd(mlflow="activating")
    with pytest.raises(KeyError), Units(["mlflow"], print, systemd):
        raise KeyError
    assert systemd.states == {"mlflow": "active"}


def test_a_unit_that_does_not_stop_starts_all_again():
    systemd = Systemd(stuck=[("stop", "b")], a="active", b="active")
    with (
        pytest.raises(BackupError, match="The unit b could not be stopped") as caught,
        Units(["a", "b"], print, systemd),
    ):
        raise AssertionError("nothing may be done then")
    assert (caught.value.phase, caught.value.rc, caught.value.stderr_tail) == ("stop_units", 1, "no")
    assert systemd.calls == [("stop", "a"), ("stop", "b"), ("start", "b"), ("start", "a")]


def test_a_unit_that_does_not_start_is_told():
    systemd, warnings = Systemd(stuck=[("start", "b")], a="active", b="active"), []
    with Units(["a", "b"], warnings.append, systemd):
        pass
    assert systemd.states["a"] == "active"
    assert len(systemd.timers) == 1
    assert warnings == ["The unit b did not start again: see journalctl -u b."]
