# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import pathlib
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import folder as folder_module
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import listing
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Folder, Gone
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.store import Store
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.objects import Objects
from memory_s3 import MemoryS3, failure

MD5 = hashlib.md5(b"content").hexdigest()
SHA256 = hashlib.sha256(b"content").hexdigest()


@pytest.fixture
def s3():
    return MemoryS3()


@pytest.fixture
def store(s3):
    options = types.SimpleNamespace(
        bucket="b", prefix="p", endpoint_url=None, region=None, ca_bundle="/ca.pem", access_key="a", secret_key="s"
    )
    return Store(options, Objects(s3, "b", "p", "http://store", clock=s3.clock, sleep=s3.clock.sleep))


@pytest.fixture(params=["folder", "store"])
def place(request, tmp_path):
    if request.param == "folder":
        (tmp_path / "root").mkdir()
        return Folder(tmp_path / "root")
    return request.getfixturevalue("store")


# Both kinds


def test_what_is_written_is_there(place):
    assert list(place.list()) == []
    place.check()
    place.write("a/b", [b"con", b"tent"])
    place.write("c", [])
    listed = {name: facts for name, *facts in place.list()}
    assert {name: facts[0] for name, facts in listed.items()} == {"a/b": 7, "c": 0}
    assert place.find("a/b") == tuple(listed["a/b"][:3])
    assert place.find("x") is None
    assert b"".join(place.read("a/b")) == b"content"
    assert place.digests("a/b") == (7, SHA256, MD5)
    assert place.digests("x") is None
    with pytest.raises(Gone):
        list(place.read("x"))
    assert list(place.below("a").list())[0][:2] == ("b", 7)
    assert place.names("a/none") == []
    assert place.where in place.below("a").where


def test_what_is_set_aside_is_kept(place):
    place.write("current/a/b", [b"content"])
    place.set_aside("current/a/b", "replaced/000001-x/a/b")
    place.clear("current/a")
    assert place.names("replaced") == ["000001-x"]
    assert place.digests("replaced/000001-x/a/b")[1] == SHA256
    place.delete("replaced/000001-x/a/b")
    assert place.find("replaced/000001-x/a/b") is None
    place.delete("replaced/000001-x/a/b")
    place.settle()


# Folders


def test_time_to_the_nanosecond():
    assert folder_module.moment(1_800_000_000_000_000_007) == "2027-01-15T08:00:00.000000007Z"


def test_a_folders_remote(tmp_path):
    settings, remote = Folder(tmp_path).remote("SRC")
    assert remote == f"SRC:{tmp_path}"
    assert settings["RCLONE_CONFIG_SRC_TYPE"] == "local"


def test_a_folder_that_is_not_there(tmp_path):
    place = Folder(tmp_path / "none", "artifacts.source.path")
    with pytest.raises(BackupError, match=r"no folder .*none: correct artifacts.source.path"):
        place.check()
    assert list(place.list()) == []


def test_what_is_no_file_is_told(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to("/etc")
    os.mkfifo(tmp_path / "fifo")
    place = Folder(tmp_path)
    assert list(place.list()) == []
    assert sorted(place.skipped) == ["a/link", "fifo"]


def test_files_that_go_while_they_are_listed(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    for name in ("a/x", "b", "c"):
        (tmp_path / name).write_text(name)
    scandir = os.scandir

    class Scanned:
        """A scan whose files go while it is read, as those of an experiment that is deleted."""

        def __init__(self, path):
            with scandir(path) as items:
                self.items = list(items)

        def __enter__(self):
            (tmp_path / "a" / "x").unlink(missing_ok=True)
            if (tmp_path / "a").exists():
                (tmp_path / "a").rmdir()
            (tmp_path / "b").unlink(missing_ok=True)
            return iter(self.items)

        def __exit__(self, *_error):
            pass

    monkeypatch.setattr(folder_module.os, "scandir", Scanned)
    assert [name for name, *_facts in Folder(tmp_path).list()] == ["c"]


def fail(*_arguments, **_options):
    raise PermissionError(13, "Permission denied", b"/some/file")


def test_a_folder_that_cannot_be_read_or_written(tmp_path, monkeypatch):
    place = Folder(tmp_path, "artifacts.destination.path")
    (tmp_path / "a").write_text("a")
    with pytest.raises(BackupError, match="Moving .*none failed"):
        place.set_aside("none", "b")
    with monkeypatch.context() as patch:
        patch.setattr(folder_module.os, "scandir", fail)
        with pytest.raises(BackupError, match=r"Reading /some/file failed \(Permission denied\): check artifacts"):
            list(place.list())
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "open", fail, raising=False)
        with pytest.raises(BackupError, match="Reading /some/file"):
            list(place.read("a"))
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "open", fail)
        with pytest.raises(BackupError, match="Writing /some/file"):
            place.write("c", [b""])


