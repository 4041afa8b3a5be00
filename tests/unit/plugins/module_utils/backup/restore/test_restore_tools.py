# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import pathlib
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import seal
from ansible_collections.mlops.stack.plugins.module_utils.backup.dump import Tool
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import plan, tools
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.job import Job
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.tools import Files, Tools
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result

TOC = "databases/mlflow/toc.dat"
CONTENT = {TOC: b"PGDMP...", "databases/mlflow/1.dat": b"rows", "secrets.json": b"{}"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(name="make_set")
def fixture_make_set(tmp_path):
    """A function that writes a set: its manifest. What is sealed here is turned around."""

    def make(folder=None, sealed=False):
        files = []
        for name, content in CONTENT.items():
            written, path = (content[::-1], name + ".age") if sealed else (content, name)
            target = (folder or tmp_path / "set") / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(written)
            more = {"plain_sha256": sha256(content)} if sealed else {}
            files.append({"path": path, "size": len(written), "sha256": sha256(written), **more})
        return {"label": "L", "encrypted": sealed, "files": files, "databases": [{"name": "mlflow"}]}

    return make


def test_files_of_a_folder(make_set, tmp_path):
    files = Files(make_set(), tmp_path / "set")
    files.verify()
    files.verify(check_mode=True)
    files.check_archive("mlflow")
    assert files.archive("mlflow") == tmp_path / "set/databases/mlflow"
    assert files.path("secrets.json") == tmp_path / "set/secrets.json"
    assert files.path("globals.sql") is None
    assert (files.holds("secrets.json"), files.holds("secrets")) == (True, False)


@pytest.mark.parametrize("spoiled", [1, 4])
def test_damaged_files_are_named(make_set, tmp_path, spoiled):
    data = make_set()
    data["files"] += [{"path": f"more{number}", "size": 1, "sha256": "0" * 64} for number in range(spoiled - 1)]
    (tmp_path / "set" / TOC).write_bytes(b"PGDMP..!")
    with pytest.raises(BackupError, match=f"The set L is damaged: {TOC} is damaged: its sha256 is") as caught:
        Files(data, tmp_path / "set").verify()
    assert caught.value.message.endswith("; …. Restore another set.") is (spoiled > 3)
    assert (caught.value.phase, caught.value.safe_to_retry) == ("hash", False)


def test_a_dump_whose_hash_was_not_compared_is_refused(make_set, tmp_path):
    data = make_set()
    data["files"] = data["files"][1:]
    with pytest.raises(BackupError, match=f"its manifest does not name {TOC}"):
        Files(data, tmp_path / "set").check_archive("mlflow")
    data = make_set()
    (tmp_path / "set" / TOC).write_bytes(b"no archive")
    with pytest.raises(BackupError, match="is no archive of pg_dump"):
        Files(data, tmp_path / "set").check_archive("mlflow")


class Store:
    """A store with one set."""

    def __init__(self, make_set, sealed=False, problems=()):
        self.make_set = make_set
        self.sealed = sealed
        self.problems = list(problems)
        self.asked = []

    def look(self, label):
        return types.SimpleNamespace(problems=self.problems, label=label)

    def download_set(self, label, folder, progress):
        assert (label, progress) == ("L", None)
        self.make_set(folder, self.sealed)

    def download_file(self, label, item, target):
        assert label == "L"
        self.asked.append(item["path"])
        content = CONTENT[item["path"].removesuffix(".age")]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content[::-1] if self.sealed else content)


def test_files_of_a_store_are_fetched(make_set, tmp_path):
    data = make_set(tmp_path / "other")
    files = Files(data, None, Store(make_set), tmp_path / "work")
    assert files.path("secrets.json") is None
    files.check_archive("mlflow")
    files.verify()
    assert files.path("secrets.json") == tmp_path / "work/set/secrets.json"


def test_in_check_mode_nothing_is_fetched_but_single_files(make_set, tmp_path):
    data = make_set(tmp_path / "other")
    store = Store(make_set)
    files = Files(data, None, store, tmp_path / "work")
    files.verify(check_mode=True)
    assert (files.folder, (tmp_path / "work").exists()) == (None, False)
    for _time in range(2):
        assert files.fetch("secrets.json").read_bytes() == CONTENT["secrets.json"]
    assert files.fetch("globals.sql") is None
    assert store.asked == ["secrets.json"]
    assert files.readable is False
    with pytest.raises(BackupError, match="toc.dat is missing"):
        Files(data, None, Store(make_set, problems=["toc.dat is missing"])).verify(check_mode=True)


@pytest.fixture(name="age")
def fixture_age(monkeypatch):
    """What age does here: turn files around."""
    spoil = []

    def decrypt(folder, names, identity_file, timeout):
        assert (identity_file, timeout) == ("/identity", 60)
        for name in names:
            plain = (folder / name).read_bytes()[::-1]
            (folder / name).unlink()
            (folder / name[: -len(".age")]).write_bytes(plain + b"?" if spoil else plain)

    monkeypatch.setattr(seal, "decrypt", decrypt)
    return spoil


