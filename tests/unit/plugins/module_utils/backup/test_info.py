# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import os
import stat

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import info, locks, manifest, remote, settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.folder import Found
from ansible_collections.mlops.stack.plugins.module_utils.backup.retention import Policy


def throw(error):
    """Raise what a stand-in was told to fail with."""
    raise error


HOUR = datetime.timedelta(hours=1)
S3 = settings.S3("b", "k", "s", endpoint_url="http://127.0.0.1:1")


@pytest.fixture
def gather(tmp_path, noon):
    def call(there=(), unread=None, deep=False, **given):
        wanted = settings.Sets(tmp_path, **{"minimum_redundancy": 1, **given})
        return info.gather(wanted, noon, lambda _s3, _deep: (list(there), unread), deep)

    return call


def test_one_good_set_is_enough(tmp_path, make_set, noon, gather):
    make_set(tmp_path, "one", noon - HOUR)
    manifest.write_json(tmp_path / "last.json", {"label": "one", "ok": True, "error": None})
    told = gather(max_age=7200.0, min_size=4)
    assert (told["healthy"], told["problems"], told["latest"]) == (True, [], "one")
    assert told["sets"] == [
        {
            "label": "one",
            "created": "2026-11-21T11:00:00Z",
            "bytes": 4,
            "databases": ["mlflow"],
            "locations": ["folder"],
            "complete": True,
            "verified": {"level": "read", "at": "2026-11-21T12:00:00Z"},
            "encrypted": False,
            "artifacts": None,
            "problems": [],
            "orphan": False,
            "expires_if": None,
            "kept_by": "no retention is set",
        }
    ]
    assert (told["locked"], told["running"], told["orphans"]) == (False, None, [])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"max_age": 1800.0}, "The newest complete set, one, is 1.0 hours old; max_age allows 0.5."),
        ({"min_size": 5}, "The set one has 4 bytes; min_size is 5."),
        ({"minimum_redundancy": 2}, "Complete sets: 1; minimum_redundancy wants 2."),
        ({"s3": S3}, "The newest set, one, is not in the store."),
    ],
)
def test_why_sets_are_not_enough(tmp_path, make_set, noon, gather, given, problem):
    make_set(tmp_path, "one", noon - HOUR)
    told = gather(**given)
    assert (told["healthy"], told["problems"]) == (False, [problem])


@pytest.mark.parametrize(
    ("changes", "age", "problem"),
    [
        ({"verified": {"level": "none"}}, HOUR, "The set one was never read back: verify is none."),
        ({}, -HOUR, "The set one is from the future: check the clocks."),
    ],
)
def test_odd_sets_are_told(tmp_path, make_set, noon, gather, changes, age, problem):
    make_set(tmp_path, "one", noon - age, **changes)
    assert gather()["problems"] == [problem]


def test_nothing_at_all(gather):
    told = gather()
    assert (told["problems"], told["latest"], told["sets"]) == (["There is no complete set."], None, [])


@pytest.mark.parametrize(
    ("hours", "labels", "problems"),
    [
        (1, [], []),
        (25, [], ["There is no complete set."]),
        (1, ["one"], []),
        (25, ["one"], []),
        (49, ["one"], ["Complete sets: 1; minimum_redundancy wants 2."]),
        (49, ["one", "two"], []),
        (999, ["one", "two"], []),
    ],
)
def test_no_more_sets_are_wanted_than_can_be_there_yet(tmp_path, make_set, noon, gather, hours, labels, problems):
    for label in labels:
        make_set(tmp_path, label, noon - HOUR)
    (tmp_path / ".since").touch()
    since = (noon - hours * HOUR).timestamp()
    os.utime(tmp_path / ".since", (since, since))
    assert gather(max_age=86400.0, minimum_redundancy=2)["problems"] == problems


def test_a_first_backup_that_failed_is_told(tmp_path, noon, gather):
    (tmp_path / ".since").touch()
    os.utime(tmp_path / ".since", (noon.timestamp(), noon.timestamp()))
    manifest.write_json(tmp_path / "last.json", {"label": "one", "ok": False, "error": {"msg": "It is full."}})
    assert gather(max_age=86400.0)["problems"] == ["The last backup, one, failed: It is full."]


def test_in_a_line(tmp_path, make_set, noon, gather):
    make_set(tmp_path, "one", noon - HOUR)
    assert info.sentence(gather()) == (
        "Backups are healthy: 1 complete sets, the newest, one, of 2026-11-21T11:00:00Z."
    )
    assert info.sentence(gather(minimum_redundancy=2)).startswith("Backups are not healthy: 1 complete sets")


