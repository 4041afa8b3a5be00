# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import plan
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.plan import Found, Options

LABEL = "20261121T131500Z-9f3a"
SWAP = Options(mode="swap")


def database(name="mlflow", **changes):
    facts = {
        "name": name,
        "owner": "mlflow",
        "encoding": "UTF8",
        "collate": "C",
        "ctype": "C",
        "size_bytes": 100 << 20,
        "tables": {"public.runs": 5},
        "alembic": {"alembic_version": "abc"},
        "extensions": [],
    }
    return {**facts, **changes}


def manifest(*databases, version_num=150018):
    return {"label": LABEL, "databases": list(databases) or [database()], "postgres": {"version_num": version_num}}


def facts(**changes):
    known = {
        "version_num": 170012,
        "user": "mlops_restore",
        "superuser": False,
        "createdb": True,
        "roles": frozenset({"mlflow", "other"}),
        "member_of": frozenset({"mlflow"}),
        "extensions": {"plpgsql": True, "postgis": False},
        "free_bytes": None,
    }
    return plan.Facts(**{**known, **changes})


def target(options=SWAP, **changes):
    return plan.targets(manifest(database(**changes)), options)[0]


@pytest.mark.parametrize(
    "comment, mark",
    [
        (None, None),
        ("mine", None),
        (f"mlops.stack set {LABEL}", ("set", LABEL)),
        (f"mine\nmlops.stack set {LABEL}", ("set", LABEL)),
        (f"mine\nmlops.stack scratch set {LABEL}", ("scratch set", LABEL)),
        ("mlops.stack loading x", ("loading", "x")),
        ("mlops.stack set x and more", None),
    ],
)
def test_what_a_comment_says(comment, mark):
    assert plan.mark_of(comment) == mark


@pytest.mark.parametrize("before", [None, "", "mine", "mine\nmlops.stack set old", "mlops.stack loading old"])
def test_a_mark_takes_the_place_of_the_earlier_one(before):
    comment = plan.with_mark(before, "set", LABEL)
    assert plan.mark_of(comment) == ("set", LABEL)
    assert "old" not in comment
    assert comment.startswith("mine\n") == ("mine" in (before or ""))


def test_names_never_grow_too_long():
    assert plan.derived("mlflow", "new", LABEL) == f"mlflow__new_{LABEL}"
    names = {
        plan.derived("ä" * 30, "new", LABEL),
        plan.derived("ä" * 30, "new", "b" * 64),
        plan.derived("x" * 63, "old", LABEL),
    }
    assert len(names) == 3
    assert all(len(name.encode()) <= 63 for name in names)


def test_targets_of_a_swap():
    found = plan.targets(manifest(database("mlflow"), database("auth")), SWAP)
    assert [(one.source, one.name, one.new, one.old) for one in found] == [
        ("mlflow", "mlflow", f"mlflow__new_{LABEL}", f"mlflow__old_{LABEL}"),
        ("auth", "auth", f"auth__new_{LABEL}", f"auth__old_{LABEL}"),
    ]
    assert [
        one.source for one in plan.targets(manifest(database("mlflow"), database("auth")), Options(databases=("auth",)))
    ] == ["auth"]


def test_targets_of_a_scratch_restore():
    assert target(Options()).name == f"mlflow__scratch_{LABEL}"
    assert target(Options(target_db="mine")).name == "mine"


@pytest.mark.parametrize(
    "options, message",
    [
        (Options(databases=("mlflow", "gone")), "holds no database 'gone'; it holds auth, mlflow"),
        (Options(target_db="mine"), "target_db names one database, and the set .* holds 2"),
        (Options(databases=("auth",), target_db="mlflow"), "'mlflow' is the name of a live database"),
        (Options(databases=("auth",), target_db="postgres"), "'postgres' belongs to PostgreSQL itself"),
        (Options(mode="swap", databases=("auth",), target_db="ä" * 32), "longer than the 63 bytes"),
    ],
)
def test_names_that_are_refused(options, message):
    with pytest.raises(BackupError, match=message) as caught:
        plan.targets(manifest(database("mlflow"), database("auth")), options)
    assert caught.value.result()["safe_to_retry"] is False
    assert caught.value.result()["phase"] == "plan"


