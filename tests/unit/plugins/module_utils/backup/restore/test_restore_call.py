# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import hashlib
import json
import os
import pathlib
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import dump, locks, manifest, postgres
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Entry, write_list
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import (
    call,
    hold,
    plan,
    rehearse,
    secrets_file,
    target,
)
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.job import Job
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.run import MissingArtifacts
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.tools import Files
from ansible_collections.mlops.stack.plugins.module_utils.backup.settings import S3, Place
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted

NOON = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.timezone.utc)
LOGIN = Login("db", password="s3cret")
SWAP = plan.Options(mode="swap")


@pytest.fixture(name="sets")
def fixture_sets(tmp_path):
    """A folder with the set L: its path."""
    folder = tmp_path / "sets"
    (folder / "L").mkdir(parents=True)
    (folder / "L/secrets.json").write_text('{"passphrase": "canary"}')
    write_list(folder / "L/artifacts.jsonl", [Entry("a", 1)])
    files = [
        {"path": path.name, "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in (folder / "L").iterdir()
    ]
    artifacts = {"mode": "copy", "objects": 1, "list_file": "artifacts.jsonl", "number": 1, "destination": "/none"}
    data = manifest.build(
        "L",
        NOON,
        NOON,
        host="h",
        postgres={"version_num": 170012},
        databases=[],
        files=files,
        verified={"level": "read", "at": "x"},
        artifacts=artifacts,
        versions={"mlflow": "3.17.2"},
    )
    manifest.write(folder / "L", data)
    return folder


class Server:
    """A server whose databases are these."""

    def __init__(self, **databases):
        self.found = {name: plan.Found(name, "mlflow", comment) for name, comment in databases.items()}
        self.dropped = []
        self.closed = False

    def databases(self):
        return self.found

    def drop(self, name):
        self.dropped.append(name)

    def close(self):
        self.closed = True


@pytest.fixture(name="restored")
def fixture_restored(monkeypatch):
    """What Restore was made of, as call and rehearse make it; ``answer`` is what it gives or raises."""
    answer = {"changed": True, "set": "L", "databases": [], "old_db": {}, "warnings": []}
    seen = types.SimpleNamespace(answer=answer, masks=[])

    class FakeRestore:
        def __init__(self, data, options, server, tools, progress, jobs):
            seen.data, seen.options, seen.server, seen.tools = data, options, server, tools
            seen.progress, seen.jobs = progress, jobs

        def __call__(self, check_mode=False):
            seen.check_mode = check_mode
            seen.masks.append(os.umask(0o077))
            with seen.progress.phase("load"):
                seen.wrote = seen.progress.path.exists()
            seen.artifacts = seen.tools.artifacts()
            if isinstance(seen.answer, BaseException):
                raise seen.answer
            return dict(seen.answer)

    monkeypatch.setattr(call, "Restore", FakeRestore)
    monkeypatch.setattr(rehearse, "Restore", FakeRestore)
    return seen


def job(sets=None, **more):
    options = more.pop("options", plan.Options())
    where = {"source": str(sets), "work_dir": str(sets)} if sets else {}
    return Job(LOGIN, options, **{**where, **more})


def restore(one, check_mode=False, server=None, store=None, **more):
    server = server or Server()
    seams = call.Seams(open_server=lambda login: server, open_store=lambda job: store)
    result = call.restore(one, check_mode, seams=seams, **more)
    assert server.closed
    return result


def test_a_set_in_a_folder(sets, restored):
    lines = []
    result = restore(job(sets, jobs=7), say=lines.append)
    assert (restored.data["label"], restored.jobs, restored.check_mode) == ("L", 7, False)
    assert (result["created"], result["versions"]) == ("2026-11-21T12:00:00Z", {"mlflow": "3.17.2"})
    assert result["secrets"] == {"present": True, "path": str(sets / "L/secrets.json")}
    assert "canary" not in json.dumps(result)
    assert restored.wrote and restored.masks == [0o077]
    assert lines == ["L: load"]
    assert sorted(path.name for path in sets.iterdir()) == [".lock", "L"]
    assert restored.artifacts is None


def test_a_damaged_list_is_one_clear_sentence(tmp_path):
    (tmp_path / "artifacts.jsonl").write_text("[]\n")
    data = {"label": "L", "artifacts": {"mode": "copy", "objects": 1, "list_file": "artifacts.jsonl"}}
    files = types.SimpleNamespace(fetch=lambda name: tmp_path / name)
    with pytest.raises(BackupError, match="The list of artifacts of the set L cannot be read: it is damaged or gone."):
        call.open_artifacts(job(tmp_path, live=Place(str(tmp_path))), data, tmp_path, files)


def test_check_mode_writes_nothing(sets, restored):
    one = job(sets, options=SWAP, secrets_dest=str(sets / "secret"), check_artifacts="none")
    result = restore(one, check_mode=True)
    assert (restored.check_mode, restored.wrote) == (True, False)
    assert sorted(path.name for path in sets.iterdir()) == ["L"]
    assert result["msg"].startswith("would restore the set L to ;")


@pytest.mark.parametrize("options", [SWAP, plan.Options()])
def test_a_restore_holds_the_lock_of_the_sets(sets, restored, options):
    held = []
    restored.answer = Interrupted("interrupted by SIGTERM")
    server = Server()
    server.close = lambda: held.append(locks.is_held(sets / ".lock"))
    one = job(sets, options=options, check_artifacts="none", lock_timeout=0)
    seams = call.Seams(open_server=lambda login: server)
    with pytest.raises(BackupError, match="The restore was interrupted by SIGTERM; every live database is whole"):
        call.restore(one, seams=seams)
    assert held == [True]
    assert not locks.is_held(sets / ".lock")
    with locks.held(sets, "a backup", "now", 0), pytest.raises(BackupError, match="a backup .* since now"):
        call.restore(one, seams=seams)


def test_errors_tell_no_secret(sets, restored):
    restored.answer = BackupError("refused s3cret", "load", stderr_tail="s3cret")
    with pytest.raises(BackupError) as caught:
        restore(job(sets))
    assert "s3cret" not in str(caught.value.result())
    for error, message in ((OSError(28, "No space left on device", "/x"), "/x: No space"), (OSError(5, "Bad"), "Bad")):
        restored.answer = error
        with pytest.raises(BackupError, match=message) as caught:
            restore(job(sets))
        assert caught.value.phase == "files"


class Remote:
    """A store with the set L; ``error`` is what its lease is refused with."""

    def __init__(self, sets, error=None):
        found = types.SimpleNamespace(label="L", manifest=manifest.read(sets / "L"), problems=[])
        self.store = types.SimpleNamespace(sets=lambda: [found], objects=types.SimpleNamespace(where="s3://b/"))
        self.error = error
        self.log = []

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.log.append("release")

    def hold(self, timeout):
        self.log.append(f"hold {timeout}")
        if self.error:
            raise self.error


def from_store(tmp_path, **more):
    return job(s3=S3("b", "key", "s3cret"), work_dir=str(tmp_path), lock_timeout=0, **more)


def test_a_set_in_a_store(sets, restored, tmp_path):
    store = Remote(sets)
    result = restore(from_store(tmp_path), store=store)
    assert restored.tools.files.store is store.store
    assert restored.tools.files.work.parent == tmp_path
    assert result["secrets"] == {"present": True, "path": None}
    assert [path.name for path in tmp_path.iterdir()] == ["sets"]
    assert (store.log, result["warnings"]) == (["hold 0", "release"], [])


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("stored", [True, False])
def test_the_newest_set_of_the_databases_that_are_asked_for(sets, tmp_path, stored, check_mode):
    options = plan.Options(databases=("mlflow",))
    one = from_store(tmp_path, options=options) if stored else job(sets, options=options)
    with pytest.raises(BackupError, match="No complete set in .* holds 'mlflow'; the newest one, L, holds no database"):
        call.restore(one, check_mode, seams=call.Seams(open_store=lambda job: Remote(sets)))


def test_check_mode_holds_nothing(sets, restored, tmp_path):
    (tmp_path / ".since").touch()
    store = Remote(sets)
    with locks.held(tmp_path, "a backup", "now", 0):
        restore(from_store(tmp_path), check_mode=True, store=store)
    assert store.log == ["release"]


def test_a_store_whose_lease_is_anothers(sets, restored, tmp_path):
    store = Remote(sets, BackupError("Another backup holds it.", "lock"))
    with pytest.raises(BackupError, match="Another backup holds it"):
        call.restore(from_store(tmp_path), seams=call.Seams(open_store=lambda job: store))


def test_a_key_that_may_not_write_is_good_enough(sets, restored, tmp_path):
    restored.answer["warnings"] = ["later"]
    result = restore(from_store(tmp_path), store=Remote(sets, BackupError("It has not this right.", "lease")))
    assert result["warnings"] == [
        "The sets in the store could not be locked, so see to it that no backup expires them meanwhile: It has not this"
        " right.",
        "later",
    ]


def test_a_backup_host_is_held_off_while_it_restores_out_of_a_store(sets, restored, tmp_path):
    (tmp_path / ".since").touch()
    store = Remote(sets)
    with locks.held(tmp_path, "a backup", "now", 0), pytest.raises(BackupError, match="a backup .* since now"):
        call.restore(from_store(tmp_path), seams=call.Seams(open_store=lambda job: store))
    # As backups do, which would wait for each other otherwise.
    assert store.log == ["release"]
    assert restore(from_store(tmp_path), store=store)["warnings"] == []


def test_a_folder_that_takes_no_lock_is_good_enough(sets, restored, monkeypatch):
    def refuse(path, *_arguments):
        raise BackupError(f"Nothing can be written to {path}: Read-only file system.", "write")

    monkeypatch.setattr(hold.locks, "held", refuse)
    assert "Read-only file system" in restore(job(sets))["warnings"][0]


@pytest.mark.parametrize(
    "source, wanted, work_dir, found",
    [
        ("plain", "latest", "plain", ["plain"]),
        ("plain", "latest", "used", ["plain", "used"]),
        ("used", "latest", "link", ["used"]),
        (None, "latest", "plain", []),
        (None, "latest", "new", ["new"]),
        (None, "used/L/", "plain", ["used"]),
        (None, "plain/L", "used", ["used"]),
        ("none", "latest", "none", []),
    ],
)
def test_folders_that_are_held(tmp_path, source, wanted, work_dir, found):
    for name, mark in (("plain", "x"), ("used", ".lock"), ("new", ".since")):
        (tmp_path / name).mkdir()
        (tmp_path / name / mark).touch()
    (tmp_path / "link").symlink_to("used")

    def below(name):
        return str(tmp_path / name)

    wanted = f"{tmp_path}/{wanted}" if "/" in wanted else wanted
    one = job(source=source and below(source), wanted=wanted, work_dir=below(work_dir))
    assert hold.folders(one) == [below(name) for name in found]


def test_secrets_are_written_where_they_are_asked_for(sets, restored, tmp_path):
    wanted = tmp_path / "secret"
    one = job(sets, secrets_dest=str(wanted))
    predicted = restore(one, check_mode=True)
    assert (predicted["changed"], wanted.exists()) == (True, False)
    assert predicted["msg"].endswith(f"; would write its file of secrets to {wanted}")
    result = restore(one)
    assert (result["changed"], result["msg"]) == (
        True,
        f"restored the set L to ; wrote its file of secrets to {wanted}",
    )
    assert result["secrets"] == {"present": True, "path": str(wanted)}
    assert result["diff"]["after"] == {str(wanted): "the set's file of secrets"}
    assert "canary" not in json.dumps(result)
    assert json.loads(wanted.read_text()) == {"passphrase": "canary"}
    assert wanted.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "sets"]


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_text("{}")])
def test_a_repeat_writes_secrets_that_are_not_there(sets, restored, tmp_path, spoil):
    wanted = tmp_path / "secret"
    one = job(sets, secrets_dest=str(wanted))
    restore(one)
    restored.answer = {**restored.answer, "changed": False}
    assert [restore(one, check_mode)["changed"] for check_mode in (True, False)] == [False, False]
    spoil(wanted)
    assert [restore(one, check_mode)["changed"] for check_mode in (True, False)] == [True, True]
    assert json.loads(wanted.read_text()) == {"passphrase": "canary"}
    wanted.chmod(0o644)
    result = restore(one)
    assert (result["changed"], wanted.stat().st_mode & 0o777) == (True, 0o600)
    assert result["msg"] == (
        f"the set L is there already; set force to restore it again; wrote its file of secrets to {wanted}"
    )


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(
    "dest, message",
    [
        ("no/such/file", "there is no folder /.*/no/such: make it, or name another file"),
        ("sets", "/.*/sets is a folder: name a file"),
        ("closed/file", "nothing can be written to the folder /.*/closed: allow it, or name another file"),
    ],
)
def test_secrets_that_cannot_be_written_are_told_before_anything_is_restored(
    sets, restored, tmp_path, monkeypatch, dest, message, check_mode
):
    (tmp_path / "closed").mkdir()
    # Root may write where nobody may.
    monkeypatch.setattr(secrets_file.os, "access", lambda path, _how: not path.endswith("closed"))
    with pytest.raises(BackupError, match=f"^secrets_dest: {message}[.]$") as caught:
        call.restore(job(sets, secrets_dest=str(tmp_path / dest)), check_mode)
    assert (caught.value.phase, caught.value.safe_to_retry) == ("options", False)
    assert not hasattr(restored, "data")


