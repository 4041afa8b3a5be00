# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import runpy
import signal
import subprocess
import sys

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import command, manifest
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted


def throw(error):
    """Raise what a stand-in was told to fail with."""
    raise error


def answer(given):
    """What a stand-in gives, or fails with."""
    return throw(given) if isinstance(given, Exception) else given


GOOD = {"healthy": True, "problems": [], "latest": "one", "sets": [], "last": None}
BAD = {**GOOD, "healthy": False, "problems": ["It is old.", "It is small."]}


@pytest.fixture(autouse=True)
def _signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Case:
    """A configuration, and the command started with it."""

    def __init__(self, folder):
        self.folder = folder
        self.config = {"dest": str(folder / "sets"), "databases": ["mlflow"], "max_age": "26h"}
        self.config["on_failure"] = ["/bin/sh", "-c", f"cat > {folder}/hook"]
        self.config["metrics_file"] = str(folder / "backup.prom")
        self.told = GOOD
        self.outcome = {
            "changed": True,
            "action": "none",
            "expired": [],
            "uploaded": [],
            "warnings": ["The clock is wrong."],
        }
        self.runs = []
        self.gathered = []
        self.out, self.err = io.StringIO(), io.StringIO()

    def runner(self, settings, say):
        say("begins")

        def run(check):
            self.runs.append((settings, check))
            return answer(self.outcome)

        return run

    def start(self, *argv):
        path = self.folder / "backup.json"
        path.write_text(json.dumps(self.config))
        return command.main([*argv, "--config", str(path)], self.runner, self.gather, self.out, self.err)

    def gather(self, _sets, _now, copied=False):
        self.gathered.append(copied)
        return answer(self.told)

    @property
    def hook(self):
        path = self.folder / "hook"
        return json.loads(path.read_text()) if path.exists() else None


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def test_a_run_makes_a_set_whenever_it_is_due(case):
    assert case.start("run") == 0
    settings, check = case.runs[0]
    assert (settings.state, settings.sets.max_age, check) == ("present", None, False)
    assert case.out.getvalue() == "There was nothing to do.\n"
    assert case.err.getvalue() == "begins\nThe clock is wrong.\n"
    assert "mlops_stack_backup_healthy 1" in (case.folder / "backup.prom").read_text()
    assert case.hook is None


@pytest.mark.parametrize(("action", "copied"), [("backup", True), ("upload", False), ("none", False)])
def test_copies_that_were_just_made_are_not_looked_for_again(case, action, copied):
    case.outcome["action"] = action
    case.outcome.update(label="one", set={"rows": 1, "bytes": 1, "path": "/sets/one"}, reason=None)
    assert case.start("run", "--json") == 0
    assert case.gathered == [copied]


def test_warnings_are_seen_in_the_journal(case):
    case.outcome["warnings"] = ["1 artifacts went away."]
    assert case.start("run") == 0
    assert "1 artifacts went away.\n" in case.err.getvalue()


def test_the_whole_result(case):
    assert case.start("run", "--json") == 0
    assert json.loads(case.out.getvalue()) == case.outcome


def test_backups_are_held_off(case, monkeypatch):
    held = []
    monkeypatch.setattr(command, "hold", lambda run, say: held.append(run))
    assert case.start("hold") == 0
    assert len(held) == 1
    assert not (case.folder / "backup.prom").exists()
    monkeypatch.setattr(command, "hold", lambda run, say: throw(BackupError("Another one works.", "lock")))
    assert case.start("hold") == 75
    assert "Another one works." in case.err.getvalue()
    assert case.hook is None


def test_expire_and_check(case):
    assert case.start("expire", "--check") == 0
    settings, check = case.runs[0]
    assert (settings.state, check) == ("expired", True)
    assert not (case.folder / "backup.prom").exists()


@pytest.mark.parametrize(("phase", "status"), [("dump", 1), ("lock", 75)])
def test_a_failure_is_seen_everywhere(case, phase, status):
    case.outcome = BackupError("It failed.", phase, 1, "pg_dump: error")
    assert case.start("run") == status
    assert "It failed.\npg_dump: error\n" in case.err.getvalue()
    assert case.hook["error"]["msg"] == "It failed."
    assert case.hook["ok"] is False
    assert (case.folder / "backup.prom").exists()


def test_a_failure_in_check_mode_is_told_only(case):
    case.outcome = BackupError("It failed.", "dump")
    assert case.start("run", "--check") == 1
    assert case.hook is None


