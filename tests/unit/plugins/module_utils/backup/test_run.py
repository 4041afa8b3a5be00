# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import errno
import json
import os

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import locks, run, settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.folder import Found
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import Identity
from ansible_collections.mlops.stack.plugins.module_utils.backup.retention import Policy
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted


def throw(error):
    """Raise what a stand-in was told to fail with."""
    raise error


HOUR = datetime.timedelta(hours=1)


class Server:
    """A server that is there, or is not."""

    error = None

    def __init__(self, login):
        self.login = login

    def identity(self, _allow_replica, database):
        assert database == "mlflow"
        if self.error:
            throw(self.error)
        return Identity(170006, "17.6", "7412345678901234567", False)


class Store:
    """A store with sets in it, and what was done to it."""

    def __init__(self):
        self.kept = []
        self.done = []
        self.errors = {}

    def __enter__(self):
        self.done.append("enter")
        return self

    def __exit__(self, *_error):
        self.done.append("exit")

    def _do(self, what, *more):
        self.done.append((what, *more))
        if what in self.errors:
            raise self.errors[what]

    def hold(self, timeout):
        self._do("hold", timeout)

    def check(self):
        self._do("check")

    def sweep(self):
        self._do("sweep")

    def sets(self):
        return list(self.kept)

    def upload(self, path, data, progress):
        self._do("upload", path.name, data["label"])
        progress(1, 2)
        self.kept.append(Found(data["label"], path, data, [], 4))

    def remove(self, label):
        self._do("remove", label)
        self.kept = [one for one in self.kept if one.label != label]


class Extras:
    def __init__(self):
        self.collected = []
        self.error = None

    def collect(self, _settings, sets):
        self.collected.append(sorted({one.label for one in sets}))
        if self.error:
            throw(self.error)


class Case:
    """One folder of sets, and the calls on it."""

    def __init__(self, tmp_path, make_set, noon):
        self.dest = tmp_path / "sets"
        self.make_set = make_set
        self.noon = noon
        self.store = None
        self.extras = Extras()
        self.made = []
        self.checked = []
        self.refusal = None
        self.error = None
        self.failure = None
        self.taken = noon
        self.server = type("OneServer", (Server,), {})
        self.lines = []

    def maker(self, _settings, server, identity, label, partial, progress, now, _extras):
        case = self

        class Maker:
            warnings = ["pg_dump: warning: x"]
            failure = case.failure

            def check(self, earlier):
                assert progress is None
                case.checked.append((label, [one.label for one in earlier]))
                if case.refusal:
                    throw(case.refusal)

            def __call__(self, earlier):
                case.made.append((label, [one.label for one in earlier]))
                path = case.make_set(case.dest, partial.name, case.taken)
                if case.error:
                    throw(case.error)
                data = json.loads((path / "manifest.json").read_text())
                return {**data, "label": label}

        assert isinstance(server, Server)
        assert identity.major == 17
        assert now() == self.noon
        return Maker()

    def set(self, label, age, **changes):
        self.dest.mkdir(mode=0o700, exist_ok=True)
        return self.make_set(self.dest, label, self.noon - age, **changes)

    def run(self, check_mode=False, sets=None, **given):
        return self.call(sets, **given)(check_mode)

    def call(self, sets=None, **given):
        s3 = settings.S3("b", "k", "canary", expire=given.pop("expire", False)) if self.store else None
        wanted = settings.Settings(
            settings.Sets(self.dest, s3, **{"databases": ("mlflow",), **(sets or {})}),
            Login("db", password="canary"),
            **given,
        )
        opener = {"opener": lambda _settings: self.store} if self.store else {}
        return run.Run(
            wanted,
            self.lines.append,
            server_class=self.server,
            maker=self.maker,
            extras=self.extras,
            now=lambda: self.noon,
            **opener,
        )

    @property
    def labels(self):
        return sorted(name for name in os.listdir(self.dest) if not name.endswith((".json", ".lock")))

    @property
    def last(self):
        return json.loads((self.dest / "last.json").read_text())


@pytest.fixture
def case(tmp_path, make_set, noon):
    return Case(tmp_path, make_set, noon)


