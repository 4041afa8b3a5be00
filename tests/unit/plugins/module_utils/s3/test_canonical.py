# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.s3 import canonical


def statement(**parts):
    return {"Version": "2012-10-17", "Statement": [dict({"Effect": "Allow"}, **parts)]}


@pytest.mark.parametrize("empty", [None, {}])
def test_no_policy(empty):
    assert canonical.policy(empty) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (statement(Action="s3:GetObject"), statement(Action=["s3:getobject"])),
        (statement(Action=["b", "a", "a"]), statement(Action=["a", "b"])),
        (statement(NotAction="A"), statement(NotAction=["a"])),
        (statement(Resource="arn:x"), statement(Resource=["arn:x"])),
        (statement(Principal="*"), statement(Principal={"AWS": ["*"]})),
        (
            statement(NotPrincipal={"AWS": "123456789012"}),
            statement(NotPrincipal={"AWS": ["arn:aws:iam::123456789012:root"]}),
        ),
        (statement(Principal={"Service": "a"}), statement(Principal={"Service": ["a"]})),
        (
            statement(Condition={"Bool": {"aws:SecureTransport": False}}),
            statement(Condition={"Bool": {"AWS:securetransport": ["false"]}}),
        ),
        (
            statement(Condition={"Bool": {"a": True}, "NumericEquals": {"b": 3}}),
            statement(Condition={"NumericEquals": {"b": "3"}, "Bool": {"a": "true"}}),
        ),
        (statement(Sid=""), statement()),
        ({"Statement": {"Effect": "Deny"}}, {"Version": "2008-10-17", "Statement": [{"Effect": "Deny"}]}),
        (
            {"Version": "1", "Statement": [{"Sid": "a"}, {"Sid": "b"}]},
            {"Version": "1", "Statement": [{"Sid": "b"}, {"Sid": "a"}]},
        ),
        ({"Version": "1"}, {"Version": "1", "Statement": []}),
    ],
)
def test_policies_that_mean_the_same(one, other):
    assert canonical.policy(one) == canonical.policy(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (statement(Action="s3:GetObject"), statement(Action="s3:PutObject")),
        (statement(Resource="arn:A"), statement(Resource="arn:a")),
        (statement(Sid="a"), statement(Sid="b")),
        (statement(Effect="Allow"), statement(Effect="Deny")),
        (statement(Principal="*"), statement()),
        ({"Statement": []}, {"Version": "2012-10-17", "Statement": []}),
    ],
)
def test_policies_that_differ(one, other):
    assert canonical.policy(one) != canonical.policy(other)


def rule(**parts):
    return dict({"ID": "r", "Status": "Enabled"}, **parts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (rule(), rule(Filter={})),
        (rule(Prefix=""), rule(Filter={"Prefix": ""})),
        (rule(Prefix="a/"), rule(Filter={"Prefix": "a/"})),
        (
            rule(Filter={"Tag": {"Key": "k", "Value": "v"}}),
            rule(Filter={"And": {"Prefix": "", "Tags": [{"Value": "v", "Key": "k"}]}}),
        ),
        (
            rule(Filter={"And": {"Tags": [{"Key": "b", "Value": ""}, {"Key": "a", "Value": ""}]}}),
            rule(Filter={"And": {"Tags": [{"Key": "a", "Value": ""}, {"Key": "b", "Value": ""}]}}),
        ),
        (rule(Expiration={"Days": 3}), rule(Expiration={"Days": "3"})),
        (rule(Expiration={"ExpiredObjectDeleteMarker": True}), rule(Expiration={"ExpiredObjectDeleteMarker": 1})),
        (
            rule(Expiration={"Date": "2030-01-01T00:00:00Z"}),
            rule(Expiration={"Date": datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)}),
        ),
        (rule(Expiration={"Date": "2030-01-01"}), rule(Expiration={"Date": datetime.datetime(2030, 1, 1)})),
        (
            rule(Transitions=[{"Days": 9, "StorageClass": "B"}, {"Days": 1, "StorageClass": "A"}]),
            rule(Transitions=[{"Days": 1, "StorageClass": "A"}, {"Days": 9, "StorageClass": "B"}]),
        ),
        (rule(Transitions=[]), rule(NoncurrentVersionTransitions=None)),
    ],
)
def test_lifecycle_rules_that_mean_the_same(one, other):
    assert canonical.lifecycle([one]) == canonical.lifecycle([other])


def test_no_lifecycle():
    assert canonical.lifecycle([]) is None


@pytest.mark.parametrize(
    ("wanted", "found", "matches"),
    [
        (None, None, True),
        (None, [rule()], False),
        ([rule()], None, False),
        ([rule()], [rule()], True),
        ([{"Status": "Enabled"}], [rule(ID="made-up")], True),
        ([rule(ID="a")], [rule(ID="b")], False),
        ([{"Status": "Enabled"}, rule(ID="a")], [rule(ID="a"), rule(ID="b")], True),
        ([{"Status": "Enabled"}, {"Status": "Enabled"}], [rule()], False),
        ([rule()], [rule(), rule(ID="more")], False),
    ],
)
def test_lifecycle_matches(wanted, found, matches):
    assert canonical.lifecycle_matches(wanted, found) is matches


def test_tags():
    assert canonical.tags({}) is None
    assert canonical.tags({1: 2, "a": True, "b": "x"}) == {"1": "2", "a": "true", "b": "x"}
