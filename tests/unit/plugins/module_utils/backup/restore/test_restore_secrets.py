# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import secrets

PASSPHRASE = "mlflow_encryption_passphrase"


def manifest(**tables):
    return {"label": "L", "databases": [{"tables": {f"public.{name}": rows for name, rows in tables.items()}}]}


@pytest.mark.parametrize(
    ("tables", "theirs", "ours", "rows"),
    [
        ({"secrets": 2}, {PASSPHRASE: "a"}, {PASSPHRASE: "a"}, None),
        ({"secrets": 2}, {PASSPHRASE: "a"}, {PASSPHRASE: "b"}, 2),
        ({"secrets": 0, "runs": 9}, {PASSPHRASE: "a"}, {PASSPHRASE: "b"}, None),
        ({"runs": 9}, {PASSPHRASE: "a"}, {PASSPHRASE: "b"}, None),
        ({"secrets": 2}, {}, {PASSPHRASE: "b"}, None),
        ({"secrets": 2}, {PASSPHRASE: "a"}, {}, None),
        ({"secrets": 2, "runs": 9}, {"other": "a"}, {"other": "b"}, 11),
    ],
)
def test_others(tables, theirs, ours, rows):
    found = secrets.others(manifest(**tables), theirs, ours)
    name = next(iter(ours), None)
    assert found == (
        []
        if rows is None
        else [
            f"The set L was made with another {name} than the one in force, and {rows} rows of it can be read with that"
            " one alone: bring the one in its file secrets.json into force first, or set force."
        ]
    )
