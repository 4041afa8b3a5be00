# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result
from ansible_collections.mlops.stack.plugins.module_utils.systemd import client as client_file
from ansible_collections.mlops.stack.plugins.module_utils.systemd import plan, work
from ansible_collections.mlops.stack.plugins.module_utils.systemd.client import Client, Failed

START = "Tue 2020-01-21 01:49:39.500000 UTC"
ACTIVE = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "NeedDaemonReload": "no",
    "CanReload": "yes",
    "ReloadResult": "success",
    "Result": "success",
    "NRestarts": "0",
    "ExecMainStatus": "0",
    "InactiveExitTimestamp": START,
    "StateChangeTimestamp": START,
    "Type": "simple",
}
INACTIVE = dict(ACTIVE, ActiveState="inactive", SubState="dead", UnitFileState="disabled")
FAILED = dict(ACTIVE, ActiveState="failed", SubState="failed", Result="exit-code", ExecMainStatus="3")
ABSENT = dict(INACTIVE, LoadState="not-found", UnitFileState="")
UNIT = {"name": "a", "enabled": True, "state": "started", "restart_on": [], "reload_on": [], "health": None}
HEALTH = {"url": "http://127.0.0.1:1/health", "status": [200], "timeout": 5}


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    time = monotonic

    def sleep(self, seconds):
        self.now += seconds


class Systemd:
    """A systemctl and a journalctl. Each show takes the next of a unit's states; the last one stays."""

    def __init__(self, states, answers=None):
        self.states = {name: list(values) for name, values in states.items()}
        self.answers = answers or {}
        self.calls = []

    def __call__(self, argv, timeout):
        words = [word for word in argv[1:] if not word.startswith("--") or word == "--runtime"]
        self.calls.append(" ".join([argv[0]] + words) if argv[0] == "systemctl" else " ".join(argv))
        if argv[0] == "journalctl":
            return Result(0, "first words\nlast words\n" if "--sync" not in argv else "", "", False, 0)
        if words[0] in self.answers:
            return self.answers[words[0]]
        if words[0] == "show":
            blocks = []
            for name in words[1:]:
                queue = self.states[name]
                state = queue.pop(0) if len(queue) > 1 else queue[0]
                blocks.append("".join("%s=%s\n" % item for item in state.items()))
            return Result(0, "\n".join(blocks), "", False, 0)
        return Result(0, "", "", False, 0)

    def changes(self):
        return [call for call in self.calls if call.startswith("systemctl") and " show " not in call]


class Health:
    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, health, run, timeout):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer, "status %d" % (200 if answer else 503)


def ensure(systemd, units, check_mode=False, check=None, restart=False, **options):
    client = Client(run=systemd, check=check or Health(True), clock=Clock(), **options)
    params = dict(units=[dict(UNIT, **unit) for unit in units], restart=restart, journal_lines=30, start_timeout=120)
    return work.ensure(params, check_mode, client)


def test_nothing_to_do_is_one_call():
    systemd = Systemd({"a.service": [ACTIVE], "b.timer": [ACTIVE]})
    failed, result = ensure(systemd, [{"health": HEALTH}, {"name": "b.timer"}])
    assert not failed and not result["changed"]
    assert systemd.calls == ["systemctl show a.service b.timer"]
    assert result["units"][0] == dict(name="a.service", action="none", enablement="none", reason="", changed=False)
    assert result["diff"]["before"] == result["diff"]["after"]


def test_no_units_need_no_systemd():
    systemd = Systemd({})
    assert ensure(systemd, [])[0] is False and systemd.calls == []


def test_start_and_enable_in_order():
    systemd = Systemd({"a.service": [INACTIVE, ACTIVE], "b.service": [INACTIVE, dict(ACTIVE, Type="notify")]})
    failed, result = ensure(systemd, [{"health": HEALTH}, {"name": "b"}], check=Health(False, False, True))
    assert not failed and result["changed"]
    assert systemd.changes() == [
        "systemctl enable a.service b.service",
        "systemctl start a.service",
        "systemctl start b.service",
    ]
    assert [unit["action"] for unit in result["units"]] == ["start", "start"]