def test_damage_is_told_and_never_the_latest(tmp_path, make_set, noon, gather):
    make_set(tmp_path, "good", noon - HOUR)
    bad = make_set(tmp_path, "bad", noon)
    (bad / "databases/mlflow/toc.dat").unlink()
    (tmp_path / "half").mkdir()
    told = gather()
    assert told["latest"] == "good"
    assert told["problems"][0] == "The set bad is damaged: folder: databases/mlflow/toc.dat is missing."
    assert "The set half is damaged: folder: it has no manifest" in told["problems"][1]
    assert told["sets"][-1]["created"] is None


def test_a_manifest_that_lost_its_sense_is_told(tmp_path, make_set, noon, gather):
    make_set(tmp_path, "good", noon - HOUR)
    make_set(tmp_path, "bad", noon, databases=(), verified={"level": "?"})
    told = gather()
    assert told["latest"] == "good"
    assert "bad/manifest.json does not tell how it was verified: the set is damaged" in told["problems"][0]


def test_a_flipped_byte_is_found_by_reading(tmp_path, make_set, gather):
    path = make_set(tmp_path, "one")
    (path / "databases/mlflow/toc.dat").write_bytes(b"dunp")
    (tmp_path / "half").mkdir()
    assert gather()["latest"] == "one"
    told = gather(deep=True)
    assert told["latest"] is None
    assert "toc.dat is damaged: its sha256" in told["sets"][0]["problems"][0]


def test_a_running_backup_is_shown_and_its_partial_is_no_orphan(tmp_path, make_set, noon, gather):
    make_set(tmp_path, "one", noon)
    make_set(tmp_path, ".partial-two")
    manifest.write_json(tmp_path / "progress.json", {"label": "two", "phase": "dump"})
    with locks.held(tmp_path, "x", "now", 0):
        told = gather()
    assert (told["healthy"], told["locked"], told["orphans"]) == (True, True, [])
    assert told["running"] == {"label": "two", "phase": "dump"}
    told = gather()
    assert (told["locked"], told["running"], told["orphans"]) == (False, None, [".partial-two"])
    assert "left .partial-two in" in told["problems"][0]


def test_a_running_restore_is_shown_though_a_killed_backup_left_its_progress(tmp_path, gather):
    manifest.write_json(tmp_path / "progress.json", {"label": "two", "updated": "2026-11-20T03:15:00Z"})
    restore = {"label": "one", "phase": "load", "updated": "2026-11-21T13:00:00Z"}
    manifest.write_json(tmp_path / "restore-progress.json", restore)
    with locks.held(tmp_path, "x", "now", 0):
        assert gather()["running"] == restore


@pytest.mark.parametrize(
    ("last", "why"),
    [
        ({"label": "two", "ok": False, "error": {"msg": "No space."}}, "No space."),
        ({"label": "two", "ok": False}, "its end was not written down"),
        ({"label": "two", "ok": False, "error": "x"}, "its end was not written down"),
    ],
)
def test_a_failed_attempt_is_told(tmp_path, make_set, gather, last, why):
    make_set(tmp_path, "one")
    manifest.write_json(tmp_path / "last.json", last)
    assert gather()["problems"] == [f"The last backup, two, failed: {why}"]


def test_small_files_that_are_damaged_are_as_if_they_were_not_there(tmp_path):
    (tmp_path / "a").write_text("{")
    (tmp_path / "b").write_text("[]")
    assert [info.read_json(tmp_path / name) for name in ("a", "b", "c")] == [None, None, None]


def test_sets_of_both_places_are_one_list(tmp_path, make_set, manifest_for, noon, gather):
    make_set(tmp_path, "both", noon - HOUR)
    told = {"mode": "copy", "objects": 3, "bytes": 9, "destination": "/copies", "list_file": "x"}
    there = [
        Found("both", "s3://b/both", manifest_for("both", noon - HOUR), [], 4),
        Found("far", "s3://b/far", manifest_for("far", noon - HOUR * 5, artifacts=told), [], 4),
        Found("old", "s3://b/old", manifest_for("old", noon - HOUR * 9), [], 4),
        Found("torn", "s3://b/torn", None, ["it has no manifest"], 4),
    ]
    found = gather(there, s3=S3, policy=Policy(keep_last=2))
    sets = {one["label"]: one for one in found["sets"]}
    assert sets["both"]["locations"] == ["folder", "s3"]
    assert sets["far"]["locations"] == ["s3"]
    assert sets["far"]["artifacts"] == {"mode": "copy", "objects": 3, "bytes": 9, "destination": "/copies"}
    assert (sets["old"]["expires_if"], sets["old"]["kept_by"]) == ("the next backup succeeds", None)
    assert sets["both"]["kept_by"] == "keep_last"
    assert found["problems"] == ["The set torn is damaged: s3: it has no manifest."]


def unfinished(label):
    return Found(label, f"s3://b/{label}", None, ["it has no manifest: its upload did not end"], 4, unfinished=True)