def test_a_set_is_made_and_told(case):
    result = case.run()
    label = result["label"]
    assert label.startswith("20261121T120000Z-")
    assert case.labels == [label]
    assert (result["changed"], result["action"], result["set"]["rows"]) == (True, "backup", 3)
    assert result["warnings"] == ["pg_dump: warning: x"]
    assert result["diff"] == {"before": {"sets": []}, "after": {"sets": [label]}}
    assert {"plan", "publish", "expire"} <= set(result["seconds"])
    assert (case.last["ok"], case.last["label"], case.last["error"]) == (True, label, None)
    assert f"{label}: publish" in case.lines


def test_a_set_that_will_do_is_no_change(case):
    case.set("young", HOUR / 2)
    result = case.run(sets={"max_age": 3600})
    assert (result["changed"], result["action"], result["label"]) == (False, "none", "young")
    assert case.labels == ["young"]
    assert case.made == []
    assert result["set"]["path"].endswith("/young")


def test_check_mode_tells_the_plan_and_touches_nothing(case):
    result = case.run(True, label="next")
    assert (result["changed"], result["action"], result["label"]) == (True, "backup", "next")
    assert not case.dest.exists()
    case.set("a", HOUR)
    case.set("b", HOUR * 2)
    before = sorted(os.listdir(case.dest))
    result = case.run(True, sets={"policy": Policy(keep_last=2), "max_age": 60})
    assert result["expired"] == ["b"]
    assert result["diff"]["after"]["sets"] == ["a", "20261121T120000Z-new"]
    assert case.run(True, sets={"max_age": 36000})["changed"] is False
    assert sorted(os.listdir(case.dest)) == before
    assert case.made == []


def test_check_mode_tells_what_would_fail_before_anything_is_written(case):
    case.set("a", HOUR)
    case.refusal = BackupError("The server is PostgreSQL 17 and pg_dump 16 is too old for it.", "check")
    with pytest.raises(BackupError, match="is too old for it"):
        case.run(True)
    assert case.checked == [("new", ["a"])]
    # A set that will do needs nothing of that.
    assert case.run(True, sets={"max_age": 36000})["changed"] is False
    assert sorted(os.listdir(case.dest)) == ["a"]


def test_what_was_left_is_swept_and_the_old_expires(case):
    case.set("a", HOUR)
    case.set("b", HOUR * 2)
    case.set(".partial-c", HOUR)
    result = case.run(label="new", sets={"policy": Policy(keep_last=2), "minimum_redundancy": 1})
    assert case.labels == ["a", "new"]
    assert (result["swept"], result["expired"]) == ([".partial-c"], ["b"])
    assert result["diff"] == {"before": {"sets": ["a", "b"]}, "after": {"sets": ["a", "new"]}}
    assert case.extras.collected == [["a", "new"]]


def test_copies_that_cannot_be_removed_are_a_warning(case):
    case.set("a", HOUR)
    case.extras.error = BackupError("No.", "expire")
    result = case.run(label="new", sets={"policy": Policy(keep_last=1), "minimum_redundancy": 1})
    assert result["warnings"][1] == "Copies of artifacts that no set needs were kept: No."


@pytest.mark.parametrize(
    ("error", "phase", "message"),
    [
        (BackupError("pg_dump failed: canary.", "dump", 1, "canary said"), "dump", r"pg_dump failed: \*{8}\."),
        (Interrupted("interrupted by SIGTERM"), "interrupted", "The backup was interrupted by SIGTERM; nothing half"),
        (OSError(errno.ENOSPC, "No space", "/sets/x"), "write", "Writing to /sets/x failed: there is no space"),
        (OSError(errno.EROFS, "Read-only"), "write", "failed: its file system is read-only"),
        (OSError(errno.EIO, "Input/output error"), "write", "failed: Input/output error"),
        (OSError("odd"), "write", "failed: odd"),
    ],
)
def test_a_failure_leaves_earlier_sets_and_nothing_else(case, error, phase, message):
    case.set("a", HOUR)
    case.set("b", HOUR * 2)
    case.error = error
    with pytest.raises(BackupError, match=message) as caught:
        case.run(label="new", sets={"policy": Policy(keep_last=1), "minimum_redundancy": 1})
    assert caught.value.phase == phase
    assert case.labels == ["a", "b"]
    assert (case.last["ok"], case.last["label"], case.last["error"]["phase"]) == (False, "new", phase)
    assert "canary" not in json.dumps(case.last)
    assert not (case.dest / "progress.json").exists()


