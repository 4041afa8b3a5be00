# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Entry
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Folder
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import artifacts
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.artifacts import Artifacts

MD5, OTHER = "a" * 32, "b" * 32


@pytest.mark.parametrize(
    "etag, size, live, other",
    [
        (MD5, 1, MD5, False),
        (MD5, 1, OTHER, True),
        (MD5, 2, MD5, True),
        (MD5, 1, f"{OTHER}-3", False),
        (f"{MD5}-2", 1, OTHER, False),
        (None, 1, OTHER, False),
        (MD5, 1, None, False),
    ],
)
def test_what_surely_differs(etag, size, live, other):
    assert artifacts.differs(Entry("a", 1, etag), size, live) is other


def entry(path, text, sha256=True):
    return Entry(path, len(text), sha256=hashlib.sha256(text.encode()).hexdigest() if sha256 else None)


class Mover:
    """Moves files between folders, and spoils those that it is told to."""

    def __init__(self, spoil=(), gone=()):
        self.spoil = spoil
        self.gone = gone

    def transfer(self, source, target, pairs):
        for name, new in pairs:
            if name not in self.gone:
                text = (source.root / name).read_text()
                (target.root / new).parent.mkdir(parents=True, exist_ok=True)
                (target.root / new).write_text("X" * len(text) if new in self.spoil else text)
        return [name for name, _new in pairs if name in self.gone]

    def hashes(self, place, names):
        found = {name: place.digests(name) for name in names}
        return {name: facts for name, facts in found.items() if facts}


@pytest.fixture(name="places")
def fixture_places(tmp_path):
    """The live folder and that of the copies, filled: {path below both: text}."""

    def make(live, copies):
        for root, files in (("live", live), ("copies", copies)):
            (tmp_path / root).mkdir()
            for name, text in files.items():
                path = tmp_path / root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        return Folder(tmp_path / "live"), Folder(tmp_path / "copies")

    return make


def make(entries, live, copies, mover=None, **options):
    return Artifacts(entries, 2, "L", live, copies, mover or Mover(), **options)


def test_all_is_there(places):
    live, copies = places({"a": "1"}, {})
    one = make([entry("a", "1")], live, copies)
    assert (one.check(), one.other, one.groups) == ([], [], {})
    assert one.restore() == []


def test_missing_ones_come_back_from_where_their_copies_are(places):
    live, copies = places(
        {"a": "1", "extra": "x"},
        {"current/b/c": "22", "current/d": "new!", "replaced/3-x/d": "old", "replaced/1-x/d": "???"},
    )
    one = make([entry("a", "1"), entry("b/c", "22"), entry("d", "old"), entry("e", "gone")], live, copies)
    assert one.check() == ["e"]
    assert one.restore() == ["b/c", "d"]
    assert (live.root / "b/c").read_text() == "22"
    assert (live.root / "d").read_text() == "old"
    assert (live.root / "extra").read_text() == "x"
    assert one.check() == ["e"]


def test_without_copies_what_is_not_there_is_missing(places):
    live, _copies = places({"a": "1", "other": "12"}, {})
    one = make([entry("a", "1"), entry("b", "2"), entry("other", "1")], live, None)
    assert (one.check(), one.other) == (["b"], ["other"])
    assert make([entry("other", "1")], live, None, force=True).check() == []


def test_a_live_object_that_differs_is_left_alone(places):
    live, copies = places({"a": "live"}, {"current/a": "set"})
    one = make([entry("a", "set")], live, copies)
    assert (one.check(), one.other, one.restore()) == ([], ["a"], [])
    assert (live.root / "a").read_text() == "live"


def test_with_force_it_is_put_aside(places):
    live, copies = places({"a": "live", "b": "here"}, {"current/a": "set"})
    one = make([entry("a", "set"), entry("b", "was")], live, copies, force=True)
    assert (one.check(), one.other) == ([], ["a", "b"])
    assert one.restore() == ["a"]
    assert (live.root / "a").read_text() == "set"
    assert (live.root / "b").read_text() == "here"
    assert (copies.root / "kept/L/a").read_text() == "live"


def test_hashes_tell_what_sizes_do_not(places):
    live, copies = places({"a": "live", "b": "same"}, {"current/a": "set!"})
    entries = [entry("a", "set!"), entry("b", "same"), entry("b", "????", sha256=False)]
    by_size, by_hash = make(entries, live, copies), make(entries, live, copies, level="hash")
    assert (by_size.check(), by_size.other) == ([], [])
    assert (by_hash.check(), by_hash.other) == ([], ["a"])


def test_a_damaged_copy_is_not_left_in_the_live_store(places):
    live, copies = places({}, {"current/a": "1", "current/b": "2"})
    one = make([entry("a", "1"), entry("b", "2")], live, copies, Mover(spoil=["b"]))
    assert one.check() == []
    with pytest.raises(BackupError, match="1 restored artifacts were not what the set names .* among them b") as caught:
        one.restore()
    assert (caught.value.phase, caught.value.safe_to_retry) == ("artifacts", False)
    assert sorted(path.name for path in live.root.iterdir()) == ["a"]


def test_a_copy_that_goes_away_meanwhile(places):
    live, copies = places({}, {"current/a": "1"})
    one = make([entry("a", "1")], live, copies, Mover(gone=["a"]))
    one.check()
    with pytest.raises(BackupError, match="1 copies of artifacts went away .* among them a"):
        one.restore()


def test_a_live_folder_that_is_not_there(tmp_path):
    with pytest.raises(BackupError, match="There is no folder"):
        make([], Folder(tmp_path / "no"), None).check()
