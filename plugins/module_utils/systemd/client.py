# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to systemd: reads units, changes them, waits until they are healthy, and fetches their journal."""

from __future__ import annotations

import glob
import os
import time

from ansible_collections.mlops.stack.plugins.module_utils.process import run as process
from ansible_collections.mlops.stack.plugins.module_utils.systemd import plan, probe

SHORT = 60
SETTLE = 1.0
TAIL = 20
GENERATED = "/run/systemd/generator*/*.*/"
SETTLED_TYPES = ("notify", "notify-reload", "dbus", "oneshot")


class Failed(Exception):
    """A unit or systemctl failed: one sentence, and what there is to know more."""

    def __init__(self, sentence, phase, unit=None, result=None, journal=()):
        super().__init__(sentence)
        self.phase = phase
        self.unit = unit
        self.rc = None if result is None else result.rc
        self.stderr_tail = "" if result is None else "\n".join(result.err.strip().splitlines()[-TAIL:])
        self.journal = list(journal)


def changed_at(path):
    """When a path was last written, or None where it does not exist. A time that was set by hand to lie after the
    moment of its setting counts as that moment; a link counts as well as what it leads to."""
    times = []
    for look in (os.stat, os.lstat):
        try:
            found = look(path)
        except OSError:
            continue
        times.append(min(found.st_mtime, found.st_ctime))
    return max(times, default=None)


