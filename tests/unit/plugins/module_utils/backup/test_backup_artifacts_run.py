# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
import tempfile
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import copy, find, garbage, listing, run
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Copy, Entry, read_list
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Folder
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.store import Store
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.objects import Objects
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result
from memory_s3 import MemoryS3


class Rclone:
    """Does rclone's work between the places that it was told of by name. ``before`` is called before each copying."""

    def __init__(self, *places):
        self.places = {}
        for place in places:
            for sub in ("", "current", *(f"replaced/{number:06d}-{label}" for number, label in enumerate("-abcdef"))):
                there = place.below(sub) if sub else place
                self.places[there.remote("X")[1].partition(":")[2]] = there
        self.before = None
        self.log = []
        self.result = Result(0, "", "", False, 0.1)
        self.cut = set()
        self.calls = []

    def __call__(self, argv, timeout, env):
        self.calls.append(argv)
        given = dict(word[2:].split("=", 1) for word in argv if word.startswith("--") and "=" in word)
        names = pathlib.Path(given["files-from-raw"]).read_text(encoding="utf-8").split("\n")[:-1]
        remotes = [self.places[word.partition(":")[2]] for word in argv if word[:4] in ("SRC:", "DST:")]
        pathlib.Path(given["log-file"]).write_text("".join(json.dumps(item) + "\n" for item in self.log))
        if argv[1] == "hashsum":
            found = [(name, remotes[0].digests(name)) for name in names]
            lines = [f"{facts[1]}  {name}\n" for name, facts in found if facts]
            pathlib.Path(given["output-file"]).write_text("".join(lines), encoding="utf-8")
            for name in self.cut:
                remotes[0].delete(name)
            return self.result
        if self.before:
            self.before()
        for name in names:
            if remotes[0].find(name) is not None:
                body = list(remotes[0].read(name))
                remotes[1].write(name, [] if name in self.cut else body)
        return self.result


def store(prefix):
    s3 = MemoryS3()
    options = types.SimpleNamespace(
        bucket="b", prefix=prefix, endpoint_url="http://s", region=None, ca_bundle=None, access_key="a", secret_key="s"
    )
    return Store(options, Objects(s3, "b", prefix, "http://store", clock=s3.clock, sleep=s3.clock.sleep))


@pytest.fixture(params=["folder", "store"])
def destination(request, tmp_path):
    return Folder(tmp_path / "copies") if request.param == "folder" else store("copies")


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source").mkdir()
    return Folder(tmp_path / "source")


@pytest.fixture
def s3_source():
    return store("artifacts")


class Backups:
    def __init__(self, source, destination, tmp_path):
        self.source = source
        self.destination = destination
        self.rclone = Rclone(source, destination)
        self.tmp_path = tmp_path
        self.numbers = {}
        self.told = []

    def __call__(self, label, mode=run.COPY):
        partial = self.tmp_path / f"set-{label}"
        partial.mkdir()
        made = run.work(run.Job(mode, self.source, self.destination, partial, label, 60, runner=self.rclone))
        self.numbers[label] = made["number"]
        assert os.listdir(partial) == ["artifacts.jsonl"]
        return made

    def entries(self, label):
        return list(read_list(self.tmp_path / f"set-{label}" / "artifacts.jsonl"))

    def held(self, label):
        """What the copies hold of a set: {path: bytes}."""
        copies = find.read(self.destination)
        found = {}
        for entry in self.entries(label):
            folder = copies.locate(entry, self.numbers[label])
            found[entry.path] = b"".join(self.destination.below(folder).read(entry.name))
            assert hashlib.sha256(found[entry.path]).hexdigest() == entry.sha256
        return found


@pytest.fixture
def backups(s3_source, destination, tmp_path):
    return Backups(s3_source, destination, tmp_path)


def write(place, **contents):
    for name, body in contents.items():
        place.write(name, [body])


