# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.systemd import plan

START = "Tue 2020-01-21 01:49:39.500000 UTC"
RELOAD = "Tue 2020-01-21 01:50:39.500000 UTC"
T0 = plan.parse_time(START)
RUNS = {
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
UNIT = {"name": "a.service", "enabled": True, "state": "started", "restart_on": [], "reload_on": [], "health": None}


@pytest.mark.parametrize(
    "name, full",
    [
        ("mlflow", "mlflow.service"),
        ("a.b", "a.b.service"),
        ("timer", "timer.service"),
        ("x.timer", "x.timer"),
        ("postgresql@17-main", "postgresql@17-main.service"),
    ],
)
def test_full_name(name, full):
    assert plan.full_name(name) == full


@pytest.mark.parametrize(
    "name, words",
    [
        ("*", "no name of a unit"),
        ("a b", "no name"),
        ("-x", "no name"),
        ("", "no name"),
        ("pg@.service", "name an instance such as pg@one.service"),
        ("pg@", "is a template"),
    ],
)
def test_full_name_refused(name, words):
    with pytest.raises(plan.Invalid, match=words):
        plan.full_name(name)


def test_units_are_checked():
    units = [
        dict(UNIT, name="a"),
        dict(UNIT, name="b.socket", health={"url": "http://h/x"}),
        dict(UNIT, name="c", health={"tcp": "[::1]:80"}),
    ]
    assert [unit["name"] for unit in plan.check_units(units)] == ["a.service", "b.socket", "c.service"]


@pytest.mark.parametrize(
    "units, words",
    [
        ([dict(UNIT), dict(UNIT, name="a")], "a.service twice"),
        ([dict(UNIT, state="stopped", health={"tcp": "h:1"})], "wants it stopped"),
        ([dict(UNIT, state="loaded", health={"tcp": "h:1"})], "wants it loaded"),
        ([dict(UNIT, health={"url": "ftp://x"})], "health.url of a.service must be a URL"),
        ([dict(UNIT, health={"tcp": "localhost"})], "health.tcp of a.service must be host:port"),
    ],
)
def test_units_refused(units, words):
    with pytest.raises(plan.Invalid, match=words):
        plan.check_units(units)


def test_parse_show():
    assert plan.parse_show("Id=a\nX=1=2\nodd\n\nId=b\n", 2) == [{"Id": "a", "X": "1=2"}, {"Id": "b"}]
    with pytest.raises(ValueError, match="for 1 units in place of 2"):
        plan.parse_show("Id=a", 2)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("Thu 1970-01-01 00:00:01.250000 UTC", 1.25),
        ("", None),
        (None, None),
        ("n/a", None),
    ],
)
def test_parse_time(text, seconds):
    assert plan.parse_time(text) == seconds


@pytest.mark.parametrize(
    "unit, state, words",
    [
        ({}, {}, None),
        ({}, {"LoadState": "masked"}, "is masked on this host; run 'systemctl unmask a.service'"),
        ({}, {"LoadState": "not-found"}, "does not exist on this host"),
        ({}, {"LoadState": "bad-setting", "LoadError": "no ExecStart"}, "systemd cannot use: no ExecStart"),
        ({}, {"LoadState": "error"}, "systemd cannot use: error"),
        ({"reload_on": ["/f"]}, {"CanReload": "no"}, "cannot be reloaded"),
        ({"reload_on": ["/f"]}, {"CanReload": "no", "ActiveState": "inactive"}, None),
        ({"reload_on": ["/f"]}, {}, None),
        ({"state": "stopped", "enabled": False}, {"LoadState": "not-found"}, None),
        ({"state": "stopped", "enabled": True}, {"LoadState": "not-found"}, "does not exist"),
        ({"state": "loaded"}, {"LoadState": "not-found"}, "does not exist"),
        ({"enabled": False}, {"UnitFileState": "generated"}, "enabled by a generator"),
        ({"enabled": None}, {"UnitFileState": "generated"}, None),
    ],
)
def test_refusal(unit, state, words):
    found = plan.refusal(dict(UNIT, **unit), dict(RUNS, **state))
    assert found is None if words is None else words in found


