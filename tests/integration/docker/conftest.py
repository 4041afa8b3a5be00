# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that carries Docker inside, and the preflight and the role docker_host run on it as users run them."""

from __future__ import annotations

import json
import subprocess
import sys

import ansible_playbook
import gpu_stand_ins
import host
import nodes
import pytest

TESTBED = "itest-docker"
NODE = "gpu1"
PROGRAM = [sys.executable, str(host.CLONE / "testbed" / "testbed.py")]
# A tracking server belongs to every stack; here it is only planned.
PLAYS = f"""\
- import_playbook: {host.CLONE}/playbooks/preflight.yml
- hosts: jupyter
  become: true
  gather_facts: false
  roles:
    - role: mlops.stack.docker_host
"""
INVENTORY = {
    "all": {
        "vars": {"mlflow_server_backend": "sqlite", "mlflow_server_artifacts": "local"},
        "children": {"mlflow": {"hosts": {NODE: None}}, "jupyter": {"hosts": {NODE: None}}},
    }
}


class DockerHost:
    """The node, looked at and meddled with from outside, and plays over it."""

    def __init__(self, folder):
        self.folder = folder
        self.inventory = folder / "hosts.yml"
        self.id = ""

    def shell(self, script, check=True):
        """What a script says; it runs as root, and not through Ansible."""
        return host.docker("exec", self.id, "bash", "-euc", script, check=check).stdout.rstrip("\n")

    def play(self, variables=None, *options):
        """Run the preflight and the role with some variables, and return the outcome."""
        plays = self.folder / "plays.yml"
        plays.write_text(PLAYS, encoding="utf-8")
        return self.run(plays, variables, *options)

    def run(self, plays, variables, *options):
        """Run a playbook with some variables, and return the outcome."""
        groups = self.folder / "groups.json"
        groups.write_text(json.dumps(INVENTORY), encoding="utf-8")
        given = {"common_secrets_dir": str(self.folder / "secrets"), **(variables or {})}
        options = [f"--extra-vars={json.dumps(given)}", *options]
        return ansible_playbook.run(str(plays), [self.inventory, groups], options)

    def bring_up(self, variables=None, *options):
        """Run them, which has to succeed."""
        return self.play(variables, *options).succeeded()

    def refuse(self, variables=None):
        """Run them, which has to fail with one message and change nothing; return that message."""
        outcome = self.play(variables)
        assert outcome.changes == 0, outcome.output
        return outcome.failure

    def has_firewall(self, enabled, *options, **variables):
        """Let site.yml set the host's firewall up or take it away, and return the outcome."""
        given = {"firewall_enabled": enabled, "firewall_undo_after": 30, **variables}
        return self.run(host.CLONE / "site.yml", given, "--tags", "firewall", *options).succeeded()

    @property
    def address(self):
        """The address at which others reach it."""
        return nodes.Testbed(TESTBED).containers()[NODE]["address"]

    def info(self):
        """What the engine says of itself."""
        return json.loads(self.shell("docker info --format '{{json .}}'"))


@pytest.fixture(scope="session", name="bare")
def _bare(tmp_path_factory):
    """The node before anything was done to it; tests that need it come first."""
    machine = DockerHost(tmp_path_factory.mktemp("docker"))
    command = [*PROGRAM, "up", "--name", TESTBED, "--node", f"{NODE}:trixie", "--docker-inside", NODE]
    subprocess.run([*command, "--inventory", str(machine.inventory)], check=True, timeout=600)
    machine.id = nodes.Testbed(TESTBED).containers()[NODE]["id"]
    yield machine
    subprocess.run([*PROGRAM, "down", "--name", TESTBED], check=True, timeout=120)


@pytest.fixture(scope="session", name="engine")
def _engine(bare):
    """The node with Docker Engine, and its own base image in it."""
    bare.bring_up()
    nodes.Testbed(TESTBED).load_image(NODE)
    return bare


@pytest.fixture
def nvidia(bare):
    """A stand-in for an NVIDIA GPU."""
    gpu = gpu_stand_ins.Nvidia(bare.shell)
    yield gpu
    gpu.unplug()


@pytest.fixture
def amd(bare):
    """A stand-in for an AMD GPU."""
    gpu = gpu_stand_ins.Amd(bare.shell)
    yield gpu
    gpu.unplug()
