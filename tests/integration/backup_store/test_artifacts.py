# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of artifacts by the real rclone, from and to a real SeaweedFS: what goes in comes back, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time

import faults
import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import copy, find, garbage, run
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import read_list
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Folder
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.store import Store
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.artifacts import Artifacts
from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

MIB = 1024 * 1024
NAMES = [
    "1/a1b2/artifacts/model/MLmodel",
    "sp ace/ lead",
    "sp ace/trail ",
    "ünï/ço dé/\u00e9",
    "ünï/ço dé/e\u0301",
    "emoji/\U0001f600",
    ".hidden/..dots",
    "trail./x..",
    "#hash/%25/a?b&c=d+e",
    "quo\"te/'q'/*[x]{y}",
    "$HOME/`id`/$(id)",
    "-n/--config",
    "C:/co:lon",
    "long/" + "l" * 240,
    # Other line separators than that of a list.
    "next\u0085line",
    "line\u2028/para\u2029graph",
    # These cannot be names of files, or lines of a list.
    "new\nline",
    "ca\rriage/ta\tb",
    "del\x7f",
    "p/q",
    "p/q/r",
    "\uff0e",
    "\u201b\uff0f/x",
    "longer/" + "m" * 255,
    ".mlops-stack-names/mine",
]


class Backups:
    """Backups of one source into one destination, one after another."""

    def __init__(self, source, destination, folder):
        self.source = source
        self.destination = destination
        self.folder = folder
        self.made = {}

    def __call__(self, label, mode=run.COPY, **more):
        partial = self.folder / label
        partial.mkdir()
        job = run.Job(mode, self.source, self.destination, partial, label, 120, **more)
        self.made[label] = made = run.work(job)
        data = (partial / "artifacts.jsonl").read_bytes()
        assert made["list_sha256"] == hashlib.sha256(data).hexdigest()
        assert sorted(os.listdir(partial)) == ["artifacts.jsonl"]
        return made

    def entries(self, label):
        return {entry.path: entry for entry in read_list(self.folder / label / "artifacts.jsonl")}

    def bring_back(self, label, target):
        """What a set's list names, brought to another place by its copies: {path: bytes}, hashes compared."""
        entries = self.entries(label)
        groups, missing = find.search(self.destination, entries.values(), self.made[label]["number"])
        assert missing == []
        scratch = self.folder / f"scratch-{label}"
        scratch.mkdir()
        mover = copy.Mover(scratch, 120)
        for folder, group in groups.items():
            pairs = [(entry.name, entry.path) for entry in group]
            assert mover.transfer(self.destination.below(folder), target, pairs) == []
        found = {}
        for path, entry in entries.items():
            found[path] = b"".join(target.read(path))
            assert hashlib.sha256(found[path]).hexdigest() == entry.sha256
            assert len(found[path]) == entry.size
        assert {name for name, *_facts in target.list()} == set(entries)
        return found


@pytest.fixture(params=["folder", "store"])
def backups(request, place, tmp_path):
    destination = Folder(tmp_path / "copies") if request.param == "folder" else place("deep/copies")
    return Backups(place("mlflow"), destination, tmp_path)


def put(place, name, body):
    place.client.put_object(Bucket=place.objects.bucket, Key=place.objects.prefix + name, Body=body)


def remove(place, name):
    place.client.delete_object(Bucket=place.objects.bucket, Key=place.objects.prefix + name)


def test_every_name_survives(backups, place):
    wanted = {name: f"content of {name}".encode() for name in NAMES}
    wanted["big"] = os.urandom(20 * MIB)
    wanted["empty"] = b""
    for name, body in wanted.items():
        put(backups.source, name, body)
    made = backups("one")
    assert (made["objects"], made["copied"]) == (len(wanted), len(wanted))
    assert made["bytes"] == sum(map(len, wanted.values()))
    assert backups.bring_back("one", place()) == wanted
    again = backups("two")
    assert (again["copied"], again["kept"], again["lost_copies"]["count"]) == (0, len(wanted), 0)
    assert backups.bring_back("two", place()) == wanted