def test_stop_and_disable():
    systemd = Systemd({"a.service": [ACTIVE], "b.service": [dict(ACTIVE, UnitFileState="enabled-runtime")]})
    result = ensure(
        systemd, [{"state": "stopped", "enabled": False}, {"name": "b", "state": "stopped", "enabled": False}]
    )[1]
    assert systemd.changes() == [
        "systemctl disable a.service",
        "systemctl disable --runtime b.service",
        "systemctl stop a.service",
        "systemctl stop b.service",
    ]
    assert result["diff"]["after"] == "a.service: inactive, disabled\nb.service: inactive, disabled\n"


def test_check_mode_reads_only():
    systemd = Systemd({"a.service": [dict(ABSENT, NeedDaemonReload="yes")], "b.service": [ACTIVE]})
    failed, result = ensure(systemd, [{"health": HEALTH}, {"name": "b"}], check_mode=True)
    assert not failed and result["changed"] and result["daemon_reload"]
    assert systemd.calls == ["systemctl show a.service b.service"]
    assert result["units"][0]["reason"] == "it does not exist yet"
    assert result["diff"]["before"].startswith("a.service: inactive, not enabled\n")


def test_changed_unit_files_are_read_again():
    systemd = Systemd({"a.service": [dict(ACTIVE, NeedDaemonReload="yes"), ACTIVE]})
    result = ensure(systemd, [{}])[1]
    assert systemd.changes() == ["systemctl daemon-reload"] and result["daemon_reload"] and not result["changed"]


OUTDATED = dict(ACTIVE, NeedDaemonReload="yes")
WATCHED = {"restart_on": ["/nowhere/a.service"]}


def test_a_unit_that_ran_from_an_unread_file_is_restarted():
    # b was read in time, and c lists no files: they go on as they are.
    systemd = Systemd({"a.service": [OUTDATED, ACTIVE], "b.service": [ACTIVE], "c.service": [OUTDATED, ACTIVE]})
    units = [WATCHED, dict(WATCHED, name="b"), {"name": "c"}]
    failed, result = ensure(systemd, units)
    assert not failed and result["daemon_reload"]
    assert systemd.changes() == [
        "systemctl daemon-reload",
        "systemctl reset-failed a.service",
        "systemctl restart a.service",
    ]
    assert [unit["action"] for unit in result["units"]] == ["restart", "none", "none"]
    assert result["units"][0]["reason"] == "its unit file changed since systemd read it"
    assert "restart needed: its unit file changed since systemd read it" in result["diff"]["before"]
    assert ensure(systemd, units)[1]["changed"] is False


def test_check_mode_tells_the_restart_of_an_unread_file():
    systemd = Systemd({"a.service": [OUTDATED], "b.service": [OUTDATED]})
    result = ensure(systemd, [WATCHED, {"name": "b"}], check_mode=True)[1]
    assert [unit["action"] for unit in result["units"]] == ["restart", "none"] and systemd.changes() == []
    assert result["units"][0]["reason"] == "its unit file changed since systemd read it"


def test_a_unit_that_stays_outdated_is_not_restarted_each_time():
    systemd = Systemd({"a.service": [OUTDATED]})
    result = ensure(systemd, [WATCHED])[1]
    assert systemd.changes() == ["systemctl daemon-reload"] and not result["changed"]


def test_a_unit_that_is_not_there():
    systemd = Systemd({"a.service": [ABSENT]})
    failed, result = ensure(systemd, [{}])
    assert failed and result["phase"] == "options" and "a.service does not exist on this host" in result["msg"]
    assert systemd.changes() == ["systemctl daemon-reload"]


@pytest.mark.parametrize("seconds, changed", [(-1, False), (1, True)])
def test_a_file_written_after_the_start_restarts(tmp_path, seconds, changed):
    config = tmp_path / "config"
    config.write_text("")
    written = plan.parse_time(START) + seconds
    os.utime(config, (written, written))
    assert ensure(Systemd({"a.service": [ACTIVE]}), [{"restart_on": [str(config)]}])[1]["changed"] is changed