@pytest.mark.parametrize(
    "damaged",
    [
        {"databases": [{"name": "mlflow"}]},
        {"databases": ["mlflow"]},
        {"databases": [database(tables=None)]},
        {"postgres": {}},
    ],
)
def test_a_manifest_that_does_not_tell_enough(damaged):
    with pytest.raises(BackupError, match=f"The manifest of the set {LABEL} does not tell all"):
        plan.targets({**manifest(), **damaged}, SWAP)


@pytest.mark.parametrize(
    "options, comment, what",
    [
        (SWAP, None, "replace"),
        (SWAP, f"mlops.stack set {LABEL}", "nothing"),
        (SWAP, f"mlops.stack scratch set {LABEL}", "replace"),
        (SWAP, "mlops.stack set other", "replace"),
        (Options(mode="swap", force=True), f"mlops.stack set {LABEL}", "replace"),
        (Options(), f"mlops.stack scratch set {LABEL}", "nothing"),
        (Options(force=True), f"mlops.stack scratch set {LABEL}", "replace"),
        (Options(force=True), "mlops.stack scratch set other", "replace"),
        (Options(), "mlops.stack scratch set other", "holds the set other"),
        (Options(), None, "was not made by mode=scratch"),
        (Options(force=True), "somebody's", "was not made by mode=scratch"),
        (Options(force=True), f"mlops.stack set {LABEL}", "was not made by mode=scratch"),
    ],
)
def test_what_becomes_of_a_database(options, comment, what):
    one = target(options)
    present = Found(one.name, "mlflow", comment)
    if " " not in what:
        assert plan.decide(one, present, LABEL, options) == what
    else:
        with pytest.raises(BackupError, match=what):
            plan.decide(one, present, LABEL, options)
    assert plan.decide(one, None, LABEL, options) == "create"


def test_a_free_name():
    assert plan.free_name("a", {}) == "a"
    assert plan.free_name("a", {"a": 1, "a_2": 1}) == "a_3"
    assert plan.free_name("ä" * 31, {"ä" * 31: 1}) == "ä" * 30 + "_2"


def test_a_rehearsal_never_minds_what_is_there():
    one = target(Options(mode="rehearse"))
    assert plan.decide(one, Found(one.name, "mlflow", None), LABEL, Options(mode="rehearse")) == "create"


def test_owners():
    present = Found("mlflow", "live", None)
    assert plan.owner_of(target(), present, Options(mode="swap", owner="asked")) == "asked"
    assert plan.owner_of(target(), present, SWAP) == "live"
    assert plan.owner_of(target(), None, SWAP) == "mlflow"
    assert plan.owner_of(target(), present, Options()) == "mlflow"


@pytest.mark.parametrize(
    "changes, database_changes, message",
    [
        ({"version_num": 140009}, {}, "made from PostgreSQL 15 and this server is PostgreSQL 14"),
        ({"createdb": False}, {}, "ALTER ROLE mlops_restore CREATEDB"),
        ({"roles": frozenset()}, {}, "The role 'mlflow', .* does not exist"),
        ({"member_of": frozenset()}, {}, "GRANT mlflow TO mlops_restore"),
        ({}, {"extensions": ["plpgsql", "vector"]}, "the extension 'vector', which this server does not have"),
        ({}, {"extensions": [{"name": "postgis"}]}, "'postgis', which only a superuser may make"),
        ({"free_bytes": 109 << 20}, {}, "needs about 110 MiB .* has 109 MiB free"),
    ],
)
def test_what_stands_against_a_restore(changes, database_changes, message):
    one = target(**database_changes)
    owners = {one.name: "mlflow"}
    found = plan.problems([one], owners, facts(**changes), manifest())
    assert len(found) == 1
    with pytest.raises(BackupError, match=message):
        raise plan.refuse(plan.first(found))
    assert plan.problems([target()], owners, facts(), manifest()) == []