def test_each_set_gets_its_own_content_back(backups, place):
    contents = {}
    for label, changes in (
        ("one", {"a": b"1", "b": b"1", "c": b"1", "d": b"1", "x": b"a file"}),
        ("two", {"a": b"2", "b": None, "e": b"2", "x": None, "x/y": b"a folder"}),
        ("three", {"a": b"333", "b": b"3", "c": b"3", "e": None, "x/y": None, "x": b"a file again"}),
        ("four", {}),
    ):
        for name, body in changes.items():
            if body is None:
                remove(backups.source, name)
            else:
                put(backups.source, name, body)
        before = contents.get(len(contents) and list(contents)[-1], {})
        contents[label] = {name: body for name, body in {**before, **changes}.items() if body is not None}
        backups(label)
    for label, wanted in contents.items():
        assert backups.bring_back(label, place()) == wanted, label
    assert [made["number"] for made in backups.made.values()] == [1, 2, 3, 4]

    # What only the first two sets need goes with them.
    before = find.read(backups.destination)
    gone = garbage.collect(backups.destination, {"three", "four"})
    after = find.read(backups.destination)
    assert gone > 0
    assert sum(map(len, (before.current, *(names for _f, names in before.replaced.values())))) - gone == sum(
        map(len, (after.current, *(names for _f, names in after.replaced.values())))
    )
    assert garbage.collect(backups.destination, {"three", "four"}) == 0
    for label in ("three", "four"):
        (backups.folder / f"scratch-{label}").rename(backups.folder / f"old-{label}")
        assert backups.bring_back(label, place()) == contents[label]
    assert backups("five")["kept"] == len(contents["four"])


def test_a_set_that_was_only_listed_comes_back_from_what_others_have_copied(backups, place, tmp_path):
    for name in ("old", "changes", "odd\nname"):
        put(backups.source, name, b"first " + name.encode())
    put(backups.source, "parts", os.urandom(20 * MIB))
    backups("one")
    for name in ("fresh", "fleeting"):
        put(backups.source, name, b"second " + name.encode())
    assert backups("two", mode=run.INVENTORY)["destination"] == backups.destination.where
    entries = backups.entries("two")
    for name in ("changes", "fleeting"):
        put(backups.source, name, b"thirds " + name.encode()[:6])
    backups("three")
    garbage.collect(backups.destination, {"two", "three"}, entries.values())

    live = place()
    restore = Artifacts(entries.values(), None, "two", live, backups.destination, copy.Mover(tmp_path, 120))
    assert restore.check() == ["fleeting"]
    assert restore.restore() == sorted(set(entries) - {"fleeting"})
    assert {name: size for name, size, *_facts in live.list()} == {
        name: entry.size for name, entry in entries.items() if name != "fleeting"
    }
    assert b"".join(live.read("changes")) == b"first changes"
    assert b"".join(live.read("fresh")) == b"second fresh"


def test_a_lost_or_cut_copy_is_made_anew(place, tmp_path):
    backups = Backups(place(), Folder(tmp_path / "copies"), tmp_path)
    for name in ("a", "b", "c"):
        put(backups.source, name, b"content " + name.encode())
    backups("one")
    (tmp_path / "copies/current/a").unlink()
    (tmp_path / "copies/current/b").write_bytes(b"cut")
    made = backups("two")
    assert made["lost_copies"] == {"count": 2, "paths": ["a", "b"]}
    assert (made["copied"], made["kept"]) == (2, 1)
    assert backups.bring_back("two", place())["b"] == b"content b"


def test_copies_that_are_gone_or_damaged_are_found(backups, tmp_path):
    for name in ("a", "b", "c", "odd\nname"):
        put(backups.source, name, b"content " + name.encode())
    number = backups("one")["number"]
    entries = list(backups.entries("one").values())
    mover = copy.Mover(tmp_path, 120)
    current = backups.destination.below("current")
    assert find.lacking(backups.destination, entries, number, mover) == []
    current.delete("a")
    current.write("b", [b"CONTENT b"])
    current.write("c", [b"cut"])
    assert find.lacking(backups.destination, entries, number) == ["a", "c"]
    assert find.lacking(backups.destination, entries, number, mover) == ["a", "b", "c"]


