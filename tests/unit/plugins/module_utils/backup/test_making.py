# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets made with programs that are small scripts, and a server that answers at once."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import stat
import sys
import threading
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import making, manifest, settings, together
from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.dump import Tool
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import Identity
from ansible_collections.mlops.stack.plugins.module_utils.backup.progress import Progress

DUMP = """
argument = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
print("pg_dump: warning: something", file=sys.stderr)
assert open(os.environ["PGPASSFILE"]).read() == "*:*:*:*:canary\\n"
folder = argument["--file"]
os.mkdir(folder)
open(folder + "/toc.dat", "w").write(argument["--dbname"] + argument["--snapshot"])
open(folder + "/1.dat", "w").write("x" * 100)
"""
GLOBALS = """
argument = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
open(argument["--file"], "w").write("CREATE ROLE mlflow;")
"""
RESTORE = """
assert open(sys.argv[2] + "/toc.dat").read()
open(os.path.dirname(sys.argv[0]) + "/read", "a").write(os.path.basename(sys.argv[2]) + "\\n")
"""


class Snapshot:
    """A moment of a database."""

    def __init__(self, database, taken):
        self.database = database
        self.taken = taken
        self.exported = f"snapshot-{database}"
        self.cancelled = threading.Event()
        self.slow = False

    def facts(self):
        if self.slow:
            self.cancelled.wait(30)
        return {"name": self.database, "size_bytes": 1000}

    def counts(self):
        return {"public.runs": 3}

    def cancel(self):
        self.cancelled.set()


class Server:
    """A server with two databases."""

    def __init__(self, taken):
        self.taken = taken
        self.bytes = 1000
        self.snapshots = []
        self.slow = False

    def databases(self, _database):
        return ["auth", "mlflow", "postgres"]

    def size(self, _database):
        return self.bytes

    @contextlib.contextmanager
    def snapshot(self, database, lock_timeout):
        assert lock_timeout == 60
        found = Snapshot(database, self.taken)
        found.slow = self.slow
        self.snapshots.append(found)
        yield found


class Extras:
    """What was asked of the parts that a set may lack."""

    def __init__(self):
        self.called = []
        # Modes in which artifacts cannot be had.
        self.broken = ()

    def check(self, _settings):
        self.called.append("check")

    def artifacts(self, settings, label, partial, report):
        wanted = settings.artifacts
        self.called.append("artifacts")
        if wanted.mode in self.broken:
            raise BackupError(f"No {wanted.mode}.", "artifacts")
        report(5, 5, "objects")
        (partial / "artifacts.jsonl").write_text(label)
        told = {"mode": wanted.mode, "destination": wanted.destination.path if wanted.destination else None}
        return {**told, "objects": 1, "vanished": {"count": 1, "paths": ["gone"]}}

    def rehearse(self, _settings, partial, data, tool, _progress):
        assert (partial / "databases/mlflow/toc.dat").exists()
        self.called.append(("rehearse", data["label"], tool.major))

    def seal(self, _settings, folder, names):
        for name in names:
            (folder / name).rename(folder / (name + ".age"))


@pytest.fixture
def case(tmp_path, noon):
    return Case(tmp_path, noon)


class Case:
    def __init__(self, tmp_path, noon):
        self.dest = tmp_path / "sets"
        self.dest.mkdir()
        self.bin = tmp_path / "bin"
        self.bin.mkdir()
        self.noon = noon
        self.server = Server(noon)
        self.extras = Extras()
        self.lines = []
        self.partial = self.dest / ".partial-one"
        self.settings = settings.Settings(self.sets(), Login("db", password="canary"))
        for name, text in (("pg_dump", DUMP), ("pg_dumpall", GLOBALS), ("pg_restore", RESTORE)):
            self.program(name, text)

    def program(self, name, text):
        (self.bin / name).write_text(f"#!{sys.executable}\nimport os, sys, time\n{text}")
        (self.bin / name).chmod(0o755)

    def sets(self, databases=("mlflow", "auth"), **given):
        return settings.Sets(self.dest, databases=databases, **given)

    def set(self, **changes):
        self.settings = dataclasses.replace(self.settings, **changes)

    def make(self, earlier=()):
        self.prepare(Progress(self.dest, "one", manifest.write_json, self.lines.append, now=lambda: self.noon))
        return self.maker(list(earlier))

    def prepare(self, progress=None):
        self.maker = making.Making(
            self.settings,
            self.server,
            Identity(170006, "17.6", "7412", False),
            "one",
            self.partial,
            progress,
            lambda: self.noon,
            self.extras,
            lambda: [Tool(str(self.bin), 17, "17.6")],
        )


