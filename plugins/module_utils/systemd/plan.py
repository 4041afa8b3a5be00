# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd says of units, what has to be done to them, and when a unit counts as dead. Pure."""

from __future__ import annotations

import datetime
import re

PROPERTIES = (
    "Id",
    "LoadState",
    "LoadError",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "NeedDaemonReload",
    "FragmentPath",
    "DropInPaths",
    "Type",
    "CanReload",
    "ReloadResult",
    "Result",
    "NRestarts",
    "ExecMainStatus",
    "InactiveExitTimestamp",
    "StateChangeTimestamp",
)
SUFFIXES = ("service", "socket", "timer", "target", "path", "mount", "automount", "swap", "slice", "scope", "device")
ACTIVE = ("active", "reloading", "refreshing")
WAITING_TO_RESTART = ("auto-restart", "auto-restart-queued")
# States in which the unit starts at boot, or cannot be told to: it has no [Install] part of its own, or another unit
# or a generator decides. What only lasts until the next boot is not among them.
ENABLED = ("enabled", "static", "alias", "indirect", "generated", "transient")
DISABLED = ("disabled", "static", "indirect", "transient", "masked", "masked-runtime", "bad", "")


class Invalid(Exception):
    """A request that cannot be met; nothing was changed."""


def full_name(name):
    """The name with its suffix, as systemctl completes it."""
    if not re.match(r"[A-Za-z0-9:_.\\@-]+$", name) or name.startswith("-"):
        raise Invalid("units names the unit %r, which is no name of a unit." % name)
    full = name if name.rpartition(".")[2] in SUFFIXES and "." in name else name + ".service"
    if full.rpartition(".")[0].endswith("@"):
        raise Invalid(
            "units names %s, which is a template; name an instance such as %s." % (full, full.replace("@.", "@one."))
        )
    return full


def check_units(units):
    """The units with full names; two of one name, or a health check without a target, cannot be meant."""
    checked = []
    for unit in units:
        name = full_name(unit["name"])
        if any(name == other["name"] for other in checked):
            raise Invalid("units names %s twice." % name)
        if unit["health"]:
            check_health(name, unit)
        checked.append(dict(unit, name=name))
    return checked


def check_health(name, unit):
    """A health check that can be made."""
    if unit["state"] != "started":
        raise Invalid("units gives %s a health check, and wants it %s; drop one of the two." % (name, unit["state"]))
    url, tcp = unit["health"].get("url"), unit["health"].get("tcp")
    if url and not re.match(r"https?://[^/\s]+(/\S*)?$", url):
        raise Invalid("health.url of %s must be a URL such as http://127.0.0.1:5000/health; it is %s." % (name, url))
    if tcp and not re.match(r"\S+:\d{1,5}$", tcp):
        raise Invalid("health.tcp of %s must be host:port; it is %s." % (name, tcp))


def parse_show(text, count):
    """The properties of each unit from the output of systemctl show, in the order asked for."""
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.strip().split("\n\n")
    ]
    if len(blocks) != count:
        raise ValueError("systemctl show answered for %d units in place of %d" % (len(blocks), count))
    return blocks


def parse_time(text):
    """Seconds since the epoch of a time such as 'Sat 2026-11-21 01:49:39.783505 UTC'; None where there is none."""
    match = re.search(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6}) UTC$", text or "")
    # Not with strptime, whose import takes longer than all else here.
    return datetime.datetime(*map(int, match.groups()), tzinfo=datetime.timezone.utc).timestamp() if match else None


def newer(times, moment):
    """The first path that changed after that moment, or None. Paths that do not exist have no time."""
    if moment is None:
        return None
    for path, changed in times.items():
        if changed is not None and changed > moment:
            return path
    return None


def watched(unit, state):
    """The paths whose change restarts a unit: those it names, and then also its unit file and drop-ins.

    Where systemd makes the file itself, from other files or from commands that take effect at once, its time says
    nothing.
    """
    own = [state.get("FragmentPath", ""), *state.get("DropInPaths", "").split()] if unit["restart_on"] else []
    kept = [path for path in own if path and not path.startswith("/run/") and "/system.control/" not in path]
    return list(dict.fromkeys(unit["restart_on"] + kept))


def is_active(state):
    return state.get("ActiveState") in ACTIVE