def test_thirty_failures_keep_both_good_sets(case):
    case.set("a", HOUR)
    case.set("b", HOUR * 2)
    case.error = BackupError("no", "dump")
    for _attempt in range(30):
        with pytest.raises(BackupError):
            case.run(sets={"policy": Policy(keep_last=2)})
    assert case.labels == ["a", "b"]


def test_a_server_that_is_away_is_written_down(case):
    case.server.error = BackupError("away", "connect")
    with pytest.raises(BackupError, match="away"):
        case.run()
    assert case.last["error"]["phase"] == "connect"


def test_who_comes_second_fails_and_leaves_no_trace(case):
    case.dest.mkdir(mode=0o700)
    with locks.held(case.dest, "first", "now", 0), pytest.raises(BackupError, match="first") as caught:
        case.run(lock_timeout=0)
    assert caught.value.phase == "lock"
    assert not (case.dest / "last.json").exists()


def test_the_mask_is_private_and_put_back(case):
    seen = []
    case.server.identity = lambda *_arguments: seen.append(os.umask(0o077)) or throw(OSError("x"))
    before = os.umask(0o022)
    try:
        with pytest.raises(BackupError):
            case.run()
        assert seen == [0o077]
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def remote(label, noon, manifest_for, age=HOUR):
    return Found(label, f"s3://b/{label}", manifest_for(label, noon - age), [], 4)


def test_the_store_is_held_and_gets_the_set(case, noon, manifest_for):
    case.store = Store()
    case.store.kept = [remote("x", noon, manifest_for, HOUR * 9), remote("y", noon, manifest_for, HOUR * 8)]
    result = case.run(label="new", sets={"policy": Policy(keep_last=1), "minimum_redundancy": 1})
    assert case.store.done == [
        "enter",
        ("hold", 60),
        ("sweep",),
        ("check",),
        ("upload", "new", "new"),
        ("check",),
        "exit",
    ]
    # Its key may not delete.
    assert result["expired"] == []


def test_the_store_expires_where_it_may(case, noon, manifest_for):
    case.store = Store()
    case.store.kept = [remote("x", noon, manifest_for, HOUR * 9), remote("y", noon, manifest_for, HOUR * 8)]
    policy = {"policy": Policy(keep_last=2), "minimum_redundancy": 1}
    assert case.run(True, expire=True, label="new", sets=policy)["expired"] == ["x"]
    assert case.run(expire=True, label="new", sets=policy)["expired"] == ["x"]
    assert ("remove", "x") in case.store.done
    assert case.extras.collected == [["new", "y"]]


def test_the_set_of_a_server_whose_clock_is_behind_does_not_expire_at_once(case, noon, manifest_for):
    case.store = Store()
    case.store.kept = [remote("a", noon, manifest_for)]
    case.set("a", HOUR)
    case.taken = noon - HOUR * 48
    result = case.run(expire=True, label="new", sets={"policy": Policy(keep_last=1), "minimum_redundancy": 1})
    assert result["expired"] == []
    assert case.labels == ["a", "new"]
    assert [one.label for one in case.store.kept] == ["a", "new"]


def test_a_set_that_the_store_lacks_is_uploaded(case):
    case.store = Store()
    case.set("young", HOUR / 2)
    result = case.run(sets={"max_age": 3600})
    assert (result["action"], result["label"]) == ("upload", "young")
    assert ("upload", "young", "young") in case.store.done
    assert case.made == []


def test_a_failed_upload_keeps_the_set_here_and_expires_none(case):
    case.store = Store()
    case.set("a", HOUR)
    case.store.errors["upload"] = BackupError("The store is full.", "upload")
    with pytest.raises(BackupError, match=r"The store is full. The set stays in .*/new, and no set was removed"):
        case.run(label="new", sets={"policy": Policy(keep_last=1), "minimum_redundancy": 1})
    assert case.labels == ["a", "new"]
    assert case.last["ok"] is False


def test_what_the_store_lacks_of_earlier_sets_is_uploaded_after_the_new_one(case, noon):
    case.store = Store()
    case.store.kept = [Found("a", "s3://b/a", None, ["no manifest"], 4, unfinished=True)]
    case.set("a", HOUR * 2)
    case.set("b", HOUR)
    case.set("c", HOUR * 3)
    keep = {"policy": Policy(keep_last=3), "minimum_redundancy": 1}
    checked = case.run(True, label="new", sets=keep)
    assert (checked["uploaded"], checked["expired"]) == (["b", "a"], ["c"])
    result = case.run(label="new", sets=keep)
    assert (result["uploaded"], result["expired"], result["warnings"]) == (["b", "a"], ["c"], ["pg_dump: warning: x"])
    assert [done[1] for done in case.store.done if done[0] == "upload"] == ["new", "b", "a"]
    assert "b: what the store lacks of it" in case.lines
    # A set that will do changes nothing.
    assert case.run(sets={**keep, "max_age": 3600})["changed"] is False


