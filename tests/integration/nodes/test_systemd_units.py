# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

import pytest

URL = "http://127.0.0.1:8123/"
WEB = "/usr/bin/python3 -m http.server 8123 --bind 127.0.0.1"
NAMES = "it-web it-dies it-once it-notify it-fork it-one@1 it-runtime"


@pytest.fixture(autouse=True)
def _clean(node):
    yield
    node.shell(
        f"systemctl unmask {NAMES}; systemctl disable {NAMES}; systemctl stop {NAMES};"
        " systemctl disable --runtime it-runtime; systemctl reset-failed;"
        " rm -rf /etc/systemd/system/it-* /etc/it-*; systemctl daemon-reload; true"
    )


def unit_file(node, name, service, install=True):
    text = f"[Service]\n{service}\n" + ("[Install]\nWantedBy=multi-user.target\n" if install else "")
    node.write(f"/etc/systemd/system/{name}.service", text)


def web(**more):
    return {"units": [{"name": "it-web", "enabled": True, "health": {"url": URL}, **more}]}


def actions(result):
    assert "msg" not in result, result["msg"]
    return [(unit["enablement"], unit["action"]) for unit in result["units"]]


def main_pid(node, name="it-web"):
    return node.shell(f"systemctl show -P MainPID {name}")


def test_from_absent_to_running_to_stopped(node):
    absent = node.module("systemd_units", web(), check=True)
    assert absent["changed"] and actions(absent) == [("enable", "start")]
    assert "it-web.service does not exist on this host" in node.module("systemd_units", web())["msg"]
    unit_file(node, "it-web", f"ExecStart={WEB}")
    planned = node.module("systemd_units", web(), check=True)
    assert actions(planned) == [("enable", "start")]
    assert node.shell("systemctl is-active it-web || true") == "inactive"
    assert actions(node.module("systemd_units", web())) == [("enable", "start")]
    assert node.shell("systemctl is-active it-web; systemctl is-enabled it-web") == "active\nenabled"
    again = node.module("systemd_units", web())
    assert not again["changed"] and actions(again) == [("none", "none")]
    stop = {"units": [{"name": "it-web", "state": "stopped", "enabled": False}]}
    assert actions(node.module("systemd_units", stop, check=True)) == [("disable", "stop")]
    assert actions(node.module("systemd_units", stop)) == [("disable", "stop")]
    assert node.shell("systemctl is-active it-web; systemctl is-enabled it-web; true") == "inactive\ndisabled"
    assert not node.module("systemd_units", stop)["changed"]


def test_a_restart_that_is_asked_for_is_not_one_too_many(node):
    limits = "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=3600\n"
    node.write("/etc/systemd/system/it-web.service", f"{limits}[Service]\nExecStart={WEB}\n")
    often = {"units": [{"name": "it-web", "health": {"url": URL}}], "restart": True}
    assert [actions(node.module("systemd_units", often)) for _time in range(4)] == [
        [("none", "start")],
        *[[("none", "restart")]] * 3,
    ]


def test_an_interrupted_play_is_mended_by_the_next(node):
    unit_file(node, "it-web", f"ExecStart={WEB}")
    node.write("/etc/it-web.conf", "one")
    watched = web(restart_on=["/etc/it-web.conf", "/etc/systemd/system/it-web.service", "/etc/it-absent"])
    node.module("systemd_units", watched)
    first = main_pid(node)
    # The file is written, and the play dies before it comes to the service.
    node.write("/etc/it-web.conf", "two")
    result = node.module("systemd_units", watched)
    assert actions(result) == [("none", "restart")]
    assert result["units"][0]["reason"] == "/etc/it-web.conf changed after its start"
    assert main_pid(node) != first
    assert not node.module("systemd_units", watched)["changed"]
    # A changed unit file is read again, and its service restarted, in the same call.
    unit_file(node, "it-web", f"Environment=NEW=1\nExecStart={WEB}")
    result = node.module("systemd_units", watched)
    assert result["daemon_reload"] and actions(result) == [("none", "restart")]
    assert "NEW=1" in node.shell("tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID it-web)/environ")
    assert not node.module("systemd_units", watched)["changed"]
    # A time that lies ahead does not restart it for ever.
    node.shell("touch -d 'now + 2 days' /etc/it-web.conf")
    assert node.module("systemd_units", watched)["changed"]
    assert not node.module("systemd_units", watched)["changed"]