def test_an_upload_that_did_not_end_is_told_where_its_set_is_gone(tmp_path, make_set, manifest_for, noon, gather):
    make_set(tmp_path, "one", noon - HOUR)
    whole = Found("one", "s3://b/one", manifest_for("one", noon - HOUR), [], 4)
    told = gather([whole, unfinished("gone")], s3=S3)
    assert (told["healthy"], told["sets"][1]["label"], told["sets"][1]["orphan"]) == (True, "gone", True)
    assert info.sentence(told).endswith(" Uploads that did not end have left gone in the store.")
    assert "damaged_sets 0" in info.metrics(told, 1.0)


def test_an_upload_of_a_set_that_is_here_has_to_end(tmp_path, make_set, noon, gather):
    make_set(tmp_path, "one", noon - HOUR)
    told = gather([unfinished("one")], s3=S3)
    assert told["problems"] == ["The set one is damaged: s3: it has no manifest: its upload did not end."]
    assert told["sets"][0]["orphan"] is False
    # It is just being uploaded, or is next.
    for there in ([unfinished("one")], []):
        with locks.held(tmp_path, "x", "now", 0):
            told = gather(there, s3=S3)
        assert (told["problems"], told["sets"][0]["problems"]) == ([], [])


def test_sets_of_other_databases_hide_nothing(tmp_path, make_set, manifest_for, noon, gather):
    make_set(tmp_path, "mine", noon - HOUR * 2)
    make_set(tmp_path, "more", noon - HOUR, databases=("auth", "mlflow"))
    make_set(tmp_path, "other", noon, databases=("other",))
    (tmp_path / "half").mkdir()
    there = [Found("far", "s3://b/far", manifest_for("far", noon, databases=("other",)), [], 4)]
    told = gather(there, max_age=1800.0, databases=("mlflow",))
    assert [one["label"] for one in told["sets"]] == ["more", "mine", "half"]
    assert (told["latest"], told["healthy"]) == ("more", False)
    assert "The newest complete set, more, is 1.0 hours old" in told["problems"][1]
    assert gather(there, max_age=1800.0, databases=("auth",))["latest"] == "more"
    assert gather(there, max_age=1800.0)["latest"] in ("other", "far")


def test_a_store_that_is_away_is_one_problem(tmp_path, make_set, noon, gather):
    make_set(tmp_path, "one", noon)
    assert gather(unread="The store is away.", s3=S3)["problems"] == ["The store is away."]


def test_a_folder_that_cannot_be_read_is_told(monkeypatch, gather):
    def refuse(_dest):
        raise BackupError("The folder cannot be read.", "read")

    monkeypatch.setattr(info.folder, "list_sets", refuse)
    assert gather()["problems"] == ["The folder cannot be read.", "There is no complete set."]


class Remote:
    """A store whose sets are damaged where one reads them."""

    error = None

    def __init__(self, s3, timeout):
        if self.error:
            throw(self.error)
        assert s3 == S3
        self.timeout = timeout

    def sets(self):
        assert self.timeout in (7, None)
        return [Found("one", "s3://b/one", {}, [], 4)]

    def verify(self, label):
        assert self.timeout is None
        return [f"{label} is damaged"]


def test_how_a_store_is_read(monkeypatch):
    monkeypatch.setattr(remote, "Remote", type("Here", (Remote,), {}))
    sets = settings.Sets("/sets", S3, timeout=7)
    assert info.open_store(settings.Sets("/sets")) == ([], None)
    assert info.open_store(sets)[0][0].problems == []
    assert info.open_store(sets, deep=True)[0][0].problems == ["one is damaged"]
    monkeypatch.setattr(remote, "Remote", type("Away", (Remote,), {"error": BackupError("away", "connect")}))
    assert info.open_store(sets) == ([], "away")


def test_metrics(tmp_path, make_set, noon, gather):
    make_set(tmp_path, "one", noon - HOUR)
    text = info.metrics(gather(), 1795269421.5)
    values = dict(line.split(" ") for line in text.splitlines() if not line.startswith("#"))
    assert values == {
        "mlops_stack_backup_healthy": "1",
        "mlops_stack_backup_complete_sets": "1",
        "mlops_stack_backup_damaged_sets": "0",
        "mlops_stack_backup_last_success": "0",
        "mlops_stack_backup_checked_timestamp_seconds": "1795269421",
        "mlops_stack_backup_newest_timestamp_seconds": str(int((noon - HOUR).timestamp())),
        "mlops_stack_backup_newest_bytes": "4",
    }
    assert text.endswith("\n")
    assert "# TYPE mlops_stack_backup_healthy gauge" in text


def test_metrics_without_a_set(gather):
    assert "newest" not in info.metrics(gather(), 1.0)


def test_the_metrics_file_is_for_all_and_whole(tmp_path):
    path = tmp_path / "backup.prom"
    info.write_metrics(path, "a 1\n")
    info.write_metrics(path, "a 2\n")
    assert path.read_text() == "a 2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["backup.prom"]