def test_secrets_of_a_set_that_has_none_need_no_place(sets):
    data = {**manifest.read(sets / "L"), "files": []}
    one = job(sets, secrets_dest="/no/such/file")
    secrets_file.check(one, Files(data, sets / "L"))
    assert secrets_file.keep(one, Files(data, sets / "L")) is False
    assert secrets_file.told(one, Files(data, sets / "L")) == {"present": False, "path": None}


def test_secrets_that_are_there_need_no_key(sets, restored, tmp_path, monkeypatch):
    one = job(sets, secrets_dest=str(tmp_path / "secret"))
    restore(one)
    files = Files(manifest.read(sets / "L"), sets / "L")
    monkeypatch.setattr(files, "fetch", lambda _name: pytest.fail("they were fetched again"))
    assert secrets_file.keep(one, files) is False


def test_secrets_that_are_damaged_are_written_nowhere(sets, restored, tmp_path):
    wanted = tmp_path / "secret"
    (sets / "L/secrets.json").write_text('{"passphrase": "Canary"}')
    with pytest.raises(BackupError, match="The set L is damaged: secrets.json is not what its hash") as caught:
        restore(job(sets, secrets_dest=str(wanted)))
    assert "anary" not in str(caught.value.result())
    assert not wanted.exists()


def test_a_disk_that_takes_no_secrets_after_all(sets, restored, tmp_path, monkeypatch):
    def full(_path, _target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "replace", full)
    with pytest.raises(
        BackupError, match="The set L is in place, but .* written to .*/secret .No space.* run the task"
    ) as caught:
        call.restore(
            job(sets, secrets_dest=str(tmp_path / "secret")), seams=call.Seams(open_server=lambda login: Server())
        )
    assert (caught.value.phase, caught.value.safe_to_retry) == ("secrets", True)
    assert [path.name for path in tmp_path.iterdir()] == ["sets"]


