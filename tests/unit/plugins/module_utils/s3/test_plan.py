# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.s3.plan import (
    NOBODY,
    OTHER,
    SELF,
    UNKNOWN,
    Bucket,
    Desired,
    conflict,
    plan,
    sample,
)

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject"}]}
RULES = [{"ID": "r", "Status": "Enabled", "Expiration": {"Days": 1}}]


def planned(bucket, **desired):
    return plan(Desired(["b"], **desired), {"b": bucket})


@pytest.mark.parametrize(
    ("bucket", "desired", "does", "before", "after"),
    [
        (Bucket(), {}, {"create": True, "prove": True}, {"exists": False}, {"exists": True}),
        (
            Bucket(),
            {"features": {"object_lock": True, "versioning": "enabled", "tags": {"a": 1}, "policy": {}}},
            {"create": True, "prove": True, "write": ["versioning", "tags"]},
            {"exists": False},
            {"exists": True, "object_lock": True, "versioning": "enabled", "tags": {"a": "1"}, "policy": None},
        ),
        (
            Bucket(True, SELF, features={"versioning": "enabled"}),
            {"features": {"versioning": "suspended"}},
            {"write": ["versioning"]},
            {"exists": True, "versioning": "enabled"},
            {"exists": True, "versioning": "suspended"},
        ),
        (
            Bucket(True, SELF, features={"tags": {"a": "b"}}),
            {"features": {"tags": {}}},
            {"write": ["tags"]},
            {"exists": True, "tags": {"a": "b"}},
            {"exists": True, "tags": None},
        ),
        (
            Bucket(True, NOBODY),
            {"adopt_unowned": True},
            {"adopt": True, "prove": True},
            {"exists": True, "owner": NOBODY},
            {"exists": True, "owner": SELF},
        ),
        (Bucket(True, SELF), {"state": "absent"}, {"delete": True}, {"exists": True}, {"exists": False}),
        (Bucket(True, UNKNOWN), {"state": "absent"}, {"delete": True}, {"exists": True}, {"exists": False}),
        (
            Bucket(True, SELF, content="objects"),
            {"state": "absent", "force": True},
            {"delete": True},
            {"exists": True},
            {"exists": False},
        ),
    ],
)
def test_changes(bucket, desired, does, before, after):
    result = planned(bucket, **desired)
    (change,) = result.changes
    assert result.refusals == []
    assert result.proofs == []
    done = {key: value for key, value in vars(change).items() if value and key != "name"}
    assert done == does
    assert result.before == {"b": before}
    assert result.after == {"b": after}


@pytest.mark.parametrize(
    ("bucket", "desired"),
    [
        (Bucket(True, SELF), {}),
        (Bucket(), {"state": "absent"}),
        (Bucket(True, SELF, features={"object_lock": True}), {"features": {"object_lock": True}}),
        (Bucket(True, SELF, features={"object_lock": None}), {"features": {"object_lock": False}}),
        (Bucket(True, SELF, features={"policy": None}), {"features": {"policy": {}}}),
        (
            Bucket(True, SELF, features={"lifecycle": [dict(RULES[0], Filter={})]}),
            {"features": {"lifecycle": RULES}},
        ),
    ],
)
def test_nothing_to_do(bucket, desired):
    result = planned(bucket, **desired)
    assert (result.changes, result.proofs, result.refusals) == ([], [], [])
    assert result.before == result.after


def test_an_owner_that_cannot_be_told_is_proven_without_a_change():
    result = planned(Bucket(True, UNKNOWN))
    assert result.changes == []
    assert [change.name for change in result.proofs] == ["b"]


@pytest.mark.parametrize(
    ("bucket", "desired", "phase", "says"),
    [
        (Bucket(True, OTHER, "ann"), {}, "owner", "another owner (ann)"),
        (Bucket(True, OTHER, "ann"), {"state": "absent", "force": True}, "owner", "another owner (ann)"),
        (Bucket(True, OTHER, "ann"), {"adopt_unowned": True}, "owner", "another owner (ann)"),
        (Bucket(True, NOBODY), {}, "owner", "adopt_unowned"),
        (Bucket(True, NOBODY), {"state": "absent"}, "owner", "adopt_unowned"),
        (Bucket(True, SELF, content="objects"), {"state": "absent"}, "empty", "holds objects"),
        (
            Bucket(True, SELF, features={"object_lock": None}),
            {"features": {"object_lock": True}},
            "features",
            "without object lock",
        ),
        (
            Bucket(True, SELF, features={"object_lock": True}),
            {"features": {"object_lock": False}},
            "features",
            "with object lock",
        ),
        (
            Bucket(True, SELF, unsupported=["policy", "tags"]),
            {"features": {"policy": POLICY, "tags": {}}},
            "features",
            "does not support policy and tags",
        ),
    ],
)
def test_refusals(bucket, desired, phase, says):
    result = planned(bucket, **desired)
    (refusal,) = result.refusals
    assert result.changes == []
    assert refusal.phase == phase
    assert says in refusal.message
    assert refusal.unsupported == bucket.unsupported


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ({}, None),
        ({"object_lock": True, "versioning": "enabled", "policy": POLICY, "lifecycle": RULES}, None),
        ({"object_lock": False, "versioning": "suspended", "policy": {}, "lifecycle": []}, None),
        ({"object_lock": True, "versioning": "suspended"}, "object_lock needs versioning"),
        ({"lifecycle": [{"ID": "x"}]}, "Status"),
        ({"policy": {"Version": "1"}}, "no Statement"),
    ],
)
def test_conflicts(features, says):
    assert (conflict(features) is None) if says is None else (says in conflict(features))


@pytest.mark.parametrize(
    ("names", "limit", "picked"),
    [
        ([], 3, []),
        (["a", "b"], 3, ["a", "b"]),
        (list("abcdefghi"), 3, ["a", "e", "i"]),
        (list("abc"), 1, ["a"]),
        (list("abc"), 0, []),
        (list("abc"), -1, []),
    ],
)
def test_sample(names, limit, picked):
    assert sample(names, limit) == picked
