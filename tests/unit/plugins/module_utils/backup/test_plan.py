# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import datetime
import pathlib
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import plan, retention
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.retention import Policy
from ansible_collections.mlops.stack.plugins.module_utils.backup.settings import Sets

HOUR = datetime.timedelta(hours=1)
LAST = Sets("/sets", policy=Policy(keep_last=1), minimum_redundancy=1)
WANTED = plan.Wanted("7412345678901234567", ("mlflow",), "read", 3600.0, None, "none", False)


@pytest.fixture
def one(manifest_for, noon):
    """A function that makes a set as a listing has it."""

    def make(label="one", age=HOUR / 2, problems=(), manifest=True, unfinished=False, **changes):
        data = manifest_for(label, noon - age, **changes) if manifest else None
        whole = data is not None and not problems
        return types.SimpleNamespace(
            label=label,
            path=pathlib.Path("/sets", label),
            manifest=data,
            problems=list(problems),
            complete=whole,
            created=noon - age,
            unfinished=unfinished,
        )

    return make


def test_a_young_set_will_do(one, noon):
    found = plan.decide(WANTED, [one("old", HOUR * 0.9), one("new", HOUR * 0.1)], None, noon)
    assert found == plan.Decision("none", "new", "the set new is younger than max_age")


def test_a_young_set_that_the_store_lacks_is_uploaded(one, noon):
    assert plan.decide(WANTED, [one()], [one()], noon).action == "none"
    # It is not there, it is there in part, and another of its name is.
    for there in ([one("other")], [one(problems=["x is missing"])], [one(age=HOUR)]):
        found = plan.decide(WANTED, [one()], there, noon)
        assert (found.action, found.label) == ("upload", "one")


def test_without_a_limit_every_call_makes_a_set(one, noon):
    found = plan.decide(dataclasses.replace(WANTED, max_age=None), [one()], None, noon)
    assert found == plan.Decision("backup", None, "a backup was asked for")


@pytest.mark.parametrize(
    "changes",
    [
        {"age": HOUR},
        {"age": -HOUR},
        {"problems": ["x is missing"]},
        {"manifest": False},
        {"postgres": {"system_identifier": "other"}},
        {"databases": ("other",)},
        {"verified": {"level": "none"}},
        {"verified": {}},
        {"encrypted": True},
    ],
)
def test_sets_that_will_not_do(one, noon, changes):
    found = plan.decide(WANTED, [one(**changes)], None, noon)
    assert (found.action, found.label) == ("backup", None)


@pytest.mark.parametrize(
    ("wanted", "changes", "lacking"),
    [
        ({}, {"postgres": {}}, "is of another PostgreSQL server"),
        ({"databases": ("mlflow", "auth")}, {}, "does not hold the database auth"),
        ({"level": "restore"}, {}, "was not verified by verify=restore"),
        ({"artifacts": "copy"}, {}, "has no artifacts by mode=copy"),
        ({"artifacts": "copy"}, {"artifacts": {"mode": "inventory"}}, "has no artifacts by mode=copy"),
        ({"encrypted": True}, {}, "is not encrypted"),
        ({}, {"encrypted": True}, "is encrypted"),
        ({}, {}, None),
        ({"artifacts": "copy"}, {"artifacts": {"mode": "copy"}}, None),
        ({}, {"databases": ("mlflow", "auth")}, None),
    ],
)
def test_what_a_set_lacks(manifest_for, wanted, changes, lacking):
    data = {**manifest_for("one"), **changes}
    if "databases" in changes:
        data = manifest_for("one", databases=changes["databases"])
    assert plan.lacks(dataclasses.replace(WANTED, **wanted), data) == lacking


def test_a_label_is_made_once(one, noon):
    wanted = dataclasses.replace(WANTED, label="one", max_age=None)
    assert plan.decide(wanted, [one("two")], None, noon) == plan.Decision("backup", "one", "there is no set one")
    assert plan.decide(wanted, [one(age=HOUR * 999)], None, noon).action == "none"
    assert plan.decide(wanted, [one()], [], noon).action == "upload"
    assert plan.decide(wanted, [one()], [one()], noon).action == "none"
    assert plan.decide(wanted, [], [one()], noon) == plan.Decision("none", "one", "the set one is in the store")
    assert plan.decide(wanted, [], [one("two")], noon).action == "backup"