@pytest.mark.parametrize(
    "enabled, file_state, action",
    [
        (True, "disabled", "enable"),
        (True, "enabled", None),
        (True, "static", None),
        (True, "generated", None),
        (True, "indirect", None),
        (True, "enabled-runtime", "enable"),
        (True, "linked", "enable"),
        (True, "", "enable"),
        (False, "enabled", "disable"),
        (False, "enabled-runtime", "disable-runtime"),
        (False, "disabled", None),
        (False, "static", None),
        (False, "", None),
        (False, "masked", None),
        (None, "disabled", None),
        (None, "enabled", None),
    ],
)
def test_enablement(enabled, file_state, action):
    assert plan.enablement(dict(UNIT, enabled=enabled), {"UnitFileState": file_state}) == action


RESTART = {"restart_on": ["/f", "/gone"]}
RELOAD_ON = {"reload_on": ["/f", "/gone"]}
OUTDATED = {"NeedDaemonReload": "yes"}


@pytest.mark.parametrize(
    "unit, state, changed, force, action, reason",
    [
        ({}, {}, None, False, None, None),
        ({}, {}, None, True, "restart", "a restart was asked for"),
        ({}, {"ActiveState": "inactive"}, None, True, "start", "it does not run"),
        ({}, {"ActiveState": "failed"}, None, False, "start", "it does not run"),
        ({}, {"ActiveState": "inactive", "LoadState": "not-found"}, None, False, "start", "it does not exist yet"),
        ({}, {"ActiveState": "activating", "SubState": "auto-restart"}, None, False, "restart", "it keeps dying"),
        ({}, {"ActiveState": "activating", "SubState": "start"}, None, False, "start", "it does not run"),
        (RESTART, {}, T0 - 1, False, None, None),
        (RESTART, {}, T0, False, None, None),
        (RESTART, {}, T0 + 0.001, False, "restart", "/f changed after its start"),
        (RESTART, {}, None, False, None, None),
        (RESTART, {"StateChangeTimestamp": RELOAD}, T0 + 1, False, "restart", "/f changed after its start"),
        (RESTART, {"InactiveExitTimestamp": ""}, T0 + 1, False, None, None),
        (RESTART, OUTDATED, T0 - 1, False, "restart", "its unit file changed since systemd read it"),
        (RESTART, OUTDATED, T0 + 1, False, "restart", "/f changed after its start"),
        (RESTART, dict(OUTDATED, ActiveState="inactive"), T0 - 1, False, "start", "it does not run"),
        (dict(RESTART, state="stopped"), OUTDATED, T0 - 1, False, "stop", "it runs"),
        (dict(RESTART, state="loaded"), OUTDATED, T0 + 1, True, None, None),
        (
            dict(RESTART, reload_on=["/f"]),
            dict(OUTDATED, ReloadResult="exit-code"),
            T0 - 1,
            False,
            "restart",
            "its unit file changed since systemd read it",
        ),
        ({}, OUTDATED, None, False, None, None),
        (RELOAD_ON, OUTDATED, T0 - 1, False, None, None),
        (RELOAD_ON, {}, T0 - 1, False, None, None),
        (RELOAD_ON, {}, T0 + 1, False, "reload", "/f changed after its start and its last reload"),
        (RELOAD_ON, {"StateChangeTimestamp": RELOAD}, T0 + 1, False, None, None),
        (
            RELOAD_ON,
            {"StateChangeTimestamp": RELOAD},
            T0 + 61,
            False,
            "reload",
            "/f changed after its start and its last reload",
        ),
        (
            RELOAD_ON,
            {"StateChangeTimestamp": ""},
            T0 + 1,
            False,
            "reload",
            "/f changed after its start and its last reload",
        ),
        (RELOAD_ON, {"ReloadResult": "exit-code"}, T0 - 1, False, "reload", "its last reload failed"),
        ({}, {"ReloadResult": "exit-code"}, None, False, None, None),
        ({"state": "stopped"}, {}, None, True, "stop", "it runs"),
        ({"state": "stopped"}, {"ActiveState": "activating"}, None, False, "stop", "it runs"),
        ({"state": "stopped"}, {"ActiveState": "failed"}, None, False, None, None),
    ],
)
def test_activation(unit, state, changed, force, action, reason):
    found = plan.activation(dict(UNIT, **unit), dict(RUNS, **state), {"/f": changed}, force)
    assert found == (action, reason)