def test_only_what_is_new_is_copied(backups, tmp_path):
    write(backups.source, a=b"1", b=b"1", c=b"11")
    backups.source.write("odd\nname", [b"odd"])
    first = backups("a")
    assert (first["objects"], first["bytes"], first["copied"], first["kept"]) == (4, 7, 4, 0)
    assert first["list_sha256"] == hashlib.sha256((tmp_path / "set-a" / "artifacts.jsonl").read_bytes()).hexdigest()
    assert (first["mode"], first["destination"]) == ("copy", backups.destination.where)
    backups.rclone.calls.clear()
    second = backups("b")
    assert (second["copied"], second["kept"], second["number"]) == (0, 4, 2)
    assert backups.rclone.calls == []
    write(backups.source, b=b"2", c=b"222", d=b"2")
    third = backups("c")
    assert (third["copied"], third["kept"], third["replaced"]) == (3, 2, 2)
    assert backups.held("a") == {"a": b"1", "b": b"1", "c": b"11", "odd\nname": b"odd"}
    assert backups.held("c") == {"a": b"1", "b": b"2", "c": b"222", "d": b"2", "odd\nname": b"odd"}


@pytest.mark.parametrize("separator", ["\u0085", "\u2028", "\u2029"])
def test_a_name_with_a_line_separator_is_one_name(backups, separator):
    name = f"one{separator}two"
    backups.source.write(name, [b"1"])
    assert backups("a")["copied"] == 1
    assert backups("b")["kept"] == 1
    assert backups.held("b") == {name: b"1"}


def test_files_that_become_folders(backups):
    write(backups.source, x=b"file")
    backups("a")
    backups.source.delete("x")
    backups.source.write("x/y", [b"inside"])
    backups("b")
    backups.source.delete("x/y")
    write(backups.source, x=b"file again")
    backups("c")
    assert [backups.held(label) for label in "abc"] == [{"x": b"file"}, {"x/y": b"inside"}, {"x": b"file again"}]


def test_what_happens_meanwhile(backups):
    write(backups.source, stays=b"1", goes=b"1", changes=b"1")
    backups("a")
    write(backups.source, goes=b"2", changes=b"2", fleeting=b"2")

    def meanwhile():
        backups.rclone.before = None
        for name in ("goes", "fleeting"):
            backups.source.delete(name)
        write(backups.source, changes=b"333")

    backups.rclone.before = meanwhile
    made = backups("b")
    assert made["vanished"] == {"count": 2, "paths": ["fleeting", "goes"]}
    assert made["changed_meanwhile"] == 1
    assert backups.held("a") == {"stays": b"1", "goes": b"1", "changes": b"1"}
    assert backups.held("b") == {"stays": b"1", "changes": b"333"}


def test_a_backup_that_died_is_taken_up(backups):
    write(backups.source, a=b"1", b=b"1")
    backups("a")
    write(backups.source, a=b"2", new=b"2")

    class Died(Exception):
        pass

    hashes = copy.Mover.hashes

    def die_later(mover, place, names):
        if "new" in names:
            raise Died
        return hashes(mover, place, names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy.Mover, "hashes", die_later)
        with pytest.raises(Died):
            backups("b")
    made = backups("c")
    assert (made["copied"], made["kept"]) == (0, 3)
    assert backups.held("a") == {"a": b"1", "b": b"1"}
    assert backups.held("c") == {"a": b"2", "b": b"1", "new": b"2"}


def test_a_list_that_is_damaged_is_passed_over(backups):
    write(backups.source, a=b"1")
    backups("a")
    assert backups("b")["kept"] == 1
    backups.destination.write("lists/000002-b/artifacts.jsonl.gz", [b"no list"])
    backups.destination.write("lists/000003-c/other", [b"no list"])
    made = backups("d")
    assert (made["kept"], made["number"]) == (1, 4)


def test_copies_that_go_away(source, tmp_path):
    write(source, a=b"1")
    backups = Backups(source, Folder(tmp_path / "copies"), tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy.Mover, "hashes", lambda self, place, names: {})
        with pytest.raises(BackupError, match=r"1 artifacts were copied to .* and are not there, such as 'a'"):
            backups("a")


def test_an_inventory(source, tmp_path):
    write(source, a=b"123")
    (tmp_path / "source" / "link").symlink_to("a")
    backups = Backups(source, Folder(tmp_path / "copies"), tmp_path)
    made = backups("a", run.INVENTORY)
    assert (made["mode"], made["objects"], made["bytes"]) == ("inventory", 1, 3)
    # Where copies should have been, though there are none.
    assert made["destination"] == str(tmp_path / "copies")
    assert made["skipped"] == {"count": 1, "paths": ["link"]}
    assert not (tmp_path / "copies").exists()