@pytest.mark.parametrize("stored", [False, True])
def test_an_encrypted_set_is_decrypted_elsewhere(make_set, tmp_path, age, stored):
    folder = tmp_path / "set"
    data = make_set(folder, sealed=True)
    place = (None, Store(make_set, sealed=True)) if stored else (folder, None)
    files = Files(data, *place, tmp_path / "work", "/identity", 60)
    assert (files.readable, files.path("secrets.json"), files.holds("secrets.json")) == (False, None, True)
    files.check_archive("mlflow")
    files.verify()
    files.check_archive("mlflow")
    assert files.path("secrets.json") == tmp_path / "work/plain/secrets.json"
    assert (tmp_path / "work/plain" / TOC).read_bytes() == CONTENT[TOC]
    assert (folder / f"{TOC}.age").exists()


def test_what_is_not_what_was_encrypted(make_set, tmp_path, age):
    age.append("spoiled")
    files = Files(make_set(sealed=True), tmp_path / "set", None, tmp_path / "work", "/identity", 60)
    with pytest.raises(BackupError, match=f"{TOC} is not what was encrypted"):
        files.verify()
    assert files.readable is False


def test_an_encrypted_set_needs_its_identity(make_set, tmp_path):
    data = make_set(sealed=True)
    files = Files(data, tmp_path / "set")
    for use in (files.verify, lambda: files.fetch("secrets.json")):
        with pytest.raises(BackupError, match="The set L is encrypted: set identity_file"):
            use()


@pytest.mark.parametrize("sealed", [False, True])
def test_a_files_hash_is_that_before_any_encryption(make_set, tmp_path, sealed):
    assert Files(make_set(sealed=sealed), tmp_path / "set").sha256(TOC) == sha256(CONTENT[TOC])


@pytest.mark.parametrize("stored", [False, True])
def test_in_check_mode_the_smallest_file_tells_whether_the_identity_is_right(make_set, tmp_path, age, stored):
    folder = tmp_path / "set"
    data = make_set(folder, sealed=True)
    store = Store(make_set, sealed=True)
    place = (None, store) if stored else (folder, None)
    files = Files(data, *place, tmp_path / "work", "/identity", 60)
    files.verify(check_mode=True)
    assert [path.name for path in (tmp_path / "work").rglob("*") if path.is_file()] == ["secrets.json"]
    assert store.asked == (["secrets.json.age"] if stored else [])
    assert files.fetch("secrets.json").read_bytes() == CONTENT["secrets.json"]
    assert (folder / "secrets.json.age").exists() and files.readable is False
    age.append("spoiled")
    files = Files(data, *place, tmp_path / "again", "/identity", 60)
    with pytest.raises(BackupError, match="secrets.json is not what was encrypted"):
        files.verify(check_mode=True)


def make_tools(files, result=None, **job):
    calls = []

    def runner(argv, timeout, env=None, started=None):
        calls.append((argv, timeout, env))
        calls.append(pathlib.Path(env["PGPASSFILE"]).read_text())
        return result

    login = Login("db", 5433, "mlops_restore", "pa:ss")
    found = [Tool("/15", 15, "15.18"), Tool("/17", 17, "17.12")]
    one = Tools(Job(login, plan.Options(), timeout=99, **job), files, lambda: found, lambda files: "them", runner)
    return one, calls


def test_what_a_restore_knows_of_its_job():
    one = make_tools(None, stop_units=("mlflow.service",), work_dir="/work")[0]
    assert (one.stops_units, one.work_dir, make_tools(None)[0].stops_units) == (True, "/work", False)


def test_pg_restore_runs_with_its_password_in_a_file(make_set, tmp_path):
    files = Files(make_set(), tmp_path / "set")
    one, calls = make_tools(files, Result(0, "", "pg_restore: warning: w", False, 1.0))
    facts = {"name": "mlflow", "dump": {"dump_tool_version": "15.18"}}
    one.prepare([facts, {"name": "x"}, {"name": "y", "dump": {"dump_tool_version": "?"}}], 170012)
    one.verify([facts], False)
    assert one.load(facts, "mlflow__new_L", "owner", 3, lambda: None) == ["pg_restore: warning: w"]
    argv, timeout, env = calls[0]
    assert argv[0] == "/17/pg_restore"
    assert argv[2:] == [
        "--no-password",
        "--no-owner",
        "--role=owner",
        "--exit-on-error",
        "--jobs=3",
        f"{tmp_path}/set/databases/mlflow",
    ]
    assert timeout == 99
    assert (env["PGHOST"], env["PGPORT"], env["PGUSER"]) == ("db", "5433", "mlops_restore")
    assert calls[1] == "*:*:*:*:pa\\:ss\n"
    assert "pa:ss" not in str([argv, {name: value for name, value in env.items() if name != "PGPASSFILE"}])
    assert one.artifacts() == "them"


