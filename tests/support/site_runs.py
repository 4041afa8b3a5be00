# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's playbooks, run on real nodes as users run them, and what they did to these."""

from __future__ import annotations

import json
import subprocess
import sys

import ansible_playbook
import host
import nodes

PROGRAM = [sys.executable, str(host.CLONE / "testbed" / "testbed.py")]
# All that a play may leave behind: packages and accounts are files as well.
SNAPSHOT = r"""
find / /opt/mlops-stack -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log \
  -o -path /var/lib/systemd \) -prune -o -printf '%p %y %m %U %s %T@\n' 2>/dev/null
"""


class Machine:
    """One node, looked at and meddled with from outside."""

    def __init__(self, name, found):
        self.name = name
        self.id = found["id"]
        self.address = found["address"]

    def shell(self, script, check=True, detach=False):
        """What a script says; it runs as root, and not through Ansible."""
        flags = ["--detach"] if detach else []
        return host.docker("exec", *flags, self.id, "bash", "-euc", script, check=check).stdout.rstrip("\n")

    def snapshot(self):
        """Every file with its mode, owner, size and time."""
        found = self.shell(SNAPSHOT, check=False).splitlines()
        assert len(found) > 1000
        return set(found)


class Site:
    """An inventory over some of the nodes, and the playbooks run with it."""

    def __init__(self, folder, nodes_file, machines):
        self.folder = folder
        self.nodes_file = nodes_file
        self.machines = machines
        self.secrets = folder / "secrets"

    def play(self, groups, variables=None, options=(), playbook="site.yml", environment=None):
        """Run a playbook and return the finished process; the environment may name a callback."""
        inventory = {
            "all": {
                "vars": {"common_secrets_dir": str(self.secrets), **(variables or {})},
                "children": {
                    # Names alone, or with the variables of each.
                    group: {"hosts": members if isinstance(members, dict) else dict.fromkeys(members)}
                    for group, members in groups.items()
                },
            }
        }
        path = self.folder / "groups.json"
        path.write_text(json.dumps(inventory), encoding="utf-8")
        return ansible_playbook.play(f"playbooks/{playbook}", [self.nodes_file, path], options, environment)

    def run(self, groups, variables=None, options=(), playbook="site.yml"):
        """Run a playbook and return its outcome."""
        return ansible_playbook.outcome(self.play(groups, variables, options, playbook, ansible_playbook.JSON))

    def refuse(self, groups, variables=None, options=()):
        """Run site.yml, which has to refuse with one message and change nothing on any machine; return that message."""
        before = {name: machine.snapshot() for name, machine in self.machines.items()}
        message = self.run(groups, variables, options).failure
        for name, machine in self.machines.items():
            assert machine.snapshot() ^ before[name] == set(), name
        assert not self.secrets.exists()
        return message


def bring_up(testbed, nodes_file, flags, options=()):
    """Start nodes, write their inventory, and return them by name.

    ``flags``: by node, its suite and further arguments of `docker create`; ``options``: further ones of testbed.py.
    """
    command = [*PROGRAM, "up", "--name", testbed, "--inventory", str(nodes_file), *options]
    for name, (suite, arguments) in flags.items():
        command += ["--node", f"{name}:{suite}", *(f"--docker-arg={name}={argument}" for argument in arguments)]
    subprocess.run(command, check=True, timeout=600)
    found = nodes.Testbed(testbed).containers()
    return {name: Machine(name, found[name]) for name in flags}


def take_down(testbed, names):
    """Remove nodes, and the whole testbed when they were its last."""
    chosen = [f"--node={name}" for name in names]
    rest = nodes.Testbed(testbed).containers().keys() - set(names)
    subprocess.run([*PROGRAM, "down", "--name", testbed, *(chosen if rest else [])], check=True, timeout=120)