def test_a_killed_backup_is_taken_up(backups, place):
    for number in range(20):
        put(backups.source, f"f{number}", f"content {number}".encode())
    backups("one")
    put(backups.source, "f0", b"CONTENT 0")
    put(backups.source, "new", b"new")

    class Killed(Exception):
        pass

    def runner(argv, timeout, env):
        result = process.run(argv, timeout, env)
        if "copy" in argv:
            raise Killed
        return result

    with pytest.raises(Killed):
        backups("two", runner=runner)
    made = backups("three")
    # Both were copied by the backup that was killed, from what is still there.
    assert (made["copied"], made["kept"], made["replaced"]) == (0, 21, 0)
    wanted = {f"f{number}": f"content {number}".encode() for number in range(20)}
    assert backups.bring_back("one", place()) == wanted
    assert backups.bring_back("three", place()) == {**wanted, "f0": b"CONTENT 0", "new": b"new"}


@pytest.mark.fault(56)
def test_fault_56_what_happens_between_listing_and_copying(backups, place):
    for name in ("stays", "goes", "changes", "went\nodd"):
        put(backups.source, name, b"old " + name.encode())
    backups("one")
    for name in ("goes", "changes", "fresh", "fleeting"):
        put(backups.source, name, b"second " + name.encode())

    def runner(argv, timeout, env):
        if "copy" in argv:
            remove(backups.source, "goes")
            remove(backups.source, "fleeting")
            put(backups.source, "changes", b"third, and longer")
            put(backups.source, "uploaded since", b"by another run")
        return process.run(argv, timeout, env)

    made = backups("two", runner=runner)
    assert made["vanished"] == {"count": 2, "paths": ["fleeting", "goes"]}
    assert made["changed_meanwhile"] == 1
    held = backups.bring_back("two", place())
    assert held == {
        "stays": b"old stays",
        "changes": b"third, and longer",
        "fresh": b"second fresh",
        "went\nodd": b"old went\nodd",
    }
    assert backups.bring_back("one", place())["goes"] == b"old goes"
    made = backups("three")
    assert (made["objects"], made["vanished"]["count"], made["changed_meanwhile"]) == (5, 0, 0)
    assert backups.bring_back("three", place())["changes"] == b"third, and longer"


