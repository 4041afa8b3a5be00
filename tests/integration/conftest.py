# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests share machines or stores, and so run one after the other in one process."""

from __future__ import annotations

import pathlib

import pytest

# These use one testbed; every other directory has machines or stores of its own.
TOGETHER = {"nodes": "itest", "site": "itest"}


# Before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Give each test the group that ``pytest -n 2 --dist loadgroup`` runs in one process."""
    here = pathlib.Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(here).parts[0]
        item.add_marker(pytest.mark.xdist_group(TOGETHER.get(folder, folder)))
