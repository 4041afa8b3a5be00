# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import os
import stat

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import manifest, verify


def test_the_whole_archive_is_read():
    assert verify.read_argv("/pg17/pg_restore", "/set/x") == ["/pg17/pg_restore", "--file=/dev/null", "/set/x"]


@pytest.mark.parametrize("size", [0, 1, verify.CHUNK, verify.CHUNK * 2 + 7])
def test_hashes(tmp_path, size):
    content = os.urandom(size)
    path = tmp_path / "x"
    path.write_bytes(content)
    assert verify.sha256(path) == (size, hashlib.sha256(content).hexdigest())


def test_a_file_is_on_disk_before_it_is_read_back(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    path.chmod(0o644)
    order = []
    real = verify.sha256
    monkeypatch.setattr(verify.os, "fsync", lambda _descriptor: order.append("fsync"))
    monkeypatch.setattr(verify, "sha256", lambda name: order.append("read") or real(name))
    found = verify.settle(path)
    assert order == ["fsync", "read"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verify.entry("a/x", found) == {"path": "a/x", "size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}


def test_a_set_is_compared_file_by_file(tmp_path, make_set):
    path = make_set(tmp_path, "one")
    data = manifest.read(path)
    file = path / "databases/mlflow/toc.dat"
    assert verify.compare(path, data) == []
    file.write_bytes(b"dunp")
    assert "toc.dat is damaged: its sha256 is" in verify.compare(path, data)[0]
    file.write_bytes(b"dum")
    assert verify.compare(path, data) == ["databases/mlflow/toc.dat has 3 bytes instead of 4"]
    file.unlink()
    assert verify.compare(path, data) == ["databases/mlflow/toc.dat is missing"]
    file.mkdir()
    assert verify.compare(path, data) == ["databases/mlflow/toc.dat cannot be read: Is a directory"]
