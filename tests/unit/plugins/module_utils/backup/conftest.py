# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets as they lie in a folder, and a time that stands still."""

from __future__ import annotations

import datetime
import hashlib
import json

import pytest

NOON = datetime.datetime(2026, 11, 21, 12, 0, 0, tzinfo=datetime.timezone.utc)
SYSTEM = "7412345678901234567"


def manifest_of(label, created=NOON, files=(), databases=("mlflow",), **changes):
    """A valid manifest."""
    data = {
        "schema": 1,
        "label": label,
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "finished": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "tool_version": "1",
        "host": "backup1",
        "postgres": {"version_num": 170012, "system_identifier": SYSTEM, "host": "db", "port": 5432},
        "databases": [{"name": name, "size_bytes": 1000, "tables": {"public.runs": 3}} for name in databases],
        "versions": {},
        "files": list(files),
        "artifacts": None,
        "verified": {"level": "read", "at": "2026-11-21T12:00:00Z"},
        "encrypted": False,
        "seconds": {},
    }
    return {**data, **changes}


@pytest.fixture
def manifest_for():
    return manifest_of


@pytest.fixture
def make_set():
    """A function that puts a set into a folder: its path."""

    def make(dest, label, created=NOON, content=b"dump", **changes):
        path = dest / label
        data = path / "databases" / "mlflow" / "toc.dat"
        data.parent.mkdir(parents=True)
        data.write_bytes(content)
        entry = {
            "path": "databases/mlflow/toc.dat",
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        told = manifest_of(label, created, [entry], **changes)
        (path / "manifest.json").write_text(json.dumps(told))
        return path

    return make


@pytest.fixture
def noon():
    return NOON
