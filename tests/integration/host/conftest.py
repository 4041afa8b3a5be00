# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bare node as the tests beside these have one, for the modules that read a host and write its files."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

SIBLING = pathlib.Path(__file__).resolve().parents[1] / "nodes" / "conftest.py"
SPEC = importlib.util.spec_from_file_location("integration_nodes", SIBLING)
NODES = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(NODES)

# A node of its own: these tests move its package sources and routes.
NODES.NAME = "itest-host"
node = NODES.node


@pytest.fixture(name="ordinary")
def _ordinary():
    """Ansible's options that run a module as the ordinary user of the connection."""
    return ["--extra-vars", '{"ansible_become": false}']
