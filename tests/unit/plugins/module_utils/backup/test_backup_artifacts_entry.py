# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import random

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import (
    DamagedList,
    Entry,
    from_line,
    is_md5,
    is_plain,
    named,
    odd_name,
    parents,
    read_list,
    to_line,
    write_list,
)


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("a", True),
        ("1/a b/.hidden/x..", True),
        ("ünï/\u00e9/e\u0301/\U0001f600", True),
        ("#%?&*[]{}'\"$`|<>\\:;-", True),
        ("a/" + "x" * 240, True),
        ("a/" + "x" * 241, False),
        ("é" * 121, False),
        ("/".join(["x" * 100] * 7), False),
        ("", False),
        ("/a", False),
        ("a/", False),
        ("a//b", False),
        ("a/./b", False),
        ("../b", False),
        ("\uff0e", False),
        ("a\uff0fb", False),
        ("a\nb", False),
        ("a\rb", False),
        ("a\x7f", False),
        ("a\x0b", False),
        ("a\x1eb", False),
        ("a\u0085\u2028\u2029b", True),
        ("a\x00", False),
        (os.fsdecode(b"\xff"), False),
        (".mlops-stack-names/x", False),
        ("a/.mlops-stack-names", True),
    ],
)
def test_is_plain(path, plain):
    assert is_plain(path) is plain
    assert is_plain(odd_name(path).replace(".mlops-stack-names", "folder"))


def test_parents():
    assert parents("a") == []
    assert parents("a/b/c") == ["a", "a/b"]


def test_named():
    entries = [Entry("p", 1), Entry("p/q", 2), Entry("p/q/r", 3), Entry("a\nb", 4), Entry("pq", 5)]
    result = named(entries)
    assert [entry.copy for entry in result] == [odd_name("p"), odd_name("p/q"), None, odd_name("a\nb"), None]
    assert [entry.name for entry in result][2:5:2] == ["p/q/r", "pq"]
    assert [entry._replace(copy=None) for entry in result] == entries


def test_is_md5():
    assert is_md5("0123456789abcdef" * 2)
    assert not is_md5("0123456789abcdef" * 2 + "-3")
    assert not is_md5("0123456789abcdeg" * 2)
    assert not is_md5(None)


def test_lines():
    entry = Entry("ü\n", 1, "e", "now", "v", "s", "copy")
    assert from_line(to_line(entry)) == entry
    assert to_line(Entry("a", 1)) == (
        '{"path": "a", "size": 1, "sha256": null, "version_id": null, "etag": null, "modified": null}\n'
    )
    assert Entry("a", 1, "e", "now", "v", "s").identity == (1, "e", "now", "v")


@pytest.mark.parametrize("name", ["list.jsonl", "list.jsonl.gz"])
def test_lists(tmp_path, name):
    entries = [Entry(os.fsdecode(b"raw \xff"), 1), Entry("b\n", 2, sha256="s")]
    write_list(tmp_path / name, iter(entries))
    assert list(read_list(tmp_path / name)) == entries
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert (b"path" in (tmp_path / name).read_bytes()) is (name == "list.jsonl")
    with pytest.raises(FileExistsError):
        write_list(tmp_path / name, entries)


def corrupt(content, random):
    """Bytes with something wrong: cut off, a flipped bit, or a stretch of something else."""
    at, length = random.randrange(len(content)), random.randrange(1, 9)
    kind = random.choice(("cut", "flip", "other"))
    if kind == "cut":
        return content[:at]
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :]
    return content[:at] + random.choice((bytes(length), random.randbytes(length))) + content[at + length :]


@pytest.mark.parametrize("name", ["list.jsonl", "list.jsonl.gz"])
def test_a_damaged_list_is_one_error(tmp_path, name):
    chance = random.Random(7)
    entries = [Entry(f"{number}/model", number, f"{chance.getrandbits(128):032x}") for number in range(30)]
    write_list(tmp_path / name, entries)
    content = (tmp_path / name).read_bytes()
    refused = 0
    for _try in range(3000):
        (tmp_path / name).write_bytes(corrupt(content, chance))
        try:
            found = list(read_list(tmp_path / name))
        except DamagedList as error:
            assert str(tmp_path / name) in error.message
            refused += 1
        else:
            # Packed lists are read as they were, or not at all.
            assert found == entries or name == "list.jsonl"
    assert refused > 1000


@pytest.mark.parametrize("content", [None, b"", b"5\n", b"[]\n", b"{}\n", b"\0\0\n", b"\xff\n"])
@pytest.mark.parametrize("name", ["list.jsonl", "list.jsonl.gz"])
def test_what_is_no_list(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    if (name, content) == ("list.jsonl", b""):
        assert list(read_list(tmp_path / name)) == []
        return
    with pytest.raises(DamagedList, match="The list of artifacts of the set a cannot be read"):
        list(read_list(tmp_path / name, "of the set a"))