def test_a_set_has_all_databases_the_roles_and_a_true_manifest(case):
    data = case.make()
    manifest.validate(data, "here")
    assert manifest.problems(case.partial, data) == []
    assert [item["path"] for item in data["files"]] == [
        "databases/auth/1.dat",
        "databases/auth/toc.dat",
        "databases/mlflow/1.dat",
        "databases/mlflow/toc.dat",
        "globals.sql",
    ]
    assert data["databases"][0]["dump"] == {
        "format": "directory",
        "compress": "zstd:1",
        "jobs": 2,
        "dump_tool_version": "17.6",
        "path": "databases/mlflow",
    }
    assert data["postgres"] == {"version_num": 170006, "system_identifier": "7412", "host": "db", "port": 5432}
    assert (data["verified"]["level"], data["encrypted"], data["artifacts"]) == ("read", False, None)
    assert "snapshot-mlflow" in (case.partial / "databases/mlflow/toc.dat").read_text()
    assert sorted((case.bin / "read").read_text().split()) == ["auth", "mlflow"]
    assert case.maker.warnings == ["pg_dump: warning: something"] * 2
    assert case.extras.called == ["check"]
    assert stat.S_IMODE(case.partial.stat().st_mode) == 0o700
    assert [
        path for path in case.partial.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) != 0o600
    ] == []


def test_a_server_whose_clock_is_wrong_is_a_warning(case):
    case.server.taken = case.noon - datetime.timedelta(days=2)
    data = case.make()
    assert data["created"] == "2026-11-19T12:00:00Z"
    assert [warning for warning in case.maker.warnings if "2880 minutes behind" in warning] == case.maker.warnings[:1]


def test_rows_are_counted_while_the_dump_is_read_back(case):
    case.program("pg_restore", f"{RESTORE}\nwhile not os.path.exists({str(case.bin)!r} + '/counted'): time.sleep(0.01)")
    counts = Snapshot.counts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Snapshot, "counts", lambda self: (case.bin / "counted").write_text("") and None or counts(self))
        data = case.make()
    assert [facts["tables"] for facts in data["databases"]] == [{"public.runs": 3}] * 2


def test_without_verification_nothing_is_read_but_hashed(case):
    case.set(verify="none")
    data = case.make()
    assert not (case.bin / "read").exists()
    assert all(len(item["sha256"]) == 64 for item in data["files"])


def test_artifacts_come_after_the_databases(case):
    case.set(artifacts=settings.Artifacts("copy", settings.Place("/artifacts"), settings.Place("/copies")))
    data = case.make()
    assert data["artifacts"]["objects"] == 1
    assert case.maker.warnings[-1].startswith("1 artifacts went away while they were copied")
    assert data["files"][0]["path"] == "artifacts.jsonl"
    assert case.lines.index("one: artifacts") > case.lines.index("one: read")


def test_copies_that_cannot_be_made_cost_no_set(case):
    case.set(artifacts=settings.Artifacts("copy", settings.Place("/artifacts"), settings.Place("/copies")))
    case.extras.broken = ("copy",)
    told = case.make()["artifacts"]
    assert (told["mode"], told["destination"]) == ("inventory", "/copies")
    assert case.maker.failure.message == "No copy."


@pytest.mark.parametrize(("mode", "broken"), [("copy", ("copy", "inventory")), ("inventory", ("inventory",))])
def test_artifacts_that_cannot_be_had(case, mode, broken):
    copies = settings.Place("/copies") if mode == "copy" else None
    case.set(artifacts=settings.Artifacts(mode, settings.Place("/artifacts"), copies))
    case.extras.broken = broken
    with pytest.raises(BackupError, match=f"No {mode}."):
        case.make()