@pytest.mark.parametrize("inside", ["source", "destination"])
def test_copies_of_copies_are_refused(s3_source, source, tmp_path, inside):
    for outer in (s3_source, source):
        pair = (outer, outer.below("a")) if inside == "destination" else (outer.below("a"), outer)
        with pytest.raises(BackupError, match="lie in each other") as caught:
            run.work(run.Job(run.COPY, *pair, tmp_path, "a", 60))
        assert not caught.value.safe_to_retry
    assert not s3_source.holds(source)
    assert not source.holds(s3_source)
    assert not source.holds(Folder(f"{source.root}-2"))
    assert s3_source.holds(s3_source.below("a"))


def test_progress_is_told_in_bytes(source, tmp_path):
    backups = Backups(source, Folder(tmp_path / "copies"), tmp_path)
    job = run.Job(run.COPY, source, backups.destination, tmp_path, "a", 60)
    backup = run.Backup(job, tmp_path)
    backup.bytes = 10
    backup._moved(1, 5)
    job.progress = lambda *far: backups.told.append(far)
    backup._moved(1, 6)
    assert backups.told == [(6, 10, "bytes")]


# Moving


@pytest.fixture
def mover(source, destination, tmp_path):
    (tmp_path / "scratch").mkdir()
    return copy.Mover(tmp_path / "scratch", 60, runner=Rclone(source, destination))


def test_names_may_change(mover, source, destination):
    write(source, a=b"1", b=b"2")
    assert mover.transfer(source, destination, [("a", "x\ny"), ("b", "b"), ("c", "d")]) == ["c"]
    assert {name: size for name, size, *_facts in destination.list()} == {"x\ny": 1, "b": 1}
    assert mover.transfer(source, destination, []) == []


def test_what_rclone_leaves_half_is_made_whole(mover, source, destination):
    write(source, a=b"123", b=b"456")
    mover.runner.cut = {"a"}
    mover.runner.log = [{"level": "error", "object": "a", "msg": "too big"}]
    mover.runner.result = Result(1, "", "", False, 0.1)
    assert mover.transfer(source, destination, [("a", "a"), ("b", "b")]) == []
    assert b"".join(destination.read("a")) == b"123"


@pytest.mark.parametrize(
    ("log", "result", "says"),
    [
        ([], Result(127, "", "", False, 0), "install the Debian package rclone"),
        ([], Result(-9, "", "", True, 0), "Copying artifacts from .* to .* did not end in time"),
        ([], Result(-9, "", "", False, 0), "rclone ended with -9"),
        ([{"level": "error", "msg": "directory not found"}], Result(3, "", "", False, 0), "directory not found"),
    ],
)
def test_rclone_fails(mover, source, destination, log, result, says):
    write(source, a=b"1")
    mover.runner.log, mover.runner.result = log, result
    with pytest.raises(BackupError, match=says):
        mover.transfer(source, destination, [("a", "a")])


def test_too_much_that_fails(mover, source, destination, monkeypatch):
    monkeypatch.setattr(copy, "MANY", 1)
    write(source, a=b"1", b=b"1", c=b"1")
    pairs = [(name, name) for name in "abc"]
    mover.runner.result = Result(1, "", "", False, 0.1)
    mover.runner.log = [{"level": "error", "object": "a", "msg": "denied"}]
    assert mover.transfer(source, destination, pairs) == []
    mover.runner.log.append({"level": "error", "object": "b", "msg": "denied, too"})
    with pytest.raises(BackupError, match="b: denied, too"):
        mover.transfer(source, destination, pairs)


def test_time_is_up(source, destination, tmp_path):
    times = iter([0.0, 61.0])
    mover = copy.Mover(tmp_path, 60, clock=lambda: next(times))
    with pytest.raises(BackupError, match="set a longer timeout"):
        mover.transfer(source, destination, [("a", "b")])