class Client:
    def __init__(
        self, journal_lines=30, start_timeout=120, run=process.run, check=probe.check, clock=time, generated=GENERATED
    ):
        self.journal_lines = journal_lines
        self.start_timeout = start_timeout
        self.run = run
        self.check = check
        self.clock = clock
        self.generated = generated

    def systemctl(self, phase, *words, timeout=SHORT):
        result = self.run(["systemctl", "--no-pager", "--no-ask-password"] + list(words), timeout)
        if result.rc != 0 or result.timed_out:
            said = result.err.strip().splitlines()
            raise Failed(
                "systemctl %s %s: %s"
                % (
                    words[0],
                    "did not end within %d s" % timeout if result.timed_out else "failed",
                    said[0] if said else "it said nothing",
                ),
                phase,
                result=result,
            )
        return result

    def show(self, names):
        """The properties of the units, from one call."""
        if not names:
            return []
        result = self.systemctl(
            "show", "show", "--timestamp=us+utc", "--property=" + ",".join(plan.PROPERTIES), "--", *names
        )
        states = plan.parse_show(result.out, len(names))
        for name, state in zip(names, states):
            # What a generator links comes back with each boot, though systemd calls it a thing of this boot only.
            if state.get("UnitFileState") == "enabled-runtime" and glob.glob(self.generated + glob.escape(name)):
                state["UnitFileState"] = "generated"
        return states

    def read(self, names, refresh):
        """The units' properties; systemd reads its files again first where they changed (and refresh allows it). Their
        NeedDaemonReload is the one from before that, as what runs was started from the old files."""
        states = self.show(names)
        stale = any(state.get("NeedDaemonReload") == "yes" for state in states)
        # A generator may make a unit, or the link to it, only when systemd reads its files again.
        missing = any(state.get("LoadState") == "not-found" for state in states)
        if refresh and (stale or missing):
            self.systemctl("daemon-reload", "daemon-reload")
            before, states = states, self.show(names)
            for old, state in zip(before, states):
                # A unit that stays outdated even so, as one whose SourcePath is gone, would be restarted for ever.
                settled = old.get("NeedDaemonReload") == "yes" and state.get("NeedDaemonReload") != "yes"
                state["NeedDaemonReload"] = "yes" if settled else "no"
        return states, stale

    @staticmethod
    def times(units):
        """When each watched file was last written."""
        paths = {path for unit in units for key in ("restart_on", "reload_on") for path in unit[key]}
        return {path: changed_at(path) for path in paths}

    def set_enablement(self, decisions):
        for how, words in (
            ("enable", ("enable",)),
            ("disable", ("disable",)),
            ("disable-runtime", ("disable", "--runtime")),
        ):
            names = [decision["name"] for decision in decisions if decision["enablement"] == how]
            if names:
                self.systemctl(words[0], *words, "--quiet", "--", *names)

    def act(self, unit, state, decision):
        """Start, restart, reload or stop one unit, and see that it lives."""
        name, verb = unit["name"], decision["action"]
        since = self.clock.time()
        # A restart is to happen however often the unit was started in the last minute: this resets systemd's count of
        # starts as well.
        if verb == "restart" or (verb == "start" and state.get("ActiveState") == "failed"):
            self.systemctl(verb, "reset-failed", "--", name)
        result = self.run(["systemctl", "--no-pager", "--no-ask-password", verb, "--", name], self.start_timeout)
        if result.timed_out:
            raise Failed(
                "%s did not %s within %d s (start_timeout)." % (name, verb, self.start_timeout),
                verb,
                name,
                result,
                self.journal(name, since),
            )
        if result.rc != 0:
            how = plan.death(self.show([name])[0], 0) if verb in ("start", "restart") else None
            if how:
                raise self.dead(unit, verb, how, since, result)
            raise Failed(
                "%s could not %s: %s" % (name, verb, result.err.strip().split("\n")[0]),
                verb,
                name,
                result,
                self.journal(name, since),
            )
        if verb == "stop":
            return
        restarts = int(state.get("NRestarts") or 0) if verb == "reload" else 0
        if unit["health"]:
            self.wait_healthy(unit, verb, restarts, since)
        else:
            self.settle(unit, verb, restarts, since)

    def settle(self, unit, verb, restarts, since):
        """Watch a unit without a health check for a moment, unless its Type tells by itself that it is ready."""
        end = self.clock.monotonic() + SETTLE
        while True:
            state = self.show([unit["name"]])[0]
            self.see_alive(unit, verb, state, restarts, since)
            if state.get("Type", "") in SETTLED_TYPES + ("",) or self.clock.monotonic() >= end:
                return
            self.clock.sleep(0.1)

    def wait_healthy(self, unit, phase, restarts, since=None):
        """Ask until the unit is healthy; a unit that dies meanwhile is told at once."""
        name, health = unit["name"], unit["health"]
        end = self.clock.monotonic() + health["timeout"]
        pause = 0.05
        while True:
            left = max(end - self.clock.monotonic(), 0.1)
            healthy, seen = self.check(health, self.run, min(left, probe.PATIENCE))
            if not healthy or since is not None:
                self.see_alive(unit, phase, self.show([name])[0], restarts, since)
            if healthy:
                return
            if self.clock.monotonic() >= end:
                raise Failed(
                    "%s runs, but was not healthy within %d s: %s gave: %s."
                    % (name, health["timeout"], probe.target_of(health), seen),
                    "health",
                    name,
                    journal=self.journal(name, since),
                )
            self.clock.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def see_alive(self, unit, phase, state, restarts, since):
        how = plan.death(state, restarts)
        if how:
            raise self.dead(unit, phase, how, since)

    def dead(self, unit, phase, how, since, result=None):
        when = " at its start" if phase in ("start", "restart") else ""
        return Failed(
            "%s died%s (%s)." % (unit["name"], when, how),
            phase,
            unit["name"],
            result,
            self.journal(unit["name"], since),
        )

    def journal(self, name, since=None):
        """The last lines that a unit wrote, since the moment where one is given."""
        self.run(["journalctl", "--sync"], SHORT)
        window = ["--since=@%.6f" % since] if since is not None else []
        result = self.run(
            [
                "journalctl",
                "--no-pager",
                "--quiet",
                "--output=short",
                "--unit=%s" % name,
                "--lines=%d" % self.journal_lines,
            ]
            + window,
            SHORT,
        )
        return result.out.rstrip().splitlines()
