# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import fcntl
import os
import time

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import manifest
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.folder import Found
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import sets

UTC = datetime.timezone.utc
NOON = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def a_set(label, hour, problems=(), data=True):
    found = {"label": label, "created": f"2026-11-21T{hour:02}:00:00Z", "databases": []}
    return Found(label, None, found if data else None, list(problems), 1)


SETS = [
    a_set("late", 14),
    a_set("broken", 15, ["toc.dat is missing", "x", "y", "z"]),
    a_set("early", 10),
    a_set("no-manifest", 16, ["it has no manifest"], data=False),
    a_set("early-too", 10),
]


@pytest.mark.parametrize(
    "text, found",
    [
        ("2026-11-21T12:00:00Z", NOON),
        ("2026-11-21T12:00:00", NOON),
        ("2026-11-21 12:00:00", NOON),
        ("2026-11-21 12:00", NOON),
        ("2026-11-21T13:00+01:00", NOON),
        ("20261121T120000Z", NOON),
        ("2026-11-21", None),
        ("late", None),
    ],
)
def test_times(text, found):
    assert sets.moment(text) == found


@pytest.mark.parametrize(
    "wanted, label",
    [
        ("latest", "late"),
        ("early", "early"),
        ("2026-11-21T13:59:59Z", "early-too"),
        ("2026-11-21T14:00:00Z", "late"),
        ("2027-01-01 00:00", "late"),
    ],
)
def test_the_set_that_is_meant(wanted, label):
    assert sets.choose(SETS, wanted, "here").label == label


@pytest.mark.parametrize(
    "found, wanted, message",
    [
        ([], "latest", "There is no complete set in here"),
        (SETS[1:2], "latest", "There is no complete set in here"),
        (SETS, "broken", "The set broken in here is not whole: toc.dat is missing; x; y[.]"),
        (SETS, "no-manifest", "is not whole: it has no manifest"),
        (SETS, "gone", "There is no set gone in here; the newest complete one is late"),
        ([], "gone", "the newest complete one is none"),
        (SETS, "2026-11-21T09:00:00Z", "No complete set in here was made until 2026-11-21T09:00:00Z; the newest"),
    ],
)
def test_no_such_set(found, wanted, message):
    with pytest.raises(BackupError, match=message) as caught:
        sets.choose(found, wanted, "here")
    assert (caught.value.phase, caught.value.safe_to_retry) == ("set", False)


def of_server(label, hour, server, rows):
    one = a_set(label, hour)
    one.manifest.update(
        postgres={"system_identifier": server}, databases=[{"name": "mlflow", "tables": {"public.runs": rows, "x": 1}}]
    )
    return one


@pytest.mark.parametrize(
    "new_rows, refused",
    [(0, True), (99, True), (100, False), (500, False)],
)
def test_the_set_of_a_new_and_empty_server_is_not_the_latest(new_rows, refused):
    found = [of_server("older", 8, "one", 5), of_server("old", 9, "one", 100), of_server("new", 10, "two", new_rows)]
    if refused:
        with pytest.raises(BackupError, match="new in here is of another PostgreSQL server than old .* name the set"):
            sets.choose(found, "latest", "here")
    else:
        assert sets.choose(found, "latest", "here").label == "new"
    assert sets.choose(found, "old", "here").label == "old"


def with_databases(label, hour, *databases, problems=()):
    one = a_set(label, hour, problems)
    one.manifest["databases"] = [{"name": name} for name in databases]
    return one


OF_SOME = [
    with_databases("both", 8, "mlflow", "auth"),
    with_databases("mlflow-alone", 9, "mlflow"),
    with_databases("auth-broken", 10, "auth", problems=["x"]),
    with_databases("other", 11, "other"),
]