def test_versions_are_recorded(place, tmp_path):
    source = place()
    source.client.put_bucket_versioning(Bucket=source.objects.bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        put(source, "a", body)
    put(source, "b", b"b")
    put(source, "gone", b"gone")
    remove(source, "gone")
    backups = Backups(source, Folder(tmp_path / "copies"), tmp_path)
    backups("one")
    listed = backups.entries("one")
    assert set(listed) == {"a", "b"}
    head = source.client.head_object(Bucket=source.objects.bucket, Key="a")
    assert listed["a"].version_id == head["VersionId"]
    assert listed["b"].version_id not in (None, listed["a"].version_id)
    assert backups("two")["kept"] == 2


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_artifacts_in_a_folder(place, tmp_path, kind):
    (tmp_path / "mlruns" / "1").mkdir(parents=True)
    source = Folder(tmp_path / "mlruns")
    wanted = {name: name.encode() for name in ("1/a", "1/sp ace", "1/new\nline", "1/ünï")}
    for name, body in wanted.items():
        (tmp_path / "mlruns" / name).write_bytes(body)
    (tmp_path / "mlruns" / os.fsdecode(b"1/not utf-8 \xff")).write_bytes(b"raw")
    (tmp_path / "mlruns" / "link").symlink_to("1/a")
    backups = Backups(source, Folder(tmp_path / "copies") if kind == "folder" else place(), tmp_path)
    made = backups("one")
    assert made["skipped"] == {"count": 1, "paths": ["link"]}
    (tmp_path / "back").mkdir()
    back = backups.bring_back("one", Folder(tmp_path / "back"))
    assert back == {**wanted, os.fsdecode(b"1/not utf-8 \xff"): b"raw"}
    assert backups("two")["kept"] == 5


def test_inventory_only_lists(place, tmp_path):
    source = place()
    put(source, "a", b"123")
    (tmp_path / "partial").mkdir()
    made = run.work(run.Job(run.INVENTORY, source, None, tmp_path / "partial", "one", 60))
    assert (made["objects"], made["bytes"], made["destination"]) == (1, 3, None)
    assert [entry.path for entry in read_list(tmp_path / "partial" / "artifacts.jsonl")] == ["a"]


# Faults


def test_a_busy_store(weed, make_bucket, options, tmp_path):
    name = make_bucket()
    for number in range(30):
        weed.client().put_object(Bucket=name, Key=f"f{number}", Body=b"x" * number)
    with faults.proxy(weed.url, busy=0.3) as proxy:
        source = Store(options(weed, name, endpoint_url=proxy.url))
        made = Backups(source, Folder(tmp_path / "copies"), tmp_path)("one")
    assert (made["objects"], made["copied"], made["vanished"]["count"]) == (30, 30, 0)


def test_tls_by_an_authority_of_ones_own(weed, make_bucket, options, tmp_path):
    file, context = faults.certificate(tmp_path)
    name = make_bucket()
    weed.client().put_object(Bucket=name, Key="a", Body=b"x")
    with faults.proxy(weed.url, context=context) as proxy:
        source = Store(options(weed, name, endpoint_url=proxy.url, ca_bundle=str(file)))
        assert Backups(source, Folder(tmp_path / "copies"), tmp_path)("one")["copied"] == 1


def test_a_store_that_goes_away_fails_with_one_sentence(weed, make_bucket, options, tmp_path):
    name = make_bucket()
    for number in range(5):
        weed.client().put_object(Bucket=name, Key=f"f{number}", Body=b"x")
    backups = Backups(None, Folder(tmp_path / "copies"), tmp_path)
    with faults.proxy(weed.url) as proxy:
        backups.source = Store(options(weed, name, endpoint_url=proxy.url, wait_timeout=1))

        def runner(argv, timeout, env):
            proxy.busy = 1.0
            return process.run(argv, 3, env)

        with pytest.raises(BackupError, match="Copying artifacts from .* did not end in time"):
            backups("one", runner=runner)
    backups.source = Store(options(weed, name))
    assert backups("two")["objects"] == 5


def test_a_disk_that_is_full(weed, place, tmp_path):
    source = place()
    put(source, "big", os.urandom(8 * MIB))
    copies = tmp_path / "copies"
    copies.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", copies], check=True)
    try:
        backups = Backups(source, Folder(copies), tmp_path)
        with pytest.raises(BackupError, match="No space left on device"):
            backups("one")
        assert not (copies / "current" / "big").exists()
        put(source, "big", b"small")
        assert backups("two")["copied"] == 1
    finally:
        subprocess.run(["umount", copies], check=True)


def test_secrets_reach_rclone_by_its_environment_only(place, tmp_path):
    source, destination = place(), place()
    put(source, "a", b"x")
    seen = []

    def runner(argv, timeout, env):
        seen.append((argv, {name for name, value in env.items() if "canary" in value}))
        return process.run(argv, timeout, env)

    backups = Backups(source, destination, tmp_path)
    made = backups("one", runner=runner)
    assert [argv[1] for argv, _names in seen] == ["copy", "hashsum"]
    assert all("canary" not in word for argv, _names in seen for word in argv)
    assert seen[0][1] == {"RCLONE_CONFIG_SRC_SECRET_ACCESS_KEY", "RCLONE_CONFIG_DST_SECRET_ACCESS_KEY"}
    assert "canary" not in json.dumps(made)


def test_ten_thousand_unchanged_objects_cost_no_more_than_rclones_own_look(weed, place, tmp_path):
    """1,000 of them here; the figures for 10,000 are those of a benchmark."""
    source = place()
    copy.side_by_side(lambda number: put(source, f"{number % 9}/{number}", b"x" * 200), range(1000))
    backups = Backups(source, Folder(tmp_path / "copies"), tmp_path)
    backups("one")
    env = {**os.environ, "RCLONE_CONFIG": "/notfound"}
    argv = ["rclone", "check", "--one-way"]
    for place_, tag in ((source, "SRC"), (backups.destination.below("current"), "DST")):
        settings, remote = place_.remote(tag)
        env.update(settings)
        argv.append(remote)
    seconds, floor = [], []
    for label in ("two", "three", "four"):
        began = time.monotonic()
        assert backups(label)["kept"] == 1000
        seconds.append(time.monotonic() - began)
        began = time.monotonic()
        subprocess.run(argv, env=env, check=True, capture_output=True)
        floor.append(time.monotonic() - began)
    assert min(seconds) <= 1.2 * min(floor) + 0.3, (seconds, floor)