def test_a_file_that_could_not_be_written_whole_is_not_there(tmp_path):
    place = Folder(tmp_path)

    def chunks():
        yield b"half"
        raise Gone("x")

    with pytest.raises(Gone):
        place.write("a", chunks())
    assert list(place.list()) == []


def test_a_file_that_becomes_a_folder(tmp_path):
    place = Folder(tmp_path)
    place.write("a", [b""])
    assert place.find("a/b") is None
    with pytest.raises(Gone):
        list(place.read("a/b"))


def test_delete_leaves_no_empty_folders(tmp_path):
    place = Folder(tmp_path)
    place.write("a/b/c", [b""])
    place.write("a/d", [b""])
    place.delete("a/b/c")
    assert (tmp_path / "a").exists()
    assert not (tmp_path / "a" / "b").exists()
    place.delete("a/d")
    assert not (tmp_path / "a").exists()
    assert tmp_path.exists()


# Stores


def test_a_stores_remote(store):
    settings, remote = store.remote("DST")
    assert remote == "DST:b/p"
    assert settings["RCLONE_CONFIG_DST_ENDPOINT"] == "https://s3.amazonaws.com"
    assert settings["RCLONE_CONFIG_DST_REGION"] == "us-east-1"
    assert settings["RCLONE_CONFIG_DST_SECRET_ACCESS_KEY"] == "s"


def test_a_store_that_may_not_be_listed(store, s3):
    s3.errors["list_objects_v2"] = [failure("AccessDenied", 403)]
    with pytest.raises(BackupError, match="refused listing"):
        store.check()


def test_a_store_makes_its_own_client():
    options = types.SimpleNamespace(
        bucket="b",
        prefix="p",
        endpoint_url="http://127.0.0.1:1",
        region=None,
        ca_bundle=None,
        access_key="a",
        secret_key="s",
    )
    store = Store(options, timeout=5, option="artifacts.source")
    assert (store.where, store.objects.timeout) == ("http://127.0.0.1:1 s3://b/p/", 5)
    assert store.objects.option == "artifacts.source"


def test_versions(store, s3):
    store.write("a", [b"x"])
    assert [version for *_facts, version in store.list()] == [None]
    s3.versioning = "Enabled"
    assert [(entry[0], entry[-1]) for entry in store.list()] == [("a", "v2")]


# Listing


def test_list_source(place, tmp_path):
    place.write("a", [b"content"])
    place.write("a\nb", [b""])
    entries = {entry.path: entry for entry in listing.list_source(place)}
    assert entries["a"].size == 7
    assert entries["a"].copy is None
    assert entries["a\nb"].copy.startswith(".mlops-stack-names/")
    assert listing.list_copies(place)["a"][0] == 7
    with pytest.raises(BackupError, match="no folder"):
        listing.list_source(Folder(tmp_path / "none"))


def test_numbers(place):
    assert listing.numbered(["000012-x", "000003-y-z", "x", "-x", "7", "v1-x"]) == {12: "000012-x", 3: "000003-y-z"}
    assert listing.next_number(place) == 1
    assert listing.next_number(place, 4) == 5
    place.write("lists/000007-x/artifacts.jsonl.gz", [b""])
    assert listing.next_number(place) == 8
    place.write("replaced/000009-y/a", [b""])
    assert listing.next_number(place) == 10
