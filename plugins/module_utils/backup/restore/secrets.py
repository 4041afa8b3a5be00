# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the secrets in force can read what a set holds. Pure."""

from __future__ import annotations

# What nobody can read without a secret: the tables of MLflow, by the secret's name.
TABLES = {"mlflow_encryption_passphrase": ("secrets",)}


def others(manifest: dict, theirs: dict, ours: dict) -> list[str]:
    """The secrets of the set that are needed and are not those in force; one sentence each, which tells no secret."""
    return [
        f"The set {manifest['label']} was made with another {name} than the one in force, and {rows} rows of it can be"
        " read with that one alone: bring the one in its file secrets.json into force first, or set force."
        for name, value in sorted(ours.items())
        if theirs.get(name, value) != value and (rows := _rows(manifest, TABLES.get(name)))
    ]


def _rows(manifest: dict, tables) -> int:
    """How many rows need the secret: those of these tables, of all where nobody knows which."""
    return sum(
        rows
        for facts in manifest["databases"]
        for table, rows in facts["tables"].items()
        if tables is None or table.partition(".")[2] in tables
    )