def decision(action=None, enablement=None, reason=None):
    return {"name": "a.service", "action": action, "enablement": enablement, "reason": reason}


@pytest.mark.parametrize(
    "state, planned, before, after",
    [
        ({}, decision(), "a.service: active, enabled", "a.service: active, enabled"),
        (
            {"ActiveState": "inactive", "UnitFileState": ""},
            decision("start", "enable"),
            "a.service: inactive, not enabled",
            "a.service: active, enabled",
        ),
        ({}, decision("stop", "disable"), "a.service: active, enabled", "a.service: inactive, disabled"),
        (
            {},
            decision("reload", "disable-runtime", "/f changed"),
            "a.service: active, enabled, reload needed: /f changed",
            "a.service: active, disabled, reload done: /f changed",
        ),
        (
            {},
            decision("restart", None, "why"),
            "a.service: active, enabled, restart needed: why",
            "a.service: active, enabled, restart done: why",
        ),
    ],
)
def test_describe(state, planned, before, after):
    states = [dict(RUNS, **state)]
    assert plan.describe(states, [planned], False) == before + "\n"
    assert plan.describe(states, [planned], True) == after + "\n"


def test_decide():
    assert plan.decide(dict(UNIT), dict(RUNS), {}) == decision()


@pytest.mark.parametrize(
    "state, restarts, how",
    [
        ({}, 0, None),
        ({"NRestarts": "3"}, 3, None),
        ({"NRestarts": ""}, 0, None),
        ({"NRestarts": "1"}, 0, "it was started anew after it had died"),
        ({"ActiveState": "activating", "SubState": "start-pre"}, 0, None),
        (
            {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code", "ExecMainStatus": "3"},
            0,
            "exit status 3",
        ),
        ({"ActiveState": "failed", "Result": "signal", "ExecMainStatus": "9"}, 0, "killed by signal 9"),
        ({"ActiveState": "failed", "Result": "start-limit-hit"}, 0, "it died too often in a short time"),
        ({"ActiveState": "failed", "Result": "strange"}, 0, "result strange"),
        ({"ActiveState": "inactive"}, 0, "it ended by itself"),
        ({"ActiveState": "deactivating"}, 0, "it ended by itself"),
        ({"ActiveState": "inactive", "Type": "oneshot"}, 0, None),
        (
            {"ActiveState": "inactive", "Type": "oneshot", "Result": "exit-code", "ExecMainStatus": "1"},
            0,
            "exit status 1",
        ),
    ],
)
def test_death(state, restarts, how):
    assert plan.death(dict(RUNS, **state), restarts) == how


@pytest.mark.parametrize(
    "restart_on, state, paths",
    [
        ([], {"FragmentPath": "/etc/systemd/system/a.service"}, []),
        (["/etc/a"], {}, ["/etc/a"]),
        (["/etc/a"], {"FragmentPath": "", "DropInPaths": ""}, ["/etc/a"]),
        (
            ["/etc/a", "/etc/systemd/system/a.service"],
            {"FragmentPath": "/etc/systemd/system/a.service", "DropInPaths": "/etc/a.d/1.conf /usr/lib/a.d/2.conf"},
            ["/etc/a", "/etc/systemd/system/a.service", "/etc/a.d/1.conf", "/usr/lib/a.d/2.conf"],
        ),
        # What systemd makes itself, each time it reads its files or at a command that takes effect at once.
        (
            ["/etc/a"],
            {
                "FragmentPath": "/run/systemd/generator.late/a.service",
                "DropInPaths": "/etc/systemd/system.control/a.service.d/50-MemoryMax.conf /run/x.d/1.conf",
            },
            ["/etc/a"],
        ),
    ],
)
def test_watched(restart_on, state, paths):
    assert plan.watched({"restart_on": restart_on}, state) == paths