@pytest.mark.parametrize("key", ["FragmentPath", "DropInPaths"])
@pytest.mark.parametrize("watches, changed", [(["/nowhere/at/all"], True), ([], False)])
def test_a_unit_file_written_after_the_start_restarts_though_systemd_has_read_it(tmp_path, key, watches, changed):
    (tmp_path / "a.service").write_text("")
    written = plan.parse_time(START) + 1
    os.utime(tmp_path / "a.service", (written, written))
    state = dict(ACTIVE, **{key: str(tmp_path / "a.service")})
    result = ensure(Systemd({"a.service": [state]}), [{"restart_on": watches}])[1]
    assert result["changed"] is changed
    assert result["units"][0]["reason"] == ("%s/a.service changed after its start" % tmp_path if changed else "")


def test_times_of_files(tmp_path):
    config, link = tmp_path / "config", tmp_path / "link"
    config.write_text("")
    os.utime(config, (1000, 1000))
    assert client_file.changed_at(str(config)) == 1000
    future = os.stat(config).st_ctime + 10**6
    os.utime(config, (future, future))
    assert client_file.changed_at(str(config)) == os.stat(config).st_ctime
    os.utime(config, (1000, 1000))
    link.symlink_to(config)
    assert client_file.changed_at(str(link)) == os.lstat(link).st_mtime
    config.unlink()
    assert client_file.changed_at(str(link)) == os.lstat(link).st_mtime
    assert client_file.changed_at(str(config)) is None


def test_force_restarts():
    systemd = Systemd({"a.service": [ACTIVE]})
    result = ensure(systemd, [{"health": HEALTH}], restart=True)[1]
    assert systemd.changes() == ["systemctl reset-failed a.service", "systemctl restart a.service"]
    assert result["units"][0]["reason"] == "a restart was asked for"


def test_a_failed_unit_is_reset_first():
    systemd = Systemd({"a.service": [FAILED, dict(ACTIVE, Type="dbus")]})
    assert ensure(systemd, [{}])[0] is False
    assert systemd.changes() == ["systemctl reset-failed a.service", "systemctl start a.service"]


def test_a_unit_that_dies_at_start_fails_at_once():
    systemd = Systemd({"a.service": [INACTIVE, ACTIVE, FAILED], "b.service": [ACTIVE]})
    failed, result = ensure(systemd, [{}, {"name": "b"}], journal_lines=7)
    assert failed and result["changed"] and result["unit"] == "a.service" and result["phase"] == "start"
    assert result["msg"] == (
        "a.service died at its start (exit status 3). The last lines of its journal:\nfirst words\nlast words"
    )
    assert result["journal"] == ["first words", "last words"] and result["units"] == []
    assert systemd.calls[-1] == (
        "journalctl --no-pager --quiet --output=short --unit=a.service --lines=7 --since=@1000.000000"
    )


def test_a_unit_that_dies_while_it_is_waited_for():
    systemd = Systemd({"a.service": [ACTIVE, ACTIVE, dict(ACTIVE, NRestarts="1")]})
    failed, result = ensure(systemd, [{"health": HEALTH}], check=Health(False))
    assert failed and result["phase"] == "health" and not result["changed"]
    assert result["msg"].startswith("a.service died (it was started anew after it had died).")


def test_an_answer_from_elsewhere_does_not_hide_a_death():
    systemd = Systemd({"a.service": [INACTIVE, FAILED]})
    failed, result = ensure(systemd, [{"health": HEALTH}], check=Health(True))
    assert failed and "died at its start" in result["msg"]


def test_a_unit_that_never_gets_healthy():
    systemd = Systemd({"a.service": [ACTIVE]})
    failed, result = ensure(systemd, [{"health": HEALTH}], check=Health(False))
    assert failed and result["phase"] == "health"
    assert result["msg"].startswith(
        "a.service runs, but was not healthy within 5 s: http://127.0.0.1:1/health gave: status 503. The last"
    )
    assert "rc" not in result