def test_an_earlier_set_that_cannot_be_uploaded_is_a_warning(case):
    case.store = Store()
    case.set("a", HOUR * 2)
    case.set("b", HOUR)
    upload = case.store.upload
    full = BackupError("The store is full.", "upload")
    case.store.upload = lambda path, *more: throw(full) if path.name == "b" else upload(path, *more)
    result = case.run(label="new")
    assert (result["label"], result["uploaded"]) == ("new", [])
    assert result["warnings"][1:] == ["The earlier set b was not uploaded: The store is full."]
    assert case.last["ok"] is True


def test_a_store_that_is_away_fails_the_call_after_the_set_is_made_here(case):
    case.store = Store()
    case.set("a", HOUR)
    case.store.errors["hold"] = BackupError("The store is away.", "lease")
    policy = {"policy": Policy(keep_last=1), "minimum_redundancy": 1}
    with pytest.raises(BackupError, match=r"The store is away. The set stays in .*/new"):
        case.run(label="new", sets=policy)
    assert case.labels == ["a", "new"]
    assert "The store is away." in case.lines[0]
    # What is there already is not uploaded either, and that is told as well.
    with pytest.raises(BackupError, match=r"The store is away. The set stays in .*/new"):
        case.run(label="new", sets=policy)
    with pytest.raises(BackupError, match="The store is away"):
        case.run(state="expired", sets=policy)
    assert case.labels == ["a", "new"]


def test_copies_that_could_not_be_made_fail_the_call_after_the_set_is_there(case):
    case.set("a", HOUR)
    case.failure = BackupError("The copies are away.", "artifacts")
    with pytest.raises(BackupError, match=r"The copies are away. The set stays in .*/new, and no set was removed"):
        case.run(label="new", sets={"policy": Policy(keep_last=1), "minimum_redundancy": 1})
    assert (case.labels, case.last["ok"]) == (["a", "new"], False)


@pytest.mark.parametrize("phase", ["lock", "options"])
def test_a_store_that_another_host_holds_or_without_the_bucket_fails_at_once(case, phase):
    case.store = Store()
    case.store.errors["hold"] = BackupError("It cannot be held.", phase)
    with pytest.raises(BackupError, match="It cannot be held") as caught:
        case.run(label="new")
    assert (caught.value.phase, case.labels) == (phase, [])


def test_unfinished_uploads_that_may_not_be_removed_are_a_warning(case):
    case.store = Store()
    case.store.errors["sweep"] = BackupError("AccessDenied.", "sweep")
    assert "AccessDenied." in case.run(label="new")["warnings"][0]


def test_a_lost_lease_publishes_nothing(case):
    case.store = Store()
    case.store.errors["check"] = BackupError("The lease was lost.", "lock")
    with pytest.raises(BackupError, match="lost"):
        case.run(label="new")
    assert case.labels == []


def test_absent_removes_here_and_there(case, noon, manifest_for):
    case.store = Store()
    case.store.kept = [remote("a", noon, manifest_for)]
    case.set("a", HOUR)
    case.set("b", HOUR)
    checked = case.run(True, state="absent", label="a")
    assert (checked["changed"], case.labels) == (True, ["a", "b"])
    result = case.run(state="absent", label="a")
    assert (result["changed"], result["action"], case.labels) == (True, "remove", ["b"])
    assert result["diff"]["after"] == {"sets": ["b"]}
    assert case.store.kept == []
    assert case.run(state="absent", label="a")["changed"] is False


def test_absent_removes_nothing_here_where_the_store_lets_nothing_go(case, noon, manifest_for):
    case.store = Store()
    case.store.kept = [remote("a", noon, manifest_for)]
    case.store.errors["remove"] = BackupError("AccessDenied.", "expire", safe_to_retry=False)
    case.set("a", HOUR)
    with pytest.raises(BackupError, match="AccessDenied"):
        case.run(state="absent", label="a")
    assert case.labels == ["a"]


