# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import pathlib
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import extras, seal, settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import garbage
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import run as artifacts
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Entry, write_list
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Folder
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.store import Store
from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.folder import Found, list_sets
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import call, rehearse

S3 = settings.S3("b", "k", "s", endpoint_url="http://127.0.0.1:1")


def wanted(timeout=1, **given):
    return settings.Settings(settings.Sets(pathlib.Path("/sets"), timeout=timeout), Login("db"), **given)


@pytest.mark.parametrize(
    ("place", "mode", "dest", "told", "found"),
    [
        (settings.Place("/given"), "inventory", "beside", None, "/given"),
        (settings.Place("/given"), "inventory", "beside", "/told", "/given"),
        (settings.Place("/given"), "copy", "beside", "/told", "/given"),
        (settings.Place(s3=S3), "copy", "beside", "/told", "{}/beside/artifacts"),
        (settings.Place(s3=S3), "copy", "other", "/told", "http://127.0.0.1:1 s3://b/"),
        (settings.Place(s3=S3), "copy", "beside", "https://s3 s3://b/", "http://127.0.0.1:1 s3://b/"),
        (None, "inventory", "beside", None, None),
        (None, "inventory", "beside", "/told", "{}/beside/artifacts"),
        (None, "inventory", "other", "/told", "/told"),
        (None, "copy", "beside", "/told", "{}/beside/artifacts"),
        (None, "copy", "other", "/told", "/told"),
        (None, "copy", None, "/told", "/told"),
        (None, "copy", "other", "https://s3 s3://b/", None),
        (None, "copy", None, None, None),
    ],
)
def test_where_copies_of_artifacts_are(tmp_path, place, mode, dest, told, found):
    (tmp_path / "beside/artifacts").mkdir(parents=True)
    opened = extras.open_copies(place, {"mode": mode, "destination": told}, dest and tmp_path / dest, 5, "option")
    assert (opened and opened.where) == (found and found.format(tmp_path))


def test_nothing_to_check():
    assert extras.Extras().check(wanted()) is None


def test_recipients_and_the_source_are_checked_first(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(seal, "check_recipients", seen.append)
    extras.Extras().check(wanted(encrypt_to=("age1x",)))
    assert seen == [("age1x",)]
    missing = settings.Artifacts("copy", settings.Place(str(tmp_path / "none")), settings.Place("/copies"))
    with pytest.raises(BackupError, match=r"correct artifacts\.source\.path"):
        extras.Extras().check(wanted(artifacts=missing))


def copying(source, destination):
    return wanted(artifacts=settings.Artifacts("copy", settings.Place(str(source)), destination))


def test_copies_that_cannot_be_are_told_first(tmp_path):
    for destination in (None, settings.Place("/copies")):
        extras.Extras().check(copying(tmp_path, destination))
    with pytest.raises(BackupError, match="lie in each other"):
        extras.Extras().check(copying(tmp_path, settings.Place(str(tmp_path / "copies"))))


def test_the_role_that_loads_is_tried_first(monkeypatch):
    seen = []

    def opener(login):
        if login.password is None:
            raise BackupError("It refuses the password of user mlops_restore.", "connect")
        return types.SimpleNamespace(close=lambda: seen.append(login.user))

    monkeypatch.setattr(call, "open_server", opener)
    extras.Extras().check(wanted(restore_login=Login("db", user="mlops_restore", password="right")))
    assert seen == ["mlops_restore"]
    with pytest.raises(BackupError, match=r"user mlops_restore\. With verify=restore, correct restore_user or"):
        extras.Extras().check(wanted(restore_login=Login("db", user="mlops_restore")))


@pytest.mark.parametrize(
    ("mode", "destination"), [("inventory", None), ("inventory", settings.Place("/c")), ("copy", settings.Place("/c"))]
)
def test_artifacts_go_where_they_should(monkeypatch, mode, destination):
    seen = []
    monkeypatch.setattr(artifacts, "work", lambda job: seen.append(job) or {"mode": job.mode})
    given = wanted(artifacts=settings.Artifacts(mode, settings.Place(s3=S3), destination), timeout=7)
    assert extras.Extras().artifacts(given, "one", "/partial", print) == {"mode": mode}
    job = seen[0]
    assert isinstance(job.source, Store)
    assert (job.label, job.partial, job.timeout, job.progress) == ("one", "/partial", 7, print)
    assert isinstance(job.destination, Folder) if destination else job.destination is None


def test_only_copies_that_may_be_deleted_are(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(garbage, "collect", lambda place, labels, listed: seen.append((place.where, labels, listed)))
    source = settings.Place("/artifacts")
    for destination in (None, settings.Place(s3=S3), settings.Place(str(tmp_path))):
        extras.Extras().collect(wanted(artifacts=settings.Artifacts("copy", source, destination)), [found_set("a")])
    assert seen == [(str(tmp_path), {"a"}, [])]


def found_set(label, path="/none", **told):
    return Found(label, path, {"artifacts": told or None}, [], 0)


def test_the_entries_of_sets_that_were_only_listed(tmp_path):
    told = {"mode": "inventory", "destination": "/copies"}
    write_list(tmp_path / "artifacts.jsonl", [Entry("a", 1)])
    copied = found_set("copied", mode="copy", destination="/copies")
    meant = found_set("meant", mode="inventory", destination=None)
    here, there = found_set("listed", tmp_path, **told), found_set("listed", "http://s3 s3://b/listed", **told)
    unfinished = Found("unfinished", "/none", None, ["it has no manifest"], 0, unfinished=True)
    assert extras.listed_entries([copied, meant, unfinished]) == []
    for sets in ([here, there], [there, here]):
        assert extras.listed_entries([copied, *sets]) == [Entry("a", 1)]
    with pytest.raises(BackupError, match="set listed could only be listed, and their list cannot be read here"):
        extras.listed_entries([there])
    (tmp_path / "artifacts.jsonl").write_text("no list")
    with pytest.raises(BackupError, match="cannot be read here"):
        extras.listed_entries([here])


@pytest.mark.parametrize("content", [None, "no manifest", '{"schema": 1}'])
def test_nothing_is_deleted_when_it_is_not_known_what_a_set_refers_to(monkeypatch, tmp_path, content):
    collected = []
    monkeypatch.setattr(garbage, "collect", lambda *_arguments: collected.append(1))
    (tmp_path / "a").mkdir()
    if content:
        (tmp_path / "a/manifest.json").write_text(content)
    given = wanted(artifacts=settings.Artifacts("copy", settings.Place("/source"), settings.Place(str(tmp_path))))
    # One without a manifest was removed by half, and nobody can restore it.
    message = "it is not known which artifacts the set .*/a refers to: The manifest"
    with pytest.raises(BackupError, match=message) if content else contextlib.nullcontext():
        extras.Extras().collect(given, list_sets(tmp_path))
    assert collected == ([] if content else [1])


def test_encryption_and_the_rehearsal_are_handed_on(monkeypatch):
    seen = []
    monkeypatch.setattr(seal, "encrypt", lambda *arguments: seen.append(arguments))
    monkeypatch.setattr(rehearse, "rehearse", lambda *arguments: seen.append(arguments))
    login = Login("db", user="mlops_restore")
    given = wanted(encrypt_to=("age1x",), restore_login=login, jobs=3, timeout=7)
    extras.Extras().seal(given, "/partial", ["a"])
    extras.Extras().rehearse(given, "/partial", {"label": "one"}, "tool", "progress")
    assert seen == [
        ("/partial", ["a"], ("age1x",), 7),
        (login, "/partial", {"label": "one"}, "tool", 3, 7, "progress"),
    ]