def test_start_that_systemd_refuses():
    answer = Result(1, "", "Job for a.service failed because of a dependency.\nSee", False, 1)
    systemd = Systemd({"a.service": [INACTIVE, ACTIVE]}, {"start": answer})
    failed, result = ensure(systemd, [{}])
    assert failed and result["rc"] == 1 and result["stderr_tail"].endswith("See")
    assert result["msg"].startswith("a.service could not start: Job for a.service failed because of a dependency.")


def test_start_that_dies_at_once():
    systemd = Systemd({"a.service": [INACTIVE, FAILED]}, {"start": Result(1, "", "Job failed", False, 1)})
    failed, result = ensure(systemd, [{}])
    assert failed and result["msg"].startswith("a.service died at its start (exit status 3).") and result["rc"] == 1


def test_reload_then_failing_reload(tmp_path):
    path = tmp_path / "hba"
    path.write_text("")
    old = dict(
        ACTIVE,
        InactiveExitTimestamp="Thu 1970-01-01 00:00:01.000000 UTC",
        StateChangeTimestamp="Thu 1970-01-01 00:00:02.000000 UTC",
        NRestarts="2",
        Type="forking",
    )
    systemd = Systemd({"a.service": [old]})
    failed, result = ensure(systemd, [{"reload_on": [str(path)]}])
    assert not failed and systemd.changes() == ["systemctl reload a.service"]
    assert "reload done" in result["diff"]["after"]
    systemd = Systemd({"a.service": [old]}, {"reload": Result(1, "", "Job for a.service failed.", False, 1)})
    failed, result = ensure(systemd, [{"reload_on": [str(path)]}])
    assert failed and result["msg"].startswith("a.service could not reload: Job for a.service failed.")


def test_a_start_without_end():
    systemd = Systemd({"a.service": [INACTIVE]}, {"start": Result(-9, "", "", True, 120)})
    failed, result = ensure(systemd, [{}])
    assert failed and result["msg"].startswith("a.service did not start within 120 s (start_timeout).")


@pytest.mark.parametrize(
    "answer, words",
    [
        (
            Result(1, "", "System has not been booted with systemd\nmore", False, 0),
            "systemctl show failed: System has not been booted with systemd",
        ),
        (Result(127, "", "", False, 0), "systemctl show failed: it said nothing"),
        (Result(-9, "", "", True, 0), "systemctl show did not end within 60 s"),
    ],
)
def test_no_systemd(answer, words):
    failed, result = ensure(Systemd({}, {"show": answer}), [{}])
    assert failed and words in result["msg"] and result["phase"] == "show" and result["unit"] is None


def test_links_of_generators_are_for_every_boot(tmp_path):
    folder = tmp_path / "generator" / "x.wants"
    folder.mkdir(parents=True)
    state = dict(ACTIVE, UnitFileState="enabled-runtime")
    (folder / "a.service").write_text("")
    systemd = Systemd({"a.service": [state], "b.service": [state]})
    result = ensure(systemd, [{}, {"name": "b"}], generated=str(tmp_path) + "/generator*/*.*/")[1]
    assert [unit["enablement"] for unit in result["units"]] == ["none", "enable"]


def test_a_bad_list_is_refused_before_anything():
    systemd = Systemd({})
    failed, result = ensure(systemd, [{"name": "*"}])
    assert failed and result["phase"] == "options" and systemd.calls == [] and result["safe_to_retry"] is False


def test_the_client_is_made_from_the_options():
    params = dict(units=[], restart=False, journal_lines=3, start_timeout=4)
    assert work.ensure(params, False) == (
        False,
        dict(changed=False, units=[], diff=dict(before="\n", after="\n"), daemon_reload=False),
    )


def test_a_failure_without_a_journal_is_its_sentence():
    failure = Failed("It failed.", "show")
    assert (str(failure), failure.journal, failure.rc) == ("It failed.", [], None)
