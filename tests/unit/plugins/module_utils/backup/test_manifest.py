# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import manifest
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

SHA = "0" * 64


def test_what_is_built_is_valid_and_sorted(noon):
    files = [{"path": "z", "size": 1, "sha256": SHA}, {"path": "a", "size": 2, "sha256": SHA}]
    data = manifest.build(
        "one",
        noon,
        noon,
        host="h",
        postgres={},
        databases=[{"name": "b"}, {"name": "a"}],
        files=files,
        verified={"level": "read"},
        encrypted=True,
        versions={"mlflow": "3.17.2"},
    )
    assert manifest.validate(data, "here") is data
    assert [item["path"] for item in data["files"]] == ["a", "z"]
    assert (data["created"], data["encrypted"], data["artifacts"]) == ("2026-11-21T12:00:00Z", True, None)
    assert data["versions"] == {"mlflow": "3.17.2"}
    assert manifest.databases(data) == ["a", "b"]
    assert manifest.total_bytes(data) == 3


def test_rows_are_those_of_all_tables():
    databases = [{"name": "a", "tables": {"runs": 2, "metrics": 3}}, {"name": "b", "tables": {"users": 1}}]
    assert manifest.rows({"databases": databases}) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "is of schema 2 and this version"),
        ({"files": None}, "has no files"),
        ({"encrypted": "no"}, "has no encrypted"),
        ({"label": "../x"}, "names no label"),
        ({"created": "now"}, "does not say when"),
        ({"files": ["x"]}, "names a file that cannot"),
        ({"files": [{"path": 1}]}, "names a file that cannot"),
        ({"files": [{"path": "a", "size": "1", "sha256": SHA}]}, "names a file that cannot"),
        ({"files": [{"path": "/etc/passwd", "size": 1, "sha256": SHA}]}, "names a file that cannot"),
        ({"files": [{"path": "a/../../b", "size": 1, "sha256": SHA}]}, "names a file that cannot"),
        ({"files": [{"path": "", "size": 1, "sha256": SHA}]}, "names a file that cannot"),
        ({"files": [{"path": "a", "size": 1, "sha256": "12"}]}, "names a file that cannot"),
        ({"files": [{"path": "a", "size": 1, "sha256": None}]}, "names a file that cannot"),
        ({"files": [{"path": "a\0", "size": 1, "sha256": SHA}]}, "names a file that cannot"),
        ({"files": [{"path": "\ud800", "size": 1, "sha256": SHA}]}, "names a file that cannot"),
        ({"databases": ["mlflow"]}, "does not tell its databases"),
        ({"databases": [{"size_bytes": 1}]}, "does not tell its databases"),
        ({"databases": [{"name": "a", "size_bytes": None}]}, "does not tell its databases"),
        ({"databases": [{"name": "a", "tables": ["runs"]}]}, "does not tell its databases"),
        ({"databases": [{"name": "a", "tables": {"runs": "3"}}]}, "does not tell its databases"),
        ({"postgres": {"version_num": "17"}}, "does not tell its server's version"),
        ({"artifacts": []}, "does not tell its artifacts"),
        ({"verified": {"level": "well"}}, "does not tell how it was verified"),
        ({"verified": {"level": ["read"]}}, "does not tell how it was verified"),
    ],
)
def test_what_is_no_manifest(manifest_for, changes, message):
    with pytest.raises(BackupError, match=message) as caught:
        manifest.validate({**manifest_for("one"), **changes}, "here")
    assert caught.value.phase == "manifest"
    assert not caught.value.safe_to_retry


def test_a_list_is_no_manifest():
    with pytest.raises(BackupError, match="is no object"):
        manifest.validate([], "here")


def test_written_and_read(tmp_path, manifest_for):
    data = manifest_for("one")
    path = manifest.write(tmp_path, data)
    assert manifest.read(tmp_path) == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_reading_what_is_not_there_or_not_json(tmp_path):
    with pytest.raises(FileNotFoundError):
        manifest.read(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BackupError, match="is not JSON"):
        manifest.read(tmp_path)
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(BackupError, match="cannot be read"):
        manifest.read(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "last.json"
    manifest.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        manifest.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["last.json"]


def test_problems_name_the_file(tmp_path, make_set):
    path = make_set(tmp_path, "one")
    data = manifest.read(path)
    assert manifest.problems(path, data) == []
    (path / "databases/mlflow/toc.dat").write_bytes(b"longer")
    assert manifest.problems(path, data) == ["databases/mlflow/toc.dat has 6 bytes instead of 4"]
    (path / "databases/mlflow/toc.dat").unlink()
    assert manifest.problems(path, data) == ["databases/mlflow/toc.dat is missing"]


@pytest.mark.parametrize(
    ("artifacts", "number", "lacks"),
    [
        (None, None, False),
        ({"mode": "copy", "number": 7, "destination": "/copies"}, 7, False),
        ({"mode": "copy"}, 0, False),
        ({"mode": "inventory", "number": 0, "destination": None}, None, False),
        ({"mode": "inventory", "number": 0, "destination": "/copies"}, None, True),
    ],
)
def test_copies_of_artifacts(artifacts, number, lacks):
    assert manifest.copies_number({"artifacts": artifacts}) == number
    assert manifest.lacks_copies({"artifacts": artifacts}) is lacks
    assert manifest.copies_number({}) is None
