# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encryption by the real age."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import seal
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError


@pytest.fixture
def identity(tmp_path):
    """A new identity: (its file, its recipient)."""

    def make(name):
        file = tmp_path / name
        made = subprocess.run(["age-keygen", "-o", file], check=True, capture_output=True, text=True)
        return file, made.stderr.split()[-1]

    return make


def test_there_and_back(identity, tmp_path, tree):
    one, two, other = identity("one"), identity("two"), identity("other")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "databases").mkdir()
    wanted = {"globals.sql": b"", "databases/a b'c": os.urandom(3_000_000), "-r": b"an option's name"}
    for name, body in wanted.items():
        (folder / name).write_bytes(body)
    seal.check_recipients([one[1], two[1]])
    sealed = seal.encrypt(folder, list(wanted), [one[1], two[1]], 60)
    assert sealed == [name + ".age" for name in wanted]
    held = tree(folder)
    assert sorted(held) == sorted(sealed)
    assert all(body.startswith(b"age-encryption.org/v1\n") for body in held.values())
    assert b"an option's name" not in held["-r.age"]

    with pytest.raises(BackupError, match="no identity matched"):
        seal.decrypt(folder, sealed, other[0], 60)
    assert tree(folder) == held
    assert seal.decrypt(folder, sealed, two[0], 60) == list(wanted)
    assert tree(folder) == wanted


def test_what_is_damaged_is_not_decrypted(identity, tmp_path):
    file, recipient = identity("one")
    (tmp_path / "f").write_bytes(os.urandom(200_000))
    seal.encrypt(tmp_path, ["f"], [recipient], 60)
    data = bytearray((tmp_path / "f.age").read_bytes())
    data[100_000] ^= 1
    (tmp_path / "f.age").write_bytes(data)
    with pytest.raises(BackupError, match=r"Decrypting f.age failed"):
        seal.decrypt(tmp_path, ["f.age"], file, 60)
    assert not (tmp_path / "f").exists()


def test_a_recipient_that_is_none():
    with pytest.raises(BackupError, match="Check encrypt_to") as caught:
        seal.check_recipients(["age1nonsense"])
    assert not caught.value.safe_to_retry
