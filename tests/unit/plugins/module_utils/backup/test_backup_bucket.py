# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import threading
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import bucket
from ansible_collections.mlops.stack.plugins.module_utils.backup.bucket import SetStore, compare, sample
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.objects import Objects
from ansible_collections.mlops.stack.plugins.module_utils.backup.remote import Remote
from memory_s3 import MemoryS3, failure

LABEL = "20261121T120000Z-9f3a"
CONTENT = {"globals.sql": b"roles", "databases/mlflow/toc.dat": b"toc", "databases/mlflow/1.dat": b"rows" * 10}


@pytest.fixture
def s3():
    return MemoryS3()


@pytest.fixture
def store(s3):
    return SetStore(Objects(s3, "b", "sets", "http://store", clock=s3.clock, sleep=s3.clock.sleep))


@pytest.fixture
def made(tmp_path, manifest_for):
    """A set in a folder: (the folder, its manifest)."""
    files = []
    for name, body in CONTENT.items():
        path = tmp_path / LABEL / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        files.append({"path": name, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()})
    manifest = manifest_for(LABEL, files=files)
    (tmp_path / LABEL / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / LABEL, manifest


def keys(s3):
    return {key.removeprefix(f"sets/{LABEL}/") for key in s3.objects}


def test_sample():
    files = [{"path": name} for name in ("a/toc.dat", "b/toc.dat.age", "1", "2", "3", "4")]
    chosen = sample(files, "seed")
    assert chosen[:2] == files[:2]
    assert len(chosen) == 4
    assert sample(files[::-1], "seed")[2:] == chosen[2:]
    assert len({tuple(item["path"] for item in sample(files, str(seed))) for seed in range(20)}) > 1
    assert sample([], "seed") == []


def test_compare():
    files = [{"path": "a", "size": 1}, {"path": "b", "size": 2}, {"path": "c", "size": 3}]
    assert compare(files, {"a": 1, "b": 2, "c": 3, "more": 9}) == []
    assert compare(files, {"a": 1, "b": 1}) == ["b has 1 bytes instead of 2", "c is missing"]


def test_connect():
    keys = {"access_key": "a", "secret_key": "s"}
    s3 = types.SimpleNamespace(
        bucket="b", prefix=None, endpoint_url="http://127.0.0.1:1", region=None, ca_bundle=None, **keys
    )
    objects = bucket.connect(s3, 60, "artifacts.source")
    assert objects.where == "http://127.0.0.1:1 s3://b/"
    assert (objects.timeout, objects.option, objects.store.wait_timeout) == (60, "artifacts.source", 60)
    s3.endpoint_url = None
    s3.wait_timeout = 5
    objects = bucket.connect(s3)
    assert objects.where == "https://s3.amazonaws.com s3://b/"
    assert objects.store.wait_timeout == 5
    s3.endpoint_url = "no url"
    with pytest.raises(BackupError, match="endpoint_url") as caught:
        bucket.connect(s3)
    assert not caught.value.safe_to_retry


def test_a_set_goes_up_and_comes_back(store, s3, made, tmp_path):
    folder, manifest = made
    store.upload_set(folder, manifest)
    assert keys(s3) == {*CONTENT, "manifest.json"}
    writes = [call["Key"] for call in s3.named("put_object")]
    assert writes[-1] == f"sets/{LABEL}/manifest.json"
    found = store.look(LABEL)
    assert found.complete
    assert found.manifest == manifest
    assert [one.label for one in store.sets()] == [LABEL]
    assert store.verify_set(LABEL) == []

    told = []
    back = tmp_path / "back"
    assert store.download_set(LABEL, back, lambda done, total: told.append((done, total))) == manifest
    assert {name: (back / name).read_bytes() for name in CONTENT} == CONTENT
    assert (back / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()
    assert told[-1] == (48, 48)
    store.download_set(LABEL, tmp_path / "quiet")
    one = manifest["files"][0]
    store.download_file(LABEL, one, tmp_path / "alone/file")
    assert (tmp_path / "alone/file").read_bytes() == CONTENT[one["path"]]

    store.remove_set(LABEL)
    deleted = [call["Key"] for call in s3.named("delete_object")]
    assert deleted[0] == f"sets/{LABEL}/manifest.json"
    assert s3.objects == {}


def test_sets_are_looked_at_side_by_side(store, s3, made):
    store.upload_set(*made)
    labels = [f"set{number}" for number in range(bucket.LOOKS)]
    for label in labels:
        store.objects.put(f"{label}/globals.sql", b"roles")
    all_at_once = threading.Barrier(bucket.LOOKS, timeout=30)
    listed = s3.list_objects_v2

    def wait(**arguments):
        if "set" in arguments["Prefix"].removeprefix("sets/"):
            all_at_once.wait()
        return listed(**arguments)

    s3.list_objects_v2 = wait
    assert [(one.label, one.complete) for one in store.sets()] == [(LABEL, True), *((label, False) for label in labels)]


def test_each_use_of_a_store_has_its_own_time(s3, made):
    store = Remote(None, 10, lambda _s3, timeout: Objects(s3, "b", timeout=timeout, clock=s3.clock))
    for use in (store.sets, lambda: store.upload(*made, None), store.sweep, lambda: store.remove(LABEL)):
        # A dump took its time before.
        s3.clock.sleep(11)
        use()
    s3.clock.sleep(11)
    assert store.verify(LABEL) == ["it has no manifest: its upload did not end"]


def test_what_is_no_set_is_none(store, s3):
    store.objects.put("artifacts/current/x", b"")
    store.objects.put("lease.json", b"")
    assert store.labels() == []
    store.objects.put(f"{LABEL}/globals.sql", b"roles")
    found = store.sets()
    assert [(one.label, one.complete, one.bytes) for one in found] == [(LABEL, False, 5)]
    assert found[0].problems == ["it has no manifest: its upload did not end"]
    assert store.verify_set(LABEL) == found[0].problems
    # SeaweedFS lists the folder of a set that was removed.
    store.labels = lambda: [LABEL, "gone"]
    assert [one.label for one in store.sets()] == [LABEL]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is no object"),
        (b'{"schema": 2}', "schema 2"),
    ],
)
def test_a_manifest_that_is_none(store, body, says, tmp_path):
    store.objects.put(f"{LABEL}/manifest.json", body)
    found = store.look(LABEL)
    assert not found.complete
    assert says in found.problems[0]
    with pytest.raises(BackupError, match=says):
        store.download_set(LABEL, tmp_path / "back")