def test_an_upload_that_did_not_end_is_no_set(one, noon):
    wanted = dataclasses.replace(WANTED, label="one")
    there = [one(problems=["it has no manifest"], manifest=False, unfinished=True)]
    assert plan.decide(wanted, [], there, noon).action == "backup"
    assert plan.decide(wanted, [one()], there, noon).action == "upload"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"postgres": {}}, "is of another PostgreSQL server"),
        ({"databases": ("other",)}, "does not hold the database mlflow"),
        ({"verified": {"level": "none"}}, "was not verified by verify=read"),
        ({"encrypted": True}, "is encrypted"),
        ({"problems": ["x is missing"]}, r"is damaged \(x is missing\)"),
    ],
)
def test_a_label_that_something_else_has_in_the_store_is_refused(one, noon, changes, says):
    wanted = dataclasses.replace(WANTED, label="one")
    with pytest.raises(BackupError, match=f"The set one is in the store and {says}: choose another label"):
        plan.decide(wanted, [], [one(**changes)], noon)


def test_a_manifest_that_the_store_does_not_give_may_be_that_of_the_same_set(one, noon):
    wanted = dataclasses.replace(WANTED, label="one")
    unread = one(manifest=False, problems=["no answer"])
    assert plan.decide(wanted, [one()], [unread], noon).action == plan.UPLOAD
    with pytest.raises(BackupError, match=r"in the store is cannot be read \(no answer\): repeat, or") as caught:
        plan.decide(wanted, [], [unread], noon)
    assert caught.value.safe_to_retry is True


def test_a_label_that_is_taken_by_something_else_is_refused(one, noon):
    wanted = dataclasses.replace(WANTED, label="one")
    with pytest.raises(BackupError, match="is there and is of another PostgreSQL server: choose another label"):
        plan.decide(wanted, [one(postgres={})], None, noon)
    with pytest.raises(BackupError, match="is there and the store has another of that label: choose another label"):
        plan.decide(wanted, [one()], [one(age=HOUR)], noon)


@pytest.mark.parametrize("there", [None, [], [{"problems": ["y is missing"]}], [{"postgres": {}}]])
def test_a_damaged_set_is_not_to_be_removed(one, noon, there):
    wanted = dataclasses.replace(WANTED, label="one")
    torn = [one(problems=["x is missing"])]
    says = r"is there and is damaged \(x is missing\): choose another label, or move the folder /sets/one away\."
    with pytest.raises(BackupError, match=says):
        plan.decide(wanted, torn, there and [one(**changes) for changes in there], noon)
    says = r"damaged \(x is missing\), and is whole in the store: move the folder /sets/one away, and the one in"
    with pytest.raises(BackupError, match=says):
        plan.decide(wanted, torn, [one()], noon)


def test_only_complete_sets_expire(one, noon):
    found = [one("a", HOUR), one("b", HOUR * 2), one("c", HOUR * 3, ["x"]), one("d", HOUR * 4, manifest=False)]
    assert plan.expiry(found, LAST, noon) == {
        "a": ("keep", "keep_last"),
        "b": ("expire", "no rule keeps it"),
    }
    coming = plan.expiry(found, dataclasses.replace(LAST, databases=("mlflow",)), noon, "next")
    assert retention.expired(coming) == ["a", "b"]


@pytest.mark.parametrize(
    ("databases", "new", "expired"),
    [
        # Each choice of databases by itself.
        ((), None, ["a", "x"]),
        (("mlflow",), None, ["a"]),
        (("mlflow",), "next", ["a", "b"]),
        (("auth", "mlflow"), None, ["x"]),
        (("auth",), None, []),
        # A set that holds more will do, and counts for its own databases only.
        (("mlflow",), "y", ["a"]),
    ],
)
def test_sets_of_other_databases_neither_expire_nor_count(one, noon, databases, new, expired):
    both = {"databases": ("mlflow", "auth")}
    found = [one("a", HOUR * 4), one("b", HOUR * 3), one("x", HOUR * 2, **both), one("y", HOUR, **both)]
    planned = plan.expiry(found, dataclasses.replace(LAST, databases=databases), noon, new)
    assert retention.expired(planned) == expired