def refusal(unit, state):
    """Why a unit cannot be brought to its state, or None."""
    name, load = unit["name"], state.get("LoadState")
    if unit["enabled"] is False and state.get("UnitFileState") == "generated":
        return (
            "%s is enabled by a generator and cannot be disabled; change what the generator reads, or leave enabled"
            " out." % name
        )
    if unit["state"] == "stopped" and unit["enabled"] is not True:
        return None
    if load == "masked":
        return "%s is masked on this host; run 'systemctl unmask %s' if it may run." % (name, name)
    if load == "not-found":
        return "%s does not exist on this host; install its package or write its unit file first." % name
    if load != "loaded":
        return "%s has a unit file that systemd cannot use: %s" % (name, state.get("LoadError") or load)
    if unit["reload_on"] and state.get("CanReload") == "no" and is_active(state):
        return "%s cannot be reloaded (it has no ExecReload); list its files in restart_on." % name
    return None


def enablement(unit, state):
    """enable, disable, disable-runtime (what ends with the next boot) or None."""
    file_state = state.get("UnitFileState", "")
    if unit["enabled"] is True and file_state not in ENABLED:
        return "enable"
    if unit["enabled"] is False and file_state not in DISABLED:
        return "disable-runtime" if file_state == "enabled-runtime" else "disable"
    return None


def activation(unit, state, times, force=False):
    """Return (action, reason): what has to be done so that the unit runs, with its files as they are now."""
    active = is_active(state)
    if unit["state"] == "loaded":
        return None, None
    if unit["state"] == "stopped":
        if active or state.get("ActiveState") == "activating":
            return "stop", "it runs"
        return None, None
    if state.get("SubState") in WAITING_TO_RESTART:
        return "restart", "it keeps dying"
    if not active:
        return "start", "it does not exist yet" if state.get("LoadState") == "not-found" else "it does not run"
    if force:
        return "restart", "a restart was asked for"
    started = parse_time(state.get("InactiveExitTimestamp"))
    path = newer({path: times.get(path) for path in unit["restart_on"]}, started)
    if path:
        return "restart", "%s changed after its start" % path
    # A unit that died and was started anew by systemd after its file was written is younger than it, and runs the old.
    if unit["restart_on"] and state.get("NeedDaemonReload") == "yes":
        return "restart", "its unit file changed since systemd read it"
    watched = {path: times.get(path) for path in unit["reload_on"]}
    touched = parse_time(state.get("StateChangeTimestamp"))
    path = newer(watched, max(started, touched) if started and touched else started)
    if path:
        return "reload", "%s changed after its start and its last reload" % path
    if watched and state.get("ReloadResult", "success") not in ("success", ""):
        return "reload", "its last reload failed"
    return None, None


def decide(unit, state, times, force=False):
    """What has to be done to one unit."""
    action, reason = activation(unit, state, times, force)
    return dict(name=unit["name"], enablement=enablement(unit, state), action=action, reason=reason)


def describe(states, decisions, done):
    """The lines of a diff: each unit before (done is False) or after what is to be done."""
    lines = []
    for state, decision in zip(states, decisions):
        active, enabled, note = state.get("ActiveState", "unknown"), state.get("UnitFileState") or "not enabled", None
        if done:
            active = {"start": "active", "restart": "active", "stop": "inactive"}.get(decision["action"], active)
            enabled = {None: enabled, "enable": "enabled"}.get(decision["enablement"], "disabled")
        if decision["action"] in ("restart", "reload"):
            note = "%s %s" % (decision["action"], "done" if done else "needed")
            note += ": %s" % decision["reason"]
        lines.append("%s: %s" % (decision["name"], ", ".join(filter(None, (active, enabled, note)))))
    return "\n".join(lines) + "\n"


def death(state, restarts):
    """How a unit that was to run has died, or None while it runs or still starts."""
    active, sub = state.get("ActiveState"), state.get("SubState")
    if active in ACTIVE and int(state.get("NRestarts") or 0) <= restarts:
        return None
    if active == "activating" and sub not in WAITING_TO_RESTART:
        return None
    result, status = state.get("Result"), state.get("ExecMainStatus", "0")
    if active == "inactive" and result == "success" and state.get("Type") == "oneshot":
        return None
    if active in ("inactive", "deactivating") and result == "success":
        return "it ended by itself"
    words = {
        "exit-code": "exit status %s" % status,
        "signal": "killed by signal %s" % status,
        "core-dump": "crashed with signal %s" % status,
        "oom-kill": "killed because memory ran out",
        "start-limit-hit": "it died too often in a short time",
        "timeout": "it was not ready in time",
        "protocol": "its start command left no running process behind",
        "resources": "systemd could not set it up",
        "watchdog": "its watchdog was not served",
    }
    if result in words:
        return words[result]
    return "it was started anew after it had died" if active in ACTIVE else "result %s" % result