def test_a_decrypted_secret_is_no_path_that_lasts(sets):
    files = Files(manifest.read(sets / "L"), sets / "L", work=sets)
    assert secrets_file.told(job(sets), files) == {"present": True, "path": None}


def outcome(action="replace", old="mlflow__old_L", changed=True):
    one = {"target": "mlflow", "action": action, "old_db": old, "tables": 2, "rows": 7}
    return {"changed": changed, "set": "L", "databases": [one], "old_db": {"mlflow": old} if old else {}}


def test_sentences_and_diffs():
    assert call.sentence(outcome(), False) == "restored the set L to mlflow; the database before it is mlflow__old_L"
    assert call.sentence(outcome(), True) == "would restore the set L to mlflow"
    assert call.sentence(outcome("nothing", None, False), True) == (
        "the set L is there already; set force to restore it again"
    )
    assert call.diff(outcome()) == {
        "before": {"mlflow": "as it is"},
        "after": {"mlflow": "set L, 2 tables, 7 rows", "mlflow__old_L": "as it was"},
    }
    assert call.diff(outcome("create", None)) == {"before": {}, "after": {"mlflow": "set L, 2 tables, 7 rows"}}
    assert call.diff(outcome("nothing", None)) == {"before": {}, "after": {}}


@pytest.mark.parametrize("check_mode", [True, False])
def test_scratch_restores_are_dropped(check_mode):
    server = Server(a="mlops.stack scratch set L", b="mlops.stack set L")
    result = restore(job(absent=True, wanted="L"), check_mode, server)
    assert (result["changed"], server.dropped) == (True, [] if check_mode else ["a"])
    assert result["msg"] == ("would drop a" if check_mode else "dropped a")
    assert result["diff"] == {"before": {"a": "scratch restore"}, "after": {}}
    again = restore(job(absent=True, wanted="L"), check_mode, Server())
    assert (again["changed"], again["msg"]) == (False, "there is nothing to drop")


