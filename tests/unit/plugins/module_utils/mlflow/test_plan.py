# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import plan
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.revisions import Scripts

TRACKING = Scripts({"a", "b"}, {"b"}, {"runs2", "models"})
AUTH = Scripts({"x", "y"}, {"y"}, plan.LEGACY_AUTH_TABLES | {"roles"})


def state(tables=(), tracking=None, auth=None, **more):
    revisions = {}
    if tracking is not None:
        revisions["alembic_version"] = tracking
    if auth is not None:
        revisions["alembic_version_auth"] = auth
    return dict(more, tables=list(tables) + list(revisions), revisions=revisions)


def step(store, found):
    scripts, others = (TRACKING, AUTH.tables) if store == plan.TRACKING else (AUTH, TRACKING.tables)
    return plan.plan_store(store, "h:1/d", "3.17.2", scripts, others, found)


@pytest.mark.parametrize(
    "store, found, action, before, after",
    [
        ("tracking", state(), "initialise", None, "b"),
        ("tracking", state(tracking=["b"]), "none", "b", "b"),
        ("tracking", state(tracking=["a"]), "migrate", "a", "b"),
        ("tracking", state(["runs", "tags"]), "initialise", None, "b"),
        ("tracking", state(plan.INITIAL_TABLES, tracking=[]), "initialise", None, "b"),
        ("tracking", state(AUTH.tables, auth=["y"]), "initialise", None, "b"),
        ("auth", state(["models"], tracking=["b"]), "initialise", None, "y"),
        ("auth", state(auth=["y"]), "none", "y", "y"),
        ("auth", state(auth=["x"], can_create=True, standby=False), "migrate", "x", "y"),
        ("auth", state(plan.LEGACY_AUTH_TABLES), "migrate", None, "y"),
    ],
)
def test_what_happens(store, found, action, before, after):
    result = step(store, found)
    assert (result.action, result.before, result.after) == (action, before, after)
    assert result.changes == (action != "none")
    assert result.as_dict() == {"action": action, "from": before, "to": after}


@pytest.mark.parametrize(
    "store, found, words",
    [
        ("tracking", state(tracking=["zz"]), "by a newer MLflow .revision zz of the tracking store is not known to"),
        ("auth", state(auth=["zz"]), "written by a newer MLflow"),
        ("tracking", state(tracking=["a", "b"]), "2 revisions at once"),
        ("tracking", state(["foo"]), "not empty and not MLflow's"),
        ("tracking", state(plan.INITIAL_TABLES | {"models"}), "not the record of their version"),
        ("auth", state(["users"]), "needs the names of"),
        ("tracking", state(standby=True), "is a standby"),
        ("tracking", state(can_create=False, user="u", schema="public"), "user u may not make tables"),
        ("tracking", state(tracking=["a"], can_create=False), "may not make tables"),
    ],
)
def test_refused(store, found, words):
    import re

    result = step(store, found)
    assert result.action == plan.REFUSE
    assert re.search(words, result.message)
    assert "nothing was changed" in result.message
    assert not result.changes


def test_some():
    assert plan.some("dcba") == "a, b, c and 1 more"
    assert plan.some("ba") == "a, b"


def test_words():
    steps = [plan.Step("tracking", "migrate", "a", "b"), plan.Step("auth", "initialise", None, "y")]
    where = {"tracking": "h:1/d", "auth": "h:1/e"}
    assert plan.sentence(steps, where, False) == (
        "would migrate the tracking store at h:1/d from revision a to b; "
        "would initialise the users' store at h:1/e at revision y"
    )
    done = [plan.Step("tracking", "initialise", None, "b"), plan.Step("auth", "migrate", None, "y")]
    assert plan.sentence(done, where, True) == (
        "initialised the tracking store at h:1/d at revision b; "
        "migrated the users' store at h:1/e from revision before the first to y"
    )
    assert plan.sentence([plan.Step("auth", "none", "y", "y")], where, True) == "the schema is up to date"
    assert plan.diff(steps)["before"] == "tracking store: a\nusers' store: absent\n"
    assert plan.diff(steps)["after"] == "tracking store: b\nusers' store: y\n"