def test_a_superuser_may_all_but_what_is_not_there():
    one = target(extensions=["postgis"])
    free = facts(superuser=True, createdb=False, member_of=frozenset(), free_bytes=110 << 20)
    assert plan.problems([one], {one.name: "mlflow"}, free, manifest()) == []


def test_several_problems_are_counted():
    assert plan.first(["One."]) == "One."
    assert plan.first(["One.", "Two.", "Three."]) == "One. (2 more of that kind.)"


def test_what_differs_after_loading():
    wanted = database(
        tables={"public.a": 1, "public.b": 2, "public.c": 3}, alembic={"alembic_version": "abc", "old": "x"}
    )
    found = plan.differences(
        wanted, {"public.a": 1, "public.b": 3, "public.d": 0}, {"alembic_version": "abd", "old": "x"}
    )
    assert found == [
        "The table public.b has 3 rows, and the manifest says 2.",
        "The table public.c is missing.",
        "The table public.d is not in the manifest.",
        "alembic_version is at revision abd, and the manifest says abc.",
    ]
    assert plan.differences(wanted, wanted["tables"], wanted["alembic"]) == []


@pytest.mark.parametrize(
    "database, name, made",
    [
        ("mlflow", "mlflow__new_b", True),
        ("mlflow", f"mlflow__new_{LABEL}", True),
        ("mlflow", f"mlflow__new_{'l' * 51}", True),
        ("mlflow", "mlflow__new_", False),
        ("mlflow", "mlflow__new_-b", False),
        ("mlflow", "mlflow__new_b c", False),
        ("mlflow", "mlflow__new_latest", False),
        ("mlflow", "mlflow__old_b", False),
        ("mlflow", "mlflow2__new_b", False),
        ("mlflow", plan.derived("mlflow", "new", "l" * 64), True),
        ("d" * 63, plan.derived("d" * 63, "new", "b"), True),
        ("é" * 31, plan.derived("é" * 31, "new", LABEL), True),
        ("d" * 63, plan.derived("d" * 63, "new", "b")[:-1] + "g", False),
        ("d" * 63, plan.derived("d" * 62 + "e", "old", "b"), False),
    ],
)
def test_names_that_a_restore_makes(database, name, made):
    assert plan.is_derived(name, database, "new") is made


def test_leftovers_are_only_what_a_restore_left():
    one = target()
    databases = {
        "mlflow": None,
        one.new: None,
        "mlflow__new_b": "mlops.stack loading b",
        "mlflow__new_c": "keep this",
        "mlflow__new_d": "mlops.stack set d",
        "mlflow__new_e": "",
        "mlflow__new_schema": None,
        f"mlflow__old_{LABEL}": None,
        "other__new_a": None,
        "other__new_b": "mlops.stack loading b",
    }
    found = {name: Found(name, "mlflow", comment) for name, comment in databases.items()}
    assert plan.unmarked([one], found) == [one.new, "mlflow__new_e", "mlflow__new_schema"]
    assert plan.leftovers([one], found, [one.new, "mlflow__new_e"]) == sorted(
        ["mlflow__new_b", "mlflow__new_e", one.new]
    )
    assert plan.leftovers([one], found, []) == ["mlflow__new_b"]


def test_what_scratch_restores_have_made():
    comments = {"a": f"mlops.stack scratch set {LABEL}", "b": f"mlops.stack set {LABEL}", "c": None}
    comments.update(d=f"mine\nmlops.stack scratch set {LABEL}", e="mlops.stack scratch set other")
    found = {name: Found(name, "mlflow", comment) for name, comment in comments.items()}
    assert plan.scratches(found, LABEL, None) == ["a", "d"]
    assert plan.scratches(found, LABEL, "d") == ["d"]
    assert plan.scratches(found, LABEL, "b") == []