def test_a_label_that_the_store_has_of_another_server_is_refused(case, noon, manifest_for):
    case.store = Store()
    other = manifest_for("new", noon - HOUR, postgres={"system_identifier": "other"})
    case.store.kept = [Found("new", "s3://b/new", other, [], 4)]
    for check_mode in (True, False):
        with pytest.raises(BackupError, match="The set new is in the store and is of another PostgreSQL server"):
            case.run(check_mode, label="new")
    assert case.labels == []
    case.store.kept = [remote("new", noon, manifest_for)]
    assert case.run(label="new")["changed"] is False


@pytest.mark.parametrize("state", ["present", "absent", "expired"])
def test_check_mode_refuses_a_folder_that_others_may_write_to(case, state):
    case.dest.mkdir()
    case.dest.chmod(0o777)
    for check_mode in (True, False):
        with pytest.raises(BackupError, match="set its mode to 0700"):
            case.run(check_mode, state=state, label="a")


def test_absent_where_there_is_no_folder(case, noon, manifest_for):
    assert case.run(state="absent", label="a")["changed"] is False
    assert not case.dest.exists()
    case.store = Store()
    case.store.kept = [remote("a", noon, manifest_for)]
    assert case.run(state="absent", label="a")["changed"] is True
    assert not case.dest.exists()


def test_expired_removes_and_does_nothing_else(case):
    policy = {"policy": Policy(keep_last=1), "minimum_redundancy": 1}
    assert case.run(state="expired", sets=policy)["changed"] is False
    assert not case.dest.exists()
    case.set("a", HOUR)
    case.set("b", HOUR * 2)
    checked = case.run(True, state="expired", sets=policy)
    assert (checked["expired"], checked["action"], case.labels) == (["b"], "expire", ["a", "b"])
    assert case.run(state="expired", sets=policy)["expired"] == ["b"]
    assert case.labels == ["a"]
    again = case.run(state="expired", sets=policy)
    assert (again["changed"], again["action"]) == (False, "none")
    assert case.made == []


def test_sets_of_other_databases_are_left_alone(case):
    for label, databases in (("a", ("mlflow",)), ("b", ("mlflow",)), ("x", ("other",)), ("y", ("other",))):
        case.set(label, HOUR * (9 if label in "ax" else 8), databases=databases)
    policy = {"policy": Policy(keep_last=1), "minimum_redundancy": 1}
    assert case.run(label="new", sets=policy)["expired"] == ["a", "b"]
    assert case.labels == ["new", "x", "y"]
    assert case.run(state="expired", sets={**policy, "databases": ()})["expired"] == ["x"]
    assert case.labels == ["new", "y"]


def test_expired_where_there_is_no_folder(case, noon, manifest_for):
    case.store = Store()
    case.store.kept = [remote("x", noon, manifest_for, HOUR * 9), remote("y", noon, manifest_for, HOUR * 8)]
    policy = {"policy": Policy(keep_last=1), "minimum_redundancy": 1}
    assert case.run(True, state="expired", expire=True, sets=policy)["expired"] == ["x"]
    assert case.store.done == []
    assert case.run(state="expired", expire=True, sets=policy)["expired"] == ["x"]
    assert [one.label for one in case.store.kept] == ["y"]
    assert case.run(state="expired", expire=True, sets=policy)["changed"] is False
    # The sets of a folder that is away may need their artifacts.
    assert case.extras.collected == []
    assert not case.dest.exists()


def test_a_full_disk_for_the_outcome_does_not_hide_the_failure(case, monkeypatch):
    case.error = BackupError("the dump failed", "dump")

    def full(_path, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run.manifest, "write_json", full)
    with pytest.raises(BackupError, match="the dump failed"):
        case.run()


def test_without_ears(tmp_path):
    wanted = settings.Settings(settings.Sets(tmp_path / "none"), Login("db"), state="expired")
    assert run.Run(wanted)()["changed"] is False


def test_alone(case):
    case.store = Store()
    with case.call().alone() as check:
        check()
        assert case.store.done == ["enter", ("hold", 60), ("check",)]
        with pytest.raises(BackupError, match="holding backups off"):
            case.run(lock_timeout=0)
    assert case.store.done[-1] == "exit"
    with pytest.raises(BackupError, match="ended by a signal") as ended, case.call().alone():
        throw(Interrupted("ended by a signal"))
    assert ended.value.phase == "interrupted"