def test_hashes_that_cannot_be_had(s3_source, tmp_path):
    mover = copy.Mover(tmp_path, 60, runner=Rclone(s3_source))
    write(s3_source, a=b"1")
    digests = mover.hashes(s3_source, ["a", "gone", "odd\n"])
    assert digests == {"a": (1, hashlib.sha256(b"1").hexdigest(), hashlib.md5(b"1").hexdigest())}
    # One that goes while the others are read.
    mover.runner.cut = {"a"}
    assert mover.hashes(s3_source, ["a"]) == {}
    mover.runner.result = Result(1, "", "", False, 0.1)
    mover.runner.log = [{"level": "error", "object": "a", "msg": "denied"}]
    with pytest.raises(BackupError, match=r"Reading the copies at .* failed: a: denied"):
        mover.hashes(s3_source, ["a"])


def test_nothing_new_is_begun_after_an_error():
    begun = []

    def work(item):
        begun.append(item)
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        copy.side_by_side(work, range(1000))
    assert len(begun) < 1000


# Finding


COPIES = find.Copies(
    {"a": Copy(3), "b": Copy(1), "odd": Copy(4)},
    {5: ("000005-e", {"a": Copy(2)}), 3: ("000003-c", {"a": Copy(1), "c": Copy(9)})},
)


@pytest.mark.parametrize(
    ("entry", "number", "folder"),
    [
        (Entry("a", 1), 1, "replaced/000003-c"),
        (Entry("a", 1), 2, "replaced/000003-c"),
        (Entry("a", 2), 3, "replaced/000005-e"),
        (Entry("a", 2), 4, "replaced/000005-e"),
        (Entry("a", 3), 5, "current"),
        (Entry("a", 3), 1, "current"),
        (Entry("a", 4), 1, None),
        (Entry("a", 1), 3, None),
        (Entry("b", 1), 1, "current"),
        (Entry("c", 9), 1, "replaced/000003-c"),
        (Entry("d", 1), 1, None),
        (Entry("x", 4, copy="odd"), 1, "current"),
    ],
)
def test_locate(entry, number, folder):
    assert COPIES.locate(entry, number) == folder


def test_group():
    entries = [Entry("a", 1), Entry("b", 1), Entry("d", 1), Entry("c", 9)]
    assert find.group(COPIES, [(entry, 1) for entry in entries]) == (
        {"replaced/000003-c": [entries[0], entries[3]], "current": [entries[1]]},
        [entries[2]],
    )


# Sets that were only listed


def listed_between(backups):
    """The set b was only listed, between two others: a is as in both, b as in the first, c as in the second."""
    write(backups.source, a=b"1", b=b"1", c=b"1", d=b"1", f=b"1")
    backups("a")
    write(backups.source, c=b"2", d=b"2", e=b"2")
    backups.source.delete("f")
    backups("b", run.INVENTORY)
    # The same sizes: only what the lists say tells one content from another.
    write(backups.source, b=b"3", d=b"3")
    backups("c")


def content(backups, label, number):
    found, missing = find.search(backups.destination, backups.entries(label), number)
    read = {
        entry.path: b"".join(backups.destination.below(folder).read(entry.name))
        for folder, entries in found.items()
        for entry in entries
    }
    hashes = {entry.path: entry.sha256 for entries in found.values() for entry in entries}
    assert hashes == {path: hashlib.sha256(body).hexdigest() for path, body in read.items()}
    return read, [entry.path for entry in missing]


def test_a_listed_set_finds_what_others_have_copied(backups):
    listed_between(backups)
    assert content(backups, "b", None) == ({"a": b"1", "b": b"1", "c": b"2", "e": b"2"}, ["d"])
    assert content(backups, "c", backups.numbers["c"])[1] == []
    assert find.search(backups.destination, [], None) == ({}, [])
    # A list that cannot be read vouches for nothing.
    backups.destination.write("lists/000009-x/artifacts.jsonl.gz", [b"no list"])
    assert content(backups, "b", None)[1] == ["d"]


def test_what_a_listed_set_needs_stays(backups):
    listed_between(backups)
    entries = backups.entries("b")
    # The first set's list stays for what the second needs of it, and so does all that it names.
    assert garbage.collect(backups.destination, {"b", "c"}, entries) == 0
    assert content(backups, "b", None) == ({"a": b"1", "b": b"1", "c": b"2", "e": b"2"}, ["d"])
    assert sorted(backups.destination.names("lists")) == ["000001-a", "000002-c"]
    assert garbage.collect(backups.destination, {"c"}) > 0
    assert content(backups, "b", None)[1] == ["b", "d"]