def test_a_set_without_copies_of_artifacts_pushes_none_out(one, noon):
    listed = {"artifacts": {"mode": "inventory", "destination": "/copies"}}
    meant = {"artifacts": {"mode": "inventory", "destination": None}}
    for artifacts, expired in ((listed, ["a"]), (meant, ["a", "b"])):
        found = [one("a", HOUR * 3), one("b", HOUR * 2), one("c", HOUR, **artifacts)]
        assert retention.expired(plan.expiry(found, LAST, noon)) == expired


def test_a_server_on_new_machines_goes_on_with_the_sets_of_the_old_one(one, noon):
    sets = dataclasses.replace(LAST, policy=Policy(keep_last=2), databases=("mlflow",))
    old = [one(label, HOUR * age, postgres={"system_identifier": "old"}) for label, age in (("a", 4), ("b", 3))]
    assert retention.expired(plan.expiry([*old, one("c", HOUR)], sets, noon)) == ["a"]


def test_a_set_that_is_new_stays_though_its_servers_clock_was_behind(one, noon):
    found = [one("a", HOUR), one("b", HOUR * 2), one("new", HOUR * 48)]
    planned = plan.expiry(found, LAST, noon, "new")
    assert planned == {
        "a": ("keep", "keep_last"),
        "b": ("expire", "no rule keeps it"),
        "new": ("keep", "it is new"),
    }


@pytest.mark.parametrize(
    ("there", "changes", "late"),
    [
        ((), {}, ["b", "a"]),
        (("a", "b"), {}, []),
        (("b",), {}, ["a"]),
        # It is there in part only.
        (("a",), {"b": {"problems": ["x is missing"]}}, ["b"]),
        # What the store has keeps what is older from staying.
        (("c", "d", "b"), {}, []),
    ],
)
def test_what_the_store_should_have(one, noon, there, changes, late):
    hours = {"a": 6, "b": 5, "c": 4, "d": 3, "new": 1}
    sets = dataclasses.replace(LAST, policy=Policy(keep_last=4), databases=("mlflow",))
    here = [
        one("a", HOUR * 6),
        one("b", HOUR * 5),
        one("new", HOUR),
        one("torn", HOUR, ["x is missing"]),
        one("other", HOUR, databases=("other",)),
    ]
    remote = [one(label, HOUR * hours[label], **changes.get(label, {})) for label in (*there, *changes)]
    assert [found.label for found in plan.behind(here, remote, sets, noon, "new")] == late


@pytest.mark.parametrize(
    ("minutes", "says"),
    [(0, None), (-5, None), (5, None), (-2880, "is 2880 minutes behind this host"), (6, "is 6 minutes ahead of")],
)
def test_clocks(noon, minutes, says):
    warnings = plan.clocks(noon + datetime.timedelta(minutes=minutes), noon, "db:5432")
    assert [says in warning for warning in warnings] == [True] * bool(says)


def test_the_last_set_tells_how_small_a_dump_becomes(one):
    file = {"path": "x", "size": 200, "sha256": "0" * 64}
    earlier = [one("old", HOUR * 2, files=[file]), one("other", HOUR, databases=("a", "b"), files=[file])]
    # The old one took 200 bytes for a database of 1000.
    assert plan.needed_bytes({"mlflow": 2000}, earlier, 1.5) == 600
    assert plan.needed_bytes({"auth": 2000}, earlier, 1.5) == 3000
    assert plan.needed_bytes({"mlflow": 2000}, [], 1.2) == 2400
    assert plan.needed_bytes({"mlflow": 2000}, [one("bad", problems=["x"], files=[file])], 1.0) == 2000
    empty = one("empty")
    empty.manifest["databases"][0]["size_bytes"] = 0
    assert plan.needed_bytes({"mlflow": 2000}, [empty], 1.0) == 2000


def test_space_and_inodes():
    plan.check_space(100, 100, 1, 65, "/sets")
    plan.check_space(100, 100, 1, 0, "/sets")
    with pytest.raises(BackupError, match="/sets has 1 MiB free and the backup may need 2 MiB"):
        plan.check_space(2 << 20, 1 << 20, 1, 1000, "/sets")
    with pytest.raises(BackupError, match="has room for 64 more files"):
        plan.check_space(0, 1, 1, 64, "/sets")


def test_a_dump_that_is_too_small():
    plan.check_size(10, None)
    plan.check_size(10, 10)
    with pytest.raises(BackupError, match="The dump has 9 bytes and min_size is 10") as caught:
        plan.check_size(9, 10)
    assert not caught.value.safe_to_retry