def test_the_hook_gets_the_attempt_that_was_written_down(case):
    (case.folder / "sets").mkdir()
    manifest.write_json(case.folder / "sets/last.json", {"label": "two", "ok": False, "started": "then"})
    case.outcome = BackupError("It failed.", "dump")
    assert case.start("run") == 1
    assert (case.hook["label"], case.hook["started"]) == ("two", "then")
    manifest.write_json(case.folder / "sets/last.json", {"label": "two", "ok": True})
    assert case.start("run") == 1
    assert case.hook["label"] is None


def test_info_says_what_there_is(case):
    assert case.start("info", "--json") == 0
    assert json.loads(case.out.getvalue()) == GOOD
    assert case.hook is None
    assert "healthy 1" in (case.folder / "backup.prom").read_text()


def test_info_in_a_line(case):
    assert case.start("info") == 0
    assert case.out.getvalue() == "Backups are healthy: 0 complete sets.\n"


def test_info_fails_where_it_is_not_enough(case):
    case.told = BAD
    assert case.start("info") == 1
    assert case.err.getvalue() == "It is old.\nIt is small.\n"
    assert case.hook["error"]["msg"] == "It is old. It is small."
    assert "healthy 0" in (case.folder / "backup.prom").read_text()


@pytest.mark.parametrize("action", ["run", "expire", "info"])
def test_an_error_of_the_program_is_seen_everywhere(case, action):
    case.told = case.outcome = KeyError("canary")
    with pytest.raises(KeyError):
        case.start(action)
    said = f"'{action}' failed by an error in the program itself, KeyError: report it."
    assert case.err.getvalue().splitlines()[-1] == said
    assert (case.hook["ok"], case.hook["error"]["msg"]) == (False, said)
    assert "healthy 0" in (case.folder / "backup.prom").read_text()


def test_an_error_of_the_program_in_check_mode_is_told_only(case):
    case.outcome = KeyError("x")
    with pytest.raises(KeyError):
        case.start("run", "--check")
    assert (case.hook, (case.folder / "backup.prom").exists()) == (None, False)


def test_being_asked_to_end_is_no_failure(case):
    case.told = Interrupted("interrupted by SIGTERM")
    with pytest.raises(Interrupted):
        case.start("info")
    assert case.hook is None


def test_info_in_check_mode_calls_no_hook(case):
    case.told = BAD
    assert case.start("info", "--check") == 1
    assert case.hook is None
    assert not (case.folder / "backup.prom").exists()


def test_info_of_what_cannot_be(case):
    case.config["minimum_redundancy"] = 0
    assert case.start("info") == 1
    assert "minimum_redundancy must be 1" in case.err.getvalue()


@pytest.mark.parametrize(("text", "message"), [(None, "cannot be read: No such file"), ("{", "is not JSON")])
def test_a_configuration_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "backup.json"
    if text is not None:
        path.write_text(text)
    err = io.StringIO()
    assert command.main(["run", "--config", str(path)], err=err) == 1
    assert message in err.getvalue()


def test_what_follows_a_backup_never_fails_it(case):
    case.config["metrics_file"] = "/nowhere/at/all"
    case.config["on_failure"] = ["/nowhere/at/all"]
    case.outcome = BackupError("It failed.", "dump")
    assert case.start("run") == 1
    assert "The metrics file /nowhere/at/all could not be written" in case.err.getvalue()
    assert "The command of on_failure failed" in case.err.getvalue()
    case.config["on_failure"] = ["/bin/false"]
    assert case.start("run") == 1
    assert "on_failure ended with status 1" in case.err.getvalue()


def test_without_a_file_and_a_hook(case):
    del case.config["metrics_file"], case.config["on_failure"]
    case.outcome = BackupError("It failed.", "dump")
    assert case.start("run") == 1
    assert case.err.getvalue() == "begins\nIt failed.\n"


def test_a_hook_that_does_not_end():
    lines = []

    def call(*_arguments, **_words):
        raise subprocess.TimeoutExpired("hook", 300)

    command.call_hook({"on_failure": ["x"]}, {}, lines.append, call)
    assert "timed out" in lines[0]


def test_nobody_has_to_listen(case):
    case.err.close()
    assert case.start("run") == 0


def test_as_a_program(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["command", "info", "--config", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as ended, pytest.warns(RuntimeWarning, match="found in sys.modules"):
        runpy.run_module(command.__name__, run_name="__main__")
    assert ended.value.code == 1
    assert "cannot be read" in capsys.readouterr().err