def test_pg_restore_that_fails(make_set, tmp_path):
    one, _calls = make_tools(Files(make_set(), tmp_path / "set"), Result(1, "", "No space left on device", False, 1.0))
    one.prepare([{"name": "mlflow"}], 170012)
    with pytest.raises(BackupError, match="Loading the set into 'd' failed: a disk is full"):
        one.load({"name": "mlflow"}, "d", "o", 1, lambda: None)


def test_secrets_in_force(make_set, tmp_path):
    data = {**make_set(), "databases": [{"name": "mlflow", "tables": {"public.secrets": 1}}]}
    files = Files(data, tmp_path / "set")
    (tmp_path / "set/secrets.json").write_text('{"mlflow_encryption_passphrase": "theirs"}')
    (tmp_path / "ours").write_text("ours\n")
    (tmp_path / "theirs").write_text("theirs\n")
    for name, number in (("ours", 1), ("theirs", 0)):
        given = {"mlflow_encryption_passphrase": str(tmp_path / name)}
        found = make_tools(files, secret_files=given)[0].secrets(data)
        assert len(found) == number
        assert not any("theirs" in sentence or " ours" in sentence for sentence in found)
    assert make_tools(files)[0].secrets(data) == []
    data["files"] = data["files"][:1]
    assert make_tools(files, secret_files=given)[0].secrets(data) == []


def test_progress_is_reported_now_and_then(make_set, tmp_path):
    one, _calls = make_tools(Files(make_set(), tmp_path / "set"), Result(0, "", "", False, 1.0))
    one.prepare([{"name": "mlflow"}], 170012)
    reports = []
    for times, expected in (([0.0, 1.9], 0), ([0.0, 2.0, 2.1], 1)):
        one.clock = iter(times).__next__
        one.load({"name": "mlflow"}, "d", "o", 1, lambda: reports.append(1))
        assert len(reports) == expected


def test_units(make_set, tmp_path):
    one, _calls = make_tools(Files(make_set(), tmp_path / "set"), stop_units=("mlflow",))
    assert one.units(print).names == ("mlflow",)


@pytest.mark.parametrize(
    "host, here",
    [
        ("", True),
        ("/var/run/postgresql", True),
        ("127.0.0.1", True),
        ("localhost", True),
        ("192.0.2.1", False),
        ("no-such-host.invalid", False),
    ],
)
def test_whether_a_server_is_on_this_host(monkeypatch, host, here):
    def resolve(name, port, type):
        known = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "192.0.2.1": "192.0.2.1"}
        if name not in known:
            raise OSError("no such host")
        return [(2, type, 6, "", (known[name], port))]

    monkeypatch.setattr(tools.socket, "getaddrinfo", resolve)
    assert tools.is_here(host) is here


def test_free_space(make_set, tmp_path):
    assert tools.free_bytes("/socket", str(tmp_path)) > 0
    assert tools.free_bytes("/socket", None, str(tmp_path)) > 0
    assert tools.free_bytes("/socket", None, str(tmp_path / "no")) is None
    one, _calls = make_tools(Files(make_set(), tmp_path / "set"))
    one.job = types.SimpleNamespace(login=Login("/socket"))
    assert one.free_bytes(str(tmp_path)) > 0


def test_no_free_space_is_known_of_another_host(monkeypatch, tmp_path):
    monkeypatch.setattr(tools, "is_here", lambda host: False)
    assert tools.free_bytes("elsewhere", str(tmp_path)) is None


@pytest.fixture(name="env")
def fixture_env(tmp_path):
    """A virtual environment with an MLflow that knows the revisions a and b, and x."""
    package = tmp_path / "env/lib/python3.11/site-packages/mlflow"
    for folder, revisions in (("store/db_migrations/versions", "ab"), ("server/auth/db/migrations/versions", "x")):
        (package / folder).mkdir(parents=True)
        down = None
        for revision in revisions:
            (package / folder / f"{revision}.py").write_text(f"revision = {revision!r}\ndown_revision = {down!r}\n")
            down = revision
    (package / "version.py").write_text('VERSION = "3.17.2"\n')
    (tmp_path / "env/bin").mkdir()
    (tmp_path / "env/bin/python").touch()
    return str(tmp_path / "env")


def test_a_schema_that_mlflow_does_not_know(env, make_set, tmp_path):
    known = {
        "databases": [{"name": "mlflow", "alembic": {"alembic_version": "a", "alembic_version_auth": "x", "e": ""}}]
    }
    newer = {"databases": [{"name": "mlflow", "alembic": {"alembic_version": "c"}}]}
    one, _calls = make_tools(Files(make_set(), tmp_path / "set"), mlflow_env=env)
    assert one.revisions(known) == []
    assert one.revisions(newer) == [
        f"The database mlflow of the set is at revision c, which MLflow 3.17.2 in {env} does not know: install the"
        " version that the set was made with, or a newer one."
    ]
    one, _calls = make_tools(Files(make_set(), tmp_path / "set"))
    assert one.revisions(newer) == []
    with pytest.raises(BackupError, match="mlflow_env: there is no MLflow in /nowhere"):
        tools.unknown_revisions(known, "/nowhere")
