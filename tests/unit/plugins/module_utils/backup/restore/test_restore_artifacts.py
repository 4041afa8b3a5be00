# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.copy import Mover as RealMover
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Entry, write_list
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Folder
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.store import Store
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.objects import Objects
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import artifacts
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.artifacts import Artifacts
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted
from memory_s3 import MemoryS3, failure

PUT_BACK = " The live artifacts that the set's had replaced were put back."
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
    """Moves files between folders; ``spoil`` and ``gone`` name files by their folder, such as ``live/a``."""

    def __init__(self, spoil=(), gone=(), error=None):
        self.spoil = spoil
        self.gone = gone
        self.error = error

    def anew(self):
        return self

    def transfer(self, source, target, pairs):
        for name, new in pairs:
            if f"{source.root.name}/{name}" not in self.gone:
                text = (source.root / name).read_text()
                (target.root / new).parent.mkdir(parents=True, exist_ok=True)
                (target.root / new).write_text("X" * len(text) if f"{target.root.name}/{new}" in self.spoil else text)
        if self.error and target.root.name == "live":
            raise self.error
        return [name for name, _new in pairs if f"{source.root.name}/{name}" in self.gone]

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


def make(entries, live, copies, mover=None, number=2, **options):
    return Artifacts(entries, number, "L", live, copies, mover or Mover(), **options)


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
    (live.root / "a").write_text("later")
    again = make([entry("a", "set")], live, copies, force=True)
    again.check()
    assert again.restore() == ["a"]
    assert [(copies.root / f"kept/{name}/a").read_text() for name in ("L", "L_2")] == ["live", "later"]


def test_hashes_tell_what_sizes_do_not(places):
    live, copies = places({"a": "live", "b": "same"}, {"current/a": "set!"})
    entries = [entry("a", "set!"), entry("b", "same"), entry("b", "????", sha256=False)]
    by_size, by_hash = make(entries, live, copies), make(entries, live, copies, level="hash")
    assert (by_size.check(), by_size.other) == ([], [])
    assert (by_hash.check(), by_hash.other) == ([], ["a"])


def test_a_damaged_copy_is_not_left_in_the_live_store(places):
    live, copies = places({}, {"current/a": "1", "current/b": "2"})
    one = make([entry("a", "1"), entry("b", "2")], live, copies, Mover(spoil=["live/b"]))
    assert one.check() == []
    with pytest.raises(BackupError, match="1 restored artifacts were not what the set names .* among them b") as caught:
        one.restore()
    assert (caught.value.phase, caught.value.safe_to_retry) == ("artifacts", False)
    assert sorted(path.name for path in live.root.iterdir()) == ["a"]


def undone(one, error, match=None):
    """Restore, which fails, and put back what was put aside: the error, and how that went."""
    with pytest.raises(error, match=match) as caught:
        one.restore()
    return caught.value, one.put_back() if one.aside else ""


def forced(places, mover):
    """Live objects of which the set has older ones, and one that is not there: (what restores them, the live place)."""
    live, copies = places({"a": "live", "b": "here"}, {"current/a": "set", "replaced/3-x/b": "was", "current/c": "new"})
    one = make([entry("a", "set"), entry("b", "was"), entry("c", "new")], live, copies, mover, force=True)
    assert (one.check(), one.other) == ([], ["a", "b"])
    return one, live


def contents(place):
    return {path.name: path.read_text() for path in place.root.iterdir() if path.is_file()}


def test_a_set_that_was_only_listed_gets_the_copies_of_others(places, tmp_path):
    live, copies = places({"a": "1"}, {"current/b": "new", "replaced/4-x/b": "was", "current/c": "???"})
    (copies.root / "lists/3-before").mkdir(parents=True)
    write_list(copies.root / "lists/3-before/artifacts.jsonl.gz", [entry("a", "1"), entry("b", "was")])
    listed = [entry(name, text, sha256=False) for name, text in (("a", "1"), ("b", "was"), ("c", "set"))]
    one = make(listed, live, copies, number=None)
    assert one.check() == ["c"]
    assert one.restore() == ["b"]
    assert contents(live) == {"a": "1", "b": "was"}
    (live.root / "b").unlink()
    (copies.root / "replaced/4-x/b").write_text("???")
    assert one.check() == ["c"]
    with pytest.raises(BackupError, match="1 restored artifacts were not what the set names"):
        one.restore()


@pytest.mark.parametrize("damaged", ["current/a", "replaced/3-x/b"])
def test_a_damaged_copy_takes_no_live_objects_place(places, damaged):
    one, live = forced(places, Mover())
    (one.copies.root / damaged).write_text("XXX")
    why = f"1 artifacts were not put in .* among them {damaged[-1]}: .* damaged"
    error, put_back = undone(one, BackupError, why)
    assert (error.phase, error.safe_to_retry, put_back) == ("artifacts", False, "")
    assert contents(live) == {"a": "live", "b": "here"}
    assert not (one.copies.root / "kept").exists()