def test_secrets_are_part_of_the_set(case, tmp_path):
    (tmp_path / "passphrase").write_text("p\n")
    case.set(secret_files={"passphrase": str(tmp_path / "passphrase")})
    data = case.make()
    assert json.loads((case.partial / "secrets.json").read_text()) == {"passphrase": "p"}
    assert "secrets.json" in [item["path"] for item in data["files"]]


def test_a_secret_that_cannot_be_read_is_told_before_anything_is_dumped(case):
    case.set(secret_files={"passphrase": "/none"})
    case.prepare()
    with pytest.raises(BackupError, match=r"The file /none that secret_files.passphrase names cannot be read"):
        case.maker.check([])
    with pytest.raises(BackupError, match="secret_files.passphrase"):
        case.make()
    assert not case.partial.exists()


def test_a_rehearsal_before_encryption(case):
    case.set(verify="restore", encrypt_to=("age1x",))
    data = case.make()
    assert ("rehearse", "one", 17) in case.extras.called
    assert data["encrypted"] is True
    assert [item["path"] for item in data["files"]][-1] == "globals.sql.age"
    assert all(item["plain_sha256"] == item["sha256"] for item in data["files"])
    assert manifest.problems(case.partial, data) == []


def test_a_database_that_is_not_there(case):
    case.set(sets=case.sets(("mlflow", "other")))
    with pytest.raises(BackupError, match="has no database other; it has auth, mlflow, postgres"):
        case.make()
    assert not case.partial.exists()


def test_what_cannot_be_is_told_without_making_anything(case):
    case.dest.rmdir()
    case.prepare()
    case.maker.check([])
    assert case.extras.called == ["check"]
    case.server.bytes = 10**18
    with pytest.raises(BackupError, match=f"{case.dest} has .* MiB free and the backup may need"):
        case.maker.check([])
    case.set(sets=case.sets(("mlflow", "other")))
    case.prepare()
    with pytest.raises(BackupError, match="has no database other"):
        case.maker.check([])
    case.set(compress="brotli")
    with pytest.raises(BackupError, match="compress is 'brotli'"):
        case.prepare()
    assert not case.dest.exists()


def test_a_disk_that_is_too_small(case):
    case.server.bytes = 10**18
    with pytest.raises(BackupError, match="make room, or set a lower free_space_factor"):
        case.make()
    assert not case.partial.exists()


def test_a_dump_that_is_too_small(case):
    case.set(sets=case.sets(min_size=10_000))
    with pytest.raises(BackupError, match="min_size is 10000"):
        case.make()


@pytest.mark.parametrize(
    ("program", "said", "phase", "message"),
    [
        ("pg_dump", "No space left on device", "dump", "pg_dump of mlflow at db:5432 failed: there is no space"),
        ("pg_dumpall", "x", "dump", "pg_dumpall at db:5432 failed: x"),
        ("pg_restore", "y", "read", "Reading back the dump of .* failed: y"),
    ],
)
def test_a_program_that_fails_ends_the_rest(case, program, said, phase, message):
    case.program(program, f"sys.exit({said!r})")
    case.server.slow = program != "pg_restore"
    with pytest.raises(BackupError, match=message) as caught:
        case.make()
    assert (caught.value.phase, caught.value.rc) == (phase, 1)
    assert case.server.snapshots[0].cancelled.is_set()


def test_progress_tells_the_bytes_that_were_written(case, monkeypatch):
    monkeypatch.setattr(together, "TICK", 0.05)
    case.program("pg_dump", DUMP + "time.sleep(0.5)\n")
    seen = []
    real = Progress.report
    monkeypatch.setattr(Progress, "report", lambda self, done, *rest: seen.append(done) or real(self, done, *rest))
    case.make()
    assert max(seen) > 200


def test_the_size_of_a_file_that_went():
    assert making.size_of(types.SimpleNamespace(stat=lambda: os.stat("/nowhere"))) == 0


def test_the_tools_of_this_host(monkeypatch):
    monkeypatch.setattr(making.dump, "candidates", lambda: ["/a"])
    monkeypatch.setattr(making.dump, "find_tools", lambda folders: [("tool", *folders)])
    assert making.tools() == [("tool", "/a")]