def test_the_manifest_of_another_set(store, s3, made):
    store.upload_set(*made)
    s3.objects["sets/other/manifest.json"] = s3.objects[f"sets/{LABEL}/manifest.json"]
    assert f"is that of the set {LABEL}" in store.look("other").problems[0]


def test_an_upload_is_taken_up(store, s3, made):
    folder, manifest = made
    s3.errors["put_object"] = [None, failure("AccessDenied", 403), None]
    with pytest.raises(BackupError):
        store.upload_set(folder, manifest)
    before = keys(s3)
    assert before < set(CONTENT)
    store.objects.put(f"{LABEL}/databases/mlflow/toc.dat", b"ToC")
    s3.calls.clear()
    store.upload_set(folder, manifest)
    written = {call["Key"].removeprefix(f"sets/{LABEL}/") for call in s3.named("put_object")}
    assert written == {*CONTENT, "manifest.json"} - (before - {"databases/mlflow/toc.dat"})
    assert store.verify_set(LABEL) == []


def test_a_set_that_lost_objects_gets_them_back_and_nothing_else(store, s3, made):
    store.upload_set(*made)
    del s3.objects[f"sets/{LABEL}/globals.sql"]
    s3.objects[f"sets/{LABEL}/databases/mlflow/1.dat"].body = b"ro"
    s3.calls.clear()
    store.upload_set(*made)
    written = {call["Key"].removeprefix(f"sets/{LABEL}/") for call in s3.named("put_object")}
    assert written == {"globals.sql", "databases/mlflow/1.dat"}
    assert store.verify_set(LABEL) == []


def test_another_set_of_the_same_label_is_refused(store, s3, made):
    folder, manifest = made
    store.upload_set(folder, manifest)
    before = s3.bodies_of()
    (folder / "manifest.json").write_text(json.dumps({**manifest, "host": "other"}))
    with pytest.raises(BackupError, match="is there already: choose another label") as caught:
        store.upload_set(folder, manifest)
    assert not caught.value.safe_to_retry
    assert s3.bodies_of() == before


def test_what_does_not_read_back_gets_no_manifest(store, s3, made):
    folder, manifest = made
    upload = bucket.upload_all

    def flip(there, *arguments):
        upload(there, *arguments)
        s3.objects[f"sets/{LABEL}/databases/mlflow/toc.dat"].body = b"tOc"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket, "upload_all", flip)
        with pytest.raises(BackupError, match=r"toc.dat is damaged: its sha256 is"):
            store.upload_set(folder, manifest)
    assert "manifest.json" not in keys(s3)


def test_a_manifest_that_does_not_read_back(store, s3, made, monkeypatch):
    get = Objects.get

    def other(self, name, phase):
        return (b"other", {}) if "manifest" in name else get(self, name, phase)

    monkeypatch.setattr(Objects, "get", other)
    with pytest.raises(BackupError, match="reads back as something else"):
        store.upload_set(*made)


def test_damage_is_named(store, s3, made, tmp_path):
    store.upload_set(*made)
    s3.objects[f"sets/{LABEL}/globals.sql"].body = b"ROLES"
    problems = store.verify_set(LABEL)
    assert len(problems) == 1
    assert problems[0].startswith("globals.sql is damaged")
    with pytest.raises(BackupError, match=r"globals.sql is damaged: it is not what") as caught:
        store.download_set(LABEL, tmp_path / "back")
    assert not caught.value.safe_to_retry
    assert not (tmp_path / "back" / "globals.sql").exists()
    del s3.objects[f"sets/{LABEL}/globals.sql"]
    assert store.look(LABEL).problems == ["globals.sql is missing"]
    assert store.verify_set(LABEL) == ["globals.sql is missing"]
    with pytest.raises(BackupError, match=r"globals.sql is missing; restore another set"):
        store.download_set(LABEL, tmp_path / "again")
    with pytest.raises(BackupError, match="no complete set none"):
        store.download_set("none", tmp_path / "none")


def test_a_file_that_cannot_be_read_is_told_apart_from_a_store(store, s3, made):
    store.upload_set(*made)
    s3.errors["head_object"] = [failure("InvalidRequest", 400)]
    problems = store.verify_set(LABEL)
    assert len(problems) == 1
    assert problems[0].startswith("globals.sql cannot be read: ")
    s3.errors["head_object"] = [failure("AccessDenied", 403)]
    s3.errors["get_object"] = [None, failure("AccessDenied", 403)]
    with pytest.raises(BackupError, match="reading 20261121T120000Z-9f3a/manifest.json"):
        store.verify_set(LABEL)


def test_sweep(store, s3):
    store.objects.call("create_multipart_upload", "x", "x", Key="sets/x", Metadata={})
    next(iter(s3.uploads.values())).stamp = next(iter(s3.uploads.values())).stamp.replace(year=2020)
    assert store.sweep() == 1
    assert s3.uploads == {}