def test_a_copy_of_which_no_hash_is_known_takes_no_live_objects_place(places):
    live, copies = places({"a": "live"}, {"current/a": "set"})
    one = make([entry("a", "set", sha256=False)], live, copies, force=True)
    one.check()
    with pytest.raises(BackupError, match="1 artifacts were not put"):
        one.restore()
    assert contents(live) == {"a": "live"}


@pytest.mark.parametrize("spoilt", ["a", "c"])
def test_what_is_spoilt_on_its_way_leaves_the_live_objects(places, spoilt):
    one, live = forced(places, Mover(spoil=[f"live/{spoilt}"]))
    assert undone(one, BackupError, f"among them {spoilt}: ")[1] == PUT_BACK
    assert contents(live) == {"a": "live", "b": "here", **({"c": "new"} if spoilt == "a" else {})}
    assert contents(one.copies.below("kept/L")) == {}


@pytest.mark.parametrize("error", [BackupError("The store is away.", "artifacts"), Interrupted("by SIGTERM")])
def test_a_restore_that_breaks_off_leaves_the_live_objects(places, error):
    one, live = forced(places, Mover(error=error))
    assert undone(one, type(error))[1] == PUT_BACK
    assert contents(live)["a"] == "live"


def test_what_was_restored_can_be_put_back(places):
    one, live = forced(places, Mover())
    assert one.restore() == ["a", "b", "c"]
    assert contents(live) == {"a": "set", "b": "was", "c": "new"}
    assert one.put_back() == PUT_BACK
    # What was missing in the live store is in nobody's way.
    assert contents(live) == {"a": "live", "b": "here", "c": "new"}


@pytest.fixture(name="stores")
def fixture_stores(tmp_path):
    """A restore of one object between two stores, with 10 seconds for moving: (what restores it, the bucket)."""
    s3 = MemoryS3()
    options = types.SimpleNamespace(ca_bundle=None)

    def place(prefix):
        return Store(options, Objects(s3, "b", prefix, timeout=10, clock=s3.clock, sleep=s3.clock.sleep))

    # A name that is moved without rclone.
    odd = entry("a\n", "set")
    live, copies = place("live"), place("copies")
    live.write(odd.path, [b"live"])
    copies.write(f"current/{odd.name}", [b"set"])
    one = make([odd], live, copies, RealMover(tmp_path, 10, clock=s3.clock), force=True)
    assert (one.check(), one.other) == ([], ["a\n"])
    return one, s3


def test_the_time_for_moving_begins_with_moving(stores):
    one, s3 = stores
    s3.clock.now += 100
    assert one.restore() == ["a\n"]
    assert (s3.objects["live/a\n"].body, s3.objects["copies/kept/L/a\n"].body) == (b"set", b"live")


def test_live_artifacts_are_put_back_after_the_time_for_moving(stores):
    one, s3 = stores
    # The one that puts the live object aside is answered, the next one after more than 10 seconds.
    s3.errors["put_object"] = [None, *[failure("SlowDown", 503)] * 10]
    assert undone(one, BackupError, "did not end within 10 seconds")[1] == PUT_BACK
    assert s3.objects["live/a\n"].body == b"live"
    assert "copies/kept/L/a\n" not in s3.objects


def test_what_cannot_be_put_back_is_told(places):
    one, live = forced(places, Mover(spoil=["live/b"]))

    def full(_name, _chunks):
        raise BackupError("The store is full.", "artifacts")

    live.write = full
    put_back = undone(one, BackupError)[1]
    assert put_back.endswith(f" lie at {one.copies.root}/kept/L and could not all be put back: The store is full.")
    assert (one.copies.root / "kept/L/b").read_text() == "here"


def test_a_live_object_that_goes_away_meanwhile_is_not_put_back(places):
    one, live = forced(places, Mover(gone=["live/a"], spoil=["live/a"]))
    assert undone(one, BackupError)[1] == PUT_BACK
    assert contents(live) == {"b": "here", "c": "new"}


def test_a_copy_that_goes_away_meanwhile(places):
    live, copies = places({}, {"current/a": "1"})
    one = make([entry("a", "1")], live, copies, Mover(gone=["current/a"]))
    one.check()
    with pytest.raises(BackupError, match="1 copies of artifacts went away .* among them a"):
        one.restore()


def test_a_live_folder_that_is_not_there(tmp_path):
    with pytest.raises(BackupError, match="There is no folder"):
        make([], Folder(tmp_path / "no"), None).check()
