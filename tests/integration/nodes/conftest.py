# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bare node of the testbed, and the modules run on it as users run them: by Ansible, over SSH, with sudo."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import host
import pytest
from site_runs import bring_up, take_down

CLONE = pathlib.Path(__file__).resolve().parents[3]
NAME = "itest-nodes"
# More arguments of `docker create`, for tests that need more of the kernel than a node has.
FLAGS = ()
ENVIRONMENT = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_PIPELINING": "true"}


class Node:
    def __init__(self, inventory, container):
        self.inventory = inventory
        self.container = container

    def ansible(self, module, arguments, *options):
        program = pathlib.Path(sys.executable).parent / "ansible"
        argv = [program, "-i", self.inventory, "n1", "--become", "-m", module, "-a", json.dumps(arguments), *options]
        return subprocess.run(
            argv, cwd=CLONE, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=900
        ).stdout

    def module(self, name, arguments, check=False):
        """The result of one of the collection's modules."""
        said = self.ansible(f"mlops.stack.{name}", arguments, *(["--check"] if check else []))
        assert "=> {" in said, said
        return json.loads("{" + said.partition("=> {")[2])

    def shell(self, text, fails=False):
        """What a shell script says that runs as root on the node; it must succeed, unless it is said to fail.

        Not through Ansible, which takes its time.
        """
        ended = host.docker("exec", self.container, "bash", "-c", text, check=False)
        assert (ended.returncode != 0) is fails, f"{text}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout.rstrip("\n")

    def write(self, path, text):
        host.docker("exec", "-i", self.container, "bash", "-euc", f"cat > {path}", input=text)


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    inventory = tmp_path_factory.mktemp("node") / "hosts.yml"
    machines = bring_up(NAME, inventory, {"n1": ("trixie", FLAGS)})
    yield Node(inventory, machines["n1"].id)
    take_down(NAME, machines)