def test_artifacts_of_a_swap_need_their_place(sets, restored):
    with pytest.raises(BackupError, match="The set L names 1 artifacts: set artifacts.live"):
        restore(job(sets, options=SWAP))
    restore(job(sets, options=SWAP, check_artifacts="none"))
    assert restored.artifacts is None


def test_a_set_of_no_artifacts_needs_no_place(sets):
    data = manifest.read(sets / "L")
    data["artifacts"]["objects"] = 0
    assert call.open_artifacts(job(sets, options=SWAP), data, None, Files(data)) is None


def test_artifacts_are_opened(sets, restored, tmp_path):
    live = Place(path=str(tmp_path / "live"))
    options = plan.Options(mode="swap", force=True)
    restore(job(sets, options=options, live=live, check_artifacts="hash", timeout=60))
    found = restored.artifacts
    assert [entry.path for entry in found.entries] == ["a"]
    assert (found.number, found.label, found.level, found.force) == (1, "L", "hash", True)
    # The manifest says so, though there is nothing.
    assert (found.live.root, str(found.copies.root)) == (tmp_path / "live", "/none")
    assert found.mover.scratch.parent == sets
    (sets / "artifacts").mkdir()
    restore(job(sets, live=live))
    assert restored.artifacts.copies.root == sets / "artifacts"
    restore(job(sets, live=live, copies=Place(path="/copies")))
    assert str(restored.artifacts.copies.root) == "/copies"


