# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import shutil
import stat

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import folder
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError


def test_only_folders_named_as_sets_are_sets(tmp_path, make_set):
    make_set(tmp_path, "two")
    make_set(tmp_path, "one")
    (tmp_path / ".partial-three").mkdir()
    (tmp_path / ".removed-four").mkdir()
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "last.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    found = folder.list_sets(tmp_path)
    assert [(one.label, one.complete) for one in found] == [("one", True), ("two", True)]
    assert [path.name for path in folder.leftovers(tmp_path)] == [".partial-three", ".removed-four"]
    assert found[0].bytes > 4


def test_no_folder_holds_no_sets(tmp_path):
    assert folder.list_sets(tmp_path / "none") == []
    (tmp_path / "file").write_text("")
    assert folder.list_sets(tmp_path / "file") == []


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(folder.os, "scandir", refuse)
    with pytest.raises(BackupError, match="cannot be read: Permission denied"):
        folder.list_sets(tmp_path)


def test_a_set_is_complete_with_its_manifest_and_files_only(tmp_path, make_set, noon):
    path = make_set(tmp_path, "one")
    assert folder.look(path).created == noon
    (path / "databases/mlflow/toc.dat").unlink()
    assert folder.look(path).problems == ["databases/mlflow/toc.dat is missing"]
    assert not folder.look(path).complete
    (path / "manifest.json").unlink()
    found = folder.look(path)
    assert (found.complete, found.created) == (False, None)
    assert "has no manifest" in found.problems[0]


def test_a_damaged_manifest_and_a_copied_set_are_told(tmp_path, make_set):
    path = make_set(tmp_path, "one")
    path.rename(tmp_path / "other")
    assert folder.look(tmp_path / "other").problems == ["its manifest is that of the set one"]
    (tmp_path / "other/manifest.json").write_text("[]")
    assert "is no object" in folder.look(tmp_path / "other").problems[0]


def test_the_folder_is_made_for_its_owner(tmp_path):
    dest = tmp_path / "a" / "b"
    folder.prepare(dest)
    assert stat.S_IMODE(dest.stat().st_mode) == 0o700
    dest.chmod(0o770)
    with pytest.raises(BackupError, match="may be written to by others"):
        folder.prepare(dest)
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupError, match="Nothing can be written to .*file"):
        folder.prepare(tmp_path / "file" / "c")


def test_a_folder_that_would_be_refused_is_told_without_making_any(tmp_path):
    folder.check_private(tmp_path / "a")
    folder.check_private(tmp_path)
    assert os.listdir(tmp_path) == []
    tmp_path.chmod(0o777)
    with pytest.raises(BackupError, match="may be written to by others") as caught:
        folder.check_private(tmp_path)
    assert not caught.value.safe_to_retry
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "c"):
        with pytest.raises(BackupError, match="Nothing can be written to .*: Not a directory"):
            folder.check_private(path)


def test_sweeping_removes_leftovers_and_no_sets(tmp_path, make_set):
    make_set(tmp_path, "one")
    make_set(tmp_path, ".partial-two")
    assert folder.sweep(tmp_path) == [".partial-two"]
    assert sorted(os.listdir(tmp_path)) == ["one"]


def test_publishing_is_a_rename(tmp_path, make_set):
    make_set(tmp_path, ".partial-one")
    assert folder.publish(tmp_path, "one") == tmp_path / "one"
    assert os.listdir(tmp_path) == ["one"]


def test_a_set_loses_its_manifest_before_anything_else(tmp_path, make_set, monkeypatch):
    make_set(tmp_path, "one")
    seen = []

    def look(path, ignore_errors=False):
        seen.append(sorted(str(name.relative_to(path)) for name in folder.files_below(path)))
        real(path, ignore_errors=ignore_errors)

    real = shutil.rmtree
    monkeypatch.setattr(folder.shutil, "rmtree", look)
    folder.remove(tmp_path, "one")
    assert seen == [["databases/mlflow/toc.dat"]]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), FileNotFoundError()])
def test_what_cannot_be_removed_is_told(tmp_path, monkeypatch, error):
    (tmp_path / ".partial-one").mkdir()

    def stay(_path, ignore_errors=False):
        if not ignore_errors:
            raise error

    monkeypatch.setattr(folder.shutil, "rmtree", stay)
    if isinstance(error, FileNotFoundError):
        assert folder.sweep(tmp_path) == [".partial-one"]
    else:
        with pytest.raises(BackupError, match=r"\.partial-one cannot be removed: Input/output error"):
            folder.sweep(tmp_path)


def test_a_file_that_goes_while_it_is_counted(tmp_path, make_set, monkeypatch):
    path = make_set(tmp_path, "one")
    listed = [*folder.files_below(path), path / "gone"]
    monkeypatch.setattr(folder, "files_below", lambda _path: listed)
    assert folder.look(path).bytes > 4