# Garbage


def test_outdated():
    lists = {1: "000001-one", 2: "000002-two", 3: "000003-two-b", 4: "000004-died"}
    assert garbage.outdated(lists, {"two", "two-b"}) == {1: "000001-one"}
    assert garbage.outdated(lists, {"two"}, {1}) == {3: "000003-two-b"}
    assert garbage.outdated({}, {"two"}) == {}


def test_plan():
    assert garbage.plan(COPIES, [(5, [Entry("a", 3)]), (2, [Entry("c", 9)])]) == [
        *("current/b", "current/odd", "replaced/000003-c/a", "replaced/000005-e/a")
    ]
    assert garbage.plan(COPIES, [(1, [Entry("a", 1), Entry("b", 1), Entry("c", 9), Entry("x", 4, copy="odd")])]) == []


def test_collect(backups):
    write(backups.source, a=b"1", b=b"1", c=b"1")
    backups("a")
    write(backups.source, a=b"22")
    backups.source.delete("c")
    backups("b")
    write(backups.source, a=b"333")
    backups("c")
    assert garbage.collect(backups.destination, {"a", "b", "c"}) == 0
    assert backups.held("a") == {"a": b"1", "b": b"1", "c": b"1"}
    assert garbage.collect(backups.destination, {"b", "c"}) == 2
    assert backups.held("b") == {"a": b"22", "b": b"1"}
    assert garbage.collect(backups.destination, set()) == 1
    assert backups.held("c") == {"a": b"333", "b": b"1"}
    assert backups.destination.names("lists") == ["000003-c"]
    assert backups("d")["kept"] == 2


def two_sets(backups):
    """The copies of two sets, which need all of them: what there is of them."""
    write(backups.source, a=b"1", b=b"1")
    backups("a")
    write(backups.source, a=b"22")
    backups("b")
    return sorted(listing.list_copies(backups.destination))


def test_nothing_is_deleted_while_a_list_is_damaged(backups):
    there = two_sets(backups)
    for label in ("000001-a", "000002-b"):
        name = f"lists/{label}/artifacts.jsonl.gz"
        whole = list(backups.destination.read(name))
        for damaged in (b"", b"".join(whole)[:-20], b"no list"):
            backups.destination.write(name, [damaged])
            with pytest.raises(BackupError, match=f"The list of artifacts {name} at .* cannot be read"):
                garbage.collect(backups.destination, {"a", "b"})
            # What a set that was only listed needs may be in the one that cannot be read.
            with pytest.raises(BackupError, match="cannot be read"):
                garbage.collect(backups.destination, {"b"}, [Entry("unknown", 1)])
        backups.destination.write(name, whole)
    assert sorted(listing.list_copies(backups.destination)) == there


def test_nothing_is_deleted_while_a_list_is_gone(backups):
    two_sets(backups)
    backups.destination.write("lists/000001-a/other", [b"x"])
    backups.destination.delete("lists/000001-a/artifacts.jsonl.gz")
    there = listing.list_copies(backups.destination)
    with pytest.raises(BackupError, match="the list lists/000001-a/artifacts.jsonl.gz of a set is not at"):
        garbage.collect(backups.destination, {"a", "b"})
    assert listing.list_copies(backups.destination) == there
    # That of a set that is gone as well vouches for nothing; some stores go on listing its folder.
    assert garbage.collect(backups.destination, {"b"}, [Entry("unknown", 1)]) == 1


def test_nothing_is_deleted_while_there_is_no_room_for_lists(backups, monkeypatch):
    there = two_sets(backups)

    def full(**_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "NamedTemporaryFile", full)
        for labels, listed in (({"a", "b"}, []), ({"b"}, backups.entries("a"))):
            with pytest.raises(BackupError, match=r"\(No space left on device\): make room there"):
                garbage.collect(backups.destination, labels, listed)
    assert sorted(listing.list_copies(backups.destination)) == there


def test_lists_take_room_only_while_they_are_read(backups, tmp_path):
    two_sets(backups)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = [(number, os.listdir(scratch)) for number, _entries in listing.read_lists(backups.destination, scratch)]
    assert found == [(2, []), (1, [])]