def test_a_service_that_systemd_started_anew_from_its_old_file(node):
    path = "/etc/systemd/system/it-web.service"
    unit_file(node, "it-web", f"ExecStart={WEB}")
    # systemd asks for daemon-reload only where a file's mtime is later than the one it read (older systemds: differs
    # from it). So the first file is given a time long past, and the second one a time between that and the start.
    node.shell(f"touch -d '2 hours ago' {path}; systemctl daemon-reload")
    watched = web(restart_on=[path])
    assert actions(node.module("systemd_units", watched)) == [("enable", "start")]
    assert not node.module("systemd_units", watched)["changed"]
    first = main_pid(node)
    # As after a crash: systemd started the service, from the file in its memory, after the new one was written.
    unit_file(node, "it-web", f"ExecStart={WEB} --directory /etc")
    node.shell(f"touch -d '1 hour ago' {path}")
    assert node.shell("systemctl show -P NeedDaemonReload it-web") == "yes"
    planned = node.module("systemd_units", watched, check=True)
    assert planned["changed"] and actions(planned) == [("none", "restart")] and main_pid(node) == first
    # A unit that lists no files is left alone; check mode leaves the mark for the next call.
    assert not node.module("systemd_units", web(), check=True)["changed"]
    result = node.module("systemd_units", watched)
    assert result["daemon_reload"] and actions(result) == [("none", "restart")]
    assert result["units"][0]["reason"] == "its unit file changed since systemd read it"
    assert main_pid(node) != first
    assert "--directory /etc" in node.shell(f"tr '\\0' ' ' < /proc/{main_pid(node)}/cmdline")
    again = node.module("systemd_units", watched)
    assert not again["changed"] and not again["daemon_reload"]


def test_a_drop_in_that_systemd_has_read_meanwhile_still_means_a_restart(node):
    unit_file(node, "it-web", f"ExecStart={WEB}")
    watched = web(restart_on=["/etc/it-web.conf"])
    node.module("systemd_units", watched)
    first = main_pid(node)
    path = "/etc/systemd/system/it-web.service.d/more.conf"
    node.shell(f"mkdir -p {path.rpartition('/')[0]}")
    node.write(path, "[Service]\nEnvironment=NEW=1\n")
    # Whoever does it: from now on systemd's own mark is lost, and what runs was still started without the drop-in.
    node.shell("systemctl daemon-reload")
    assert node.shell("systemctl show -P NeedDaemonReload it-web") == "no"
    assert not node.module("systemd_units", web())["changed"]
    result = node.module("systemd_units", watched)
    assert actions(result) == [("none", "restart")]
    assert result["units"][0]["reason"] == f"{path} changed after its start"
    assert main_pid(node) != first
    assert not node.module("systemd_units", watched)["changed"]
    # What takes effect at once needs no restart.
    node.shell("systemctl set-property it-web.service TasksMax=100")
    assert not node.module("systemd_units", watched)["changed"]


def test_reload_is_done_once_and_repeated_when_it_failed(node):
    unit_file(node, "it-web", f"ExecStart={WEB}\nExecReload=/bin/sh -c 'cat /etc/it-hba >> /etc/it-log'")
    node.write("/etc/it-hba", "1")
    watched = web(reload_on=["/etc/it-hba"])
    node.module("systemd_units", watched)
    pid = main_pid(node)
    node.write("/etc/it-hba", "2")
    assert actions(node.module("systemd_units", watched, check=True)) == [("none", "reload")]
    assert actions(node.module("systemd_units", watched)) == [("none", "reload")]
    assert not node.module("systemd_units", watched)["changed"]
    node.shell("rm /etc/it-hba; (sleep 1; true)")
    node.shell("systemctl reload it-web", fails=True)
    node.write("/etc/it-other", "")
    # The reload failed, whoever asked for it: it is pending until one succeeds.
    failed = node.module("systemd_units", watched)
    assert failed["phase"] == "reload" and "it-web.service could not reload" in failed["msg"]
    assert "No such file" in failed["msg"]
    node.write("/etc/it-hba", "3")
    assert actions(node.module("systemd_units", watched)) == [("none", "reload")]
    assert not node.module("systemd_units", watched)["changed"]
    assert main_pid(node) == pid and node.shell("cat /etc/it-log") == "23"
    unit_file(node, "it-web", f"ExecStart={WEB}")
    assert "list its files in restart_on" in node.module("systemd_units", watched)["msg"]


@pytest.mark.parametrize("restart", ["no", "always"])
def test_a_unit_that_dies_at_its_start_is_told_at_once(node, restart):
    service = f"ExecStart=/bin/sh -c 'echo no such database; sleep 0.4; exit 7'\nRestart={restart}\nRestartSec=20"
    unit_file(node, "it-dies", service)
    began = time.monotonic()
    health = {"url": URL, "timeout": 60}
    result = node.module("systemd_units", {"units": [{"name": "it-dies", "health": health}], "journal_lines": 5})
    assert time.monotonic() - began < 15
    assert result["phase"] == "start" and result["unit"] == "it-dies.service"
    assert result["msg"].startswith("it-dies.service died at its start (exit status 7). The last lines of its journal:")
    assert any("no such database" in line for line in result["journal"]) and len(result["journal"]) <= 5
    again = node.module("systemd_units", {"units": [{"name": "it-dies", "health": health}]})
    assert again["msg"].startswith("it-dies.service died at its start (exit status 7)")
    # Once its cause is gone, the next call mends it.
    unit_file(node, "it-dies", f"ExecStart={WEB}")
    mended = node.module("systemd_units", {"units": [{"name": "it-dies", "health": health}]})
    assert "msg" not in mended and mended["daemon_reload"]