@pytest.mark.parametrize(
    "mode, told, found",
    [("copy", True, True), ("copy", False, False), ("inventory", True, True), ("inventory", False, False)],
)
def test_copies_are_where_the_manifest_says(sets, tmp_path, mode, told, found):
    data = manifest.read(sets / "L")
    (tmp_path / "told").mkdir()
    data["artifacts"].update(mode=mode, destination=str(tmp_path / "told") if told else None)
    files = Files(data, sets / "L")
    one = job(wanted=str(sets / "L"), live=Place(path="/live"))
    opened = call.open_artifacts(one, data, tmp_path, files)
    assert (opened.copies is not None and opened.copies.root == tmp_path / "told") is found
    assert opened.number == (1 if mode == "copy" else None)


def add(sets, label, created, mode):
    data = manifest.read(sets / "L")
    data.update(label=label, created=created, files=[], artifacts={**data["artifacts"], "mode": mode})
    (sets / label).mkdir()
    manifest.write(sets / label, data)


def test_a_set_with_copies_is_the_remedy_for_one_without(sets, restored):
    add(sets, "old", "2026-11-20T12:00:00Z", "copy")
    add(sets, "listed", "2026-11-22T12:00:00Z", "inventory")
    restored.answer = MissingArtifacts("listed", ["a"])
    for wanted in ("listed", str(sets / "listed")):
        with pytest.raises(MissingArtifacts, match=r"only lists them; the newest one with copies of its own is L\.$"):
            restore(job(sets, wanted=wanted))


