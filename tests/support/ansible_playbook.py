# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks run as users run them, and what they said."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import host

PROGRAM = pathlib.Path(sys.executable).parent / "ansible-playbook"
# What a play prints is read by outcome().
JSON = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
# Warnings may come first.
BEGINNING = '{\n    "custom_stats"'


@dataclasses.dataclass
class Outcome:
    """How a playbook ended. ``changed`` counts the changed tasks of each host."""

    status: int
    output: str
    plays: list[dict]
    changed: dict[str, int]

    @property
    def changes(self):
        """How many tasks changed something, on all hosts together."""
        return sum(self.changed.values())

    @property
    def results(self):
        """Of each task on each host, in their order: (the task's name, the host, the result)."""
        return [
            (task["task"]["name"], name, result)
            for play in self.plays
            for task in play["tasks"]
            for name, result in task["hosts"].items()
        ]

    @property
    def messages(self):
        """What the tasks said in plain text."""
        return [result["msg"] for _task, _name, result in self.results if isinstance(result.get("msg"), str)]

    @property
    def failures(self):
        """The messages of the tasks that failed."""
        return [
            result.get("msg", "")
            for _task, _name, result in self.results
            if result.get("failed") or result.get("unreachable")
        ]

    @property
    def failure(self):
        """The message of the one task that failed, on one host."""
        assert self.status != 0, self.output
        assert len(self.failures) == 1, self.failures
        return self.failures[0]

    def succeeded(self):
        """Return the outcome of a playbook that has to succeed."""
        assert self.status == 0, "\n".join(self.failures) or self.output[-4000:]
        return self


def play(playbook, inventories, options=(), environment=None):
    """Run a playbook in the clone, and return the finished process; the environment may name a callback."""
    return subprocess.run(
        [PROGRAM, playbook, *(f"--inventory={inventory}" for inventory in inventories), *options],
        cwd=host.CLONE,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def outcome(done):
    """Return the outcome of a finished process, which ran with the callback JSON."""
    assert BEGINNING in done.stdout, done.stdout + done.stderr
    said = json.loads(done.stdout[done.stdout.index(BEGINNING) :])
    changed = {name: stats["changed"] for name, stats in said["stats"].items()}
    return Outcome(done.returncode, done.stdout + done.stderr, said["plays"], changed)


def run(playbook, inventories, options=()):
    """Run a playbook in the clone, and return its outcome."""
    return outcome(play(playbook, inventories, options, JSON))