@pytest.mark.parametrize(
    "wanted, databases, found",
    [
        ("latest", (), "other"),
        ("latest", ("mlflow",), "mlflow-alone"),
        ("latest", ("auth",), "both"),
        ("latest", ("auth", "mlflow"), "both"),
        ("2026-11-21T08:30:00Z", ("mlflow",), "both"),
        ("2026-11-21T23:00:00Z", ("mlflow",), "mlflow-alone"),
        # That one has what is asked for is looked at where its databases are.
        ("other", ("mlflow",), "other"),
    ],
)
def test_the_newest_set_of_these_databases(wanted, databases, found):
    assert sets.choose(OF_SOME, wanted, "here", databases).label == found


@pytest.mark.parametrize(
    "wanted, databases, message",
    [
        ("latest", ("gone",), "No complete set in here holds 'gone'; the newest one, other, holds 'other'."),
        (
            "2026-11-21T08:30:00Z",
            ("other", "auth"),
            "No complete set in here that was made until 2026-11-21T08:30:00Z holds 'other', 'auth'; the newest one,"
            " both, holds 'auth', 'mlflow'.",
        ),
    ],
)
def test_no_set_of_these_databases(wanted, databases, message):
    with pytest.raises(BackupError) as caught:
        sets.choose(OF_SOME, wanted, "here", databases)
    assert (caught.value.message, caught.value.phase, caught.value.safe_to_retry) == (message, "set", False)
    with pytest.raises(BackupError, match="the newest one, late, holds no database"):
        sets.choose(SETS, "latest", "here", databases)


def write_set(path):
    path.mkdir()
    verified = {"level": "none", "at": "x"}
    more = {"host": "h", "postgres": {}, "databases": [], "files": [], "verified": verified}
    manifest.write(path, manifest.build(path.name, NOON, NOON, **more))


def test_sets_in_a_folder(tmp_path):
    write_set(tmp_path / "one")
    assert sets.from_folder(str(tmp_path), "latest").path == tmp_path / "one"
    with pytest.raises(BackupError, match="No complete set in .* holds 'mlflow'"):
        sets.from_folder(str(tmp_path), "latest", ("mlflow",))
    assert sets.from_folder(None, f"{tmp_path}/one/").label == "one"
    with pytest.raises(BackupError, match=f"The set two in {tmp_path} is not whole"):
        sets.from_folder(None, f"{tmp_path}/two")


def test_a_work_folder_goes_with_its_user(tmp_path):
    with sets.work_folder(tmp_path) as work:
        (work / "file").write_text("x")
        assert work.parent == tmp_path
        assert work.stat().st_mode & 0o777 == 0o700
        os.utime(work, (0, 0))
        sets.sweep(tmp_path)
        assert (work / "file").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_work_folder_that_cannot_be_made(tmp_path):
    with pytest.raises(BackupError, match="set work_dir to one with space"), sets.work_folder(tmp_path / "no"):
        raise AssertionError("there is no such folder")


def test_what_a_killed_restore_left_is_removed(tmp_path):
    for name, age in ((".mlops-stack-restore-old", 100), (".mlops-stack-restore-new", 1), ("other", 100)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plain").write_text("secret")
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    (tmp_path / ".mlops-stack-restore-file").write_text("x")
    os.utime(tmp_path / ".mlops-stack-restore-file", (0, 0))
    sets.sweep(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".mlops-stack-restore-file", ".mlops-stack-restore-new", "other"]


def test_files_are_borrowed(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "databases").mkdir(parents=True)
    (source / "databases" / "toc").write_text("x")
    sets.borrow(source, target, ["databases/toc"])
    assert (target / "databases/toc").stat().st_ino == (source / "databases/toc").stat().st_ino

    def other_file_system(*_paths):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_file_system)
    sets.borrow(source, tmp_path / "copy", ["databases/toc"])
    copied = (tmp_path / "copy" / "databases" / "toc").stat()
    assert copied.st_ino != (source / "databases/toc").stat().st_ino
    assert copied.st_mode & 0o777 == 0o600


def test_a_lock_of_another_process_is_seen(tmp_path):
    path = tmp_path / ".mlops-stack-restore-x"
    path.mkdir()
    os.utime(path, (0, 0))
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    sets.sweep(tmp_path)
    assert path.exists()
    os.close(descriptor)
    sets.sweep(tmp_path)
    assert not path.exists()