def test_a_set_that_lacks_copies_of_its_own_is_told_no_other(sets, restored):
    restored.answer = MissingArtifacts("L", ["a"])
    with pytest.raises(MissingArtifacts, match=r"restore without them\.$"):
        restore(job(sets, wanted="L"))
    assert call.with_copies({"artifacts": {"mode": "inventory"}}, []) == ""


def test_artifacts_of_a_set_that_names_none(sets):
    data = manifest.read(sets / "L")
    one = job(s3=S3("b", "k", "s"), live=Place(path="/live"))
    assert call.open_artifacts(one, {**data, "artifacts": None}, None, Files(data)) is None


def test_the_list_of_artifacts_is_fetched_in_check_mode_too(sets, tmp_path):
    data = manifest.read(sets / "L")

    def download(label, item, target):
        target.parent.mkdir(parents=True)
        target.write_bytes((sets / label / item["path"]).read_bytes())

    store = types.SimpleNamespace(download_file=download)
    one = job(s3=S3("b", "k", "s"), live=Place(path="/live"))
    found = call.open_artifacts(one, data, tmp_path, Files(data, store=store, work=tmp_path))
    assert [entry.path for entry in found.entries] == ["a"]


def test_the_world(monkeypatch, fake):
    monkeypatch.setattr(dump, "candidates", lambda: ["/17"])
    monkeypatch.setattr(dump, "find_tools", lambda folders: [dump.Tool(folders[0], 17, "17")])
    assert call.find_tools() == [dump.Tool("/17", 17, "17")]
    asked = []
    monkeypatch.setattr(postgres.Server, "identity", lambda self: asked.append(self.login))
    monkeypatch.setattr(postgres, "connect", lambda login, database: fake.connect(database))
    server = call.open_server(LOGIN)
    assert isinstance(server, target.Server)
    assert (asked, fake.connections[0].database) == ([LOGIN], "postgres")
    store = call.open_store(job(s3=S3("b", "k", "s", endpoint_url="http://127.0.0.1:1"), timeout=5)).store
    assert (store.objects.bucket, store.objects.timeout) == ("b", 5)


def test_a_rehearsal(sets, restored):
    data = {**manifest.read(sets / "L"), "encrypted": True}
    server = Server()
    tool = dump.Tool("/17", 17, "17")
    # The backup that asks for it holds the lock.
    with locks.held(sets, "a backup", "now", 0), locks.held(sets / "L", "a backup", "now", 0):
        assert rehearse.rehearse(LOGIN, sets / "L", data, tool, 3, 60, opener=lambda login: server)["set"] == "L"
    assert (restored.options.mode, restored.jobs, restored.tools.job.timeout) == ("rehearse", 3, 60)
    assert restored.tools.files.readable
    assert restored.tools.find_tools() == [tool]
    assert restored.artifacts is None
    assert server.closed and not restored.wrote
    assert not (sets / "L/progress.json").exists()
