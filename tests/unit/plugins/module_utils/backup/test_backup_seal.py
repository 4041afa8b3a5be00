# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import seal
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result


class Age:
    """Turns bytes round, as far as that is encryption."""

    def __init__(self, results=()):
        self.results = list(results)
        self.calls = []

    def __call__(self, argv, timeout):
        self.calls.append((argv, timeout))
        source, target = pathlib.Path(argv[-1]), pathlib.Path(argv[argv.index("-o") + 1])
        target.write_bytes(source.read_bytes()[::-1])
        return self.results.pop(0) if self.results else Result(0, "", "", False, 0.1)


def test_argv():
    assert seal.encrypt_argv(["age1a", "ssh-ed25519 b"], "in", "out") == [
        *("age", "-r", "age1a", "-r", "ssh-ed25519 b", "-o", "out", "in")
    ]
    assert seal.decrypt_argv("/id", "in", "out") == ["age", "-d", "-i", "/id", "-o", "out", "in"]


def test_there_and_back(tmp_path):
    names = [f"f{number}" for number in range(9)]
    for name in names:
        (tmp_path / name).write_text(name)
    age = Age()
    sealed = seal.encrypt(tmp_path, names, ["age1a"], 60, age, lambda: 5.0)
    assert sealed == [name + ".age" for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == sealed
    assert (tmp_path / "f3.age").read_text() == "3f"
    assert (tmp_path / "f3.age").stat().st_mode & 0o777 == 0o600
    assert {timeout for _argv, timeout in age.calls} == {60}
    assert seal.decrypt(tmp_path, sealed, "/id", 60, age) == names
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / "f3").read_text() == "f3"


@pytest.mark.parametrize(
    ("result", "says", "again"),
    [
        (Result(127, "", "age: No such file", False, 0.0), "install the Debian package age", False),
        (
            Result(1, "", "age: error: malformed recipient\nage: report", False, 0.0),
            "malformed recipient age: report",
            False,
        ),
        (Result(1, "", "", False, 0.0), "it ended with 1. Check encrypt_to", False),
        (Result(-9, "", "", True, 0.0), "did not end within 60 seconds", True),
    ],
)
def test_failures(tmp_path, result, says, again):
    (tmp_path / "f").write_text("plain")
    with pytest.raises(BackupError, match=says) as caught:
        seal.encrypt(tmp_path, ["f"], ["age1a"], 60, Age([result]), lambda: 0.0)
    assert (caught.value.rc, caught.value.safe_to_retry, caught.value.phase) == (result.rc, again, "encrypt")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_decryption_that_fails_keeps_the_sealed_file(tmp_path):
    (tmp_path / "f.age").write_text("sealed")
    with pytest.raises(BackupError, match=r"Decrypting f.age failed: no identity matched"):
        seal.decrypt(tmp_path, ["f.age"], "/id", 60, Age([Result(1, "", "no identity matched", False, 0.0)]))
    assert [path.name for path in tmp_path.iterdir()] == ["f.age"]


def test_recipients_are_checked_before():
    age = Age()
    seal.check_recipients(["age1a"], runner=age)
    assert age.calls[0][0][:3] == ["age", "-r", "age1a"]
    with pytest.raises(BackupError, match="Encryption failed: unknown recipient type"):
        seal.check_recipients(["nonsense"], runner=Age([Result(1, "", "unknown recipient type", False, 0.0)]))
