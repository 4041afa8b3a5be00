# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines for the whole collection's playbooks, each with what is wrong with it."""

from __future__ import annotations

import pytest
from site_runs import Site, bring_up, take_down

TESTBED = "itest-site"
# Bare machines, each with what is wrong with it.
MACHINES = {
    "bare": [],
    "peer": [],
    "small": ["--memory=700m"],
    "full": ["--tmpfs=/opt/mlops-stack:size=100m", "--tmpfs=/srv:size=4500m"],
}


@pytest.fixture(scope="session")
def bare_nodes(tmp_path_factory):
    nodes_file = tmp_path_factory.mktemp("bare") / "hosts.yml"
    yield nodes_file, bring_up(TESTBED, nodes_file, {name: ("trixie", flags) for name, flags in MACHINES.items()})
    take_down(TESTBED, MACHINES)


@pytest.fixture
def site(bare_nodes, tmp_path):
    return Site(tmp_path, *bare_nodes)


@pytest.fixture(scope="module")
def deploy_site(tmp_path_factory):
    """A machine of its own for a whole deployment."""
    folder = tmp_path_factory.mktemp("deployment")
    machines = bring_up(TESTBED, folder / "hosts.yml", {"vm": ("bookworm", [])})
    yield Site(folder, folder / "hosts.yml", machines)
    take_down(TESTBED, machines)