def test_a_unit_without_health_check_that_dies_soon(node):
    unit_file(node, "it-dies", "ExecStart=/bin/sh -c 'sleep 0.3; exit 1'")
    result = node.module("systemd_units", {"units": [{"name": "it-dies"}]})
    assert result["msg"].startswith("it-dies.service died at its start (exit status 1).")


def test_a_unit_that_is_never_healthy(node):
    unit_file(node, "it-web", "ExecStart=/bin/sh -c 'echo I only wait; exec sleep 1000'")
    result = node.module("systemd_units", web(health={"url": URL, "timeout": 3}))
    assert result["phase"] == "health"
    assert result["msg"].startswith(
        f"it-web.service runs, but was not healthy within 3 s: {URL} gave: Connection refused."
    )
    assert "I only wait" in result["msg"]
    for health, words in (
        ({"tcp": "127.0.0.1:8123", "timeout": 1}, "127.0.0.1:8123 gave: Connection refused."),
        ({"command": ["/bin/false"], "timeout": 1}, "the command '/bin/false' gave: exit status 1."),
    ):
        result = node.module("systemd_units", web(health=health))
        assert words in result["msg"] and not result["changed"]


def test_ways_to_ask_for_health(node):
    unit_file(node, "it-web", f"ExecStart={WEB}")
    for health in ({"tcp": "127.0.0.1:8123"}, {"command": ["/bin/true"]}, {"url": URL + "nothing", "status": [404]}):
        assert "msg" not in node.module("systemd_units", web(health=health))
    assert "msg" in node.module("systemd_units", web(health={"url": URL, "tcp": "127.0.0.1:1"}))


def test_a_masked_unit_is_refused(node):
    node.shell("systemctl mask it-web")
    result = node.module("systemd_units", web())
    assert "it-web.service is masked on this host; run 'systemctl unmask it-web.service'" in result["msg"]
    assert result["phase"] == "options"


def test_types(node):
    unit_file(node, "it-once", "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true")
    unit_file(
        node,
        "it-notify",
        "Type=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'sleep 1; systemd-notify --ready; exec sleep 1000'",
        install=False,
    )
    unit_file(node, "it-fork", "Type=forking\nExecStart=/bin/sh -c 'sleep 1000 &'")
    node.write(
        "/etc/systemd/system/it-one@.service",
        "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n",
    )
    units = {"units": [{"name": name, "enabled": True} for name in ("it-once", "it-notify", "it-fork", "it-one@1")]}
    assert actions(node.module("systemd_units", units)) == [
        ("enable", "start"),
        ("none", "start"),
        ("enable", "start"),
        ("enable", "start"),
    ]
    assert not node.module("systemd_units", units)["changed"]
    unit_file(node, "it-notify", "Type=notify\nExecStart=/bin/sh -c 'echo gives up; exit 4'", install=False)
    result = node.module("systemd_units", dict(units, restart=True))
    assert result["msg"].startswith("it-notify.service died at its start (exit status 4).")
    assert [unit["name"] for unit in result["units"]] == ["it-once.service"]
    assert "template" in node.module("systemd_units", {"units": [{"name": "it-one@"}]})["msg"]


def test_enabled_for_this_boot_only(node):
    unit_file(node, "it-runtime", "ExecStart=/bin/sleep 1000")
    node.shell("systemctl enable --runtime it-runtime")
    unmanaged = {"units": [{"name": "it-runtime", "enabled": None}]}
    assert actions(node.module("systemd_units", unmanaged)) == [("none", "start")]
    enabled = {"units": [{"name": "it-runtime", "enabled": True}]}
    assert actions(node.module("systemd_units", enabled)) == [("enable", "none")]
    assert not node.module("systemd_units", enabled)["changed"]


def test_an_instance_that_a_generator_enables(node):
    # What Debian's PostgreSQL does for each of its clusters.
    node.write(
        "/etc/systemd/system/it-one@.service",
        "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n",
    )
    node.shell("mkdir -p /etc/systemd/system-generators")
    folder = "/run/systemd/generator/multi-user.target.wants"
    node.write(
        "/etc/systemd/system-generators/it-generator",
        f"#!/bin/sh\nmkdir -p {folder}\nln -sf /etc/systemd/system/it-one@.service {folder}/it-one@1.service\n",
    )
    try:
        node.shell("chmod 755 /etc/systemd/system-generators/it-generator; systemctl daemon-reload")
        assert node.shell("systemctl is-enabled it-one@1") == "enabled-runtime"
        units = {"units": [{"name": "it-one@1", "enabled": True}]}
        assert actions(node.module("systemd_units", units)) == [("none", "start")]
        assert not node.module("systemd_units", units)["changed"]
        refused = node.module("systemd_units", {"units": [{"name": "it-one@1", "enabled": False}]})
        assert "enabled by a generator" in refused["msg"]
    finally:
        node.shell("rm /etc/systemd/system-generators/it-generator; systemctl daemon-reload")
