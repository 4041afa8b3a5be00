# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import threading

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.s3.client import StoreError
from ansible_collections.mlops.stack.plugins.module_utils.s3.plan import NOBODY, SELF, UNKNOWN, Desired
from ansible_collections.mlops.stack.plugins.module_utils.s3.run import Run, side_by_side

READS = ("list_buckets", "head_bucket", "get_", "list_")


@pytest.fixture
def run(store):
    def call(*names, on=store, probe=True, probe_limit=10, check_mode=False, **desired):
        return Run(on, Desired(list(names), **desired), probe, probe_limit, check_mode)()

    return call


def writes(s3):
    return [operation for operation, _arguments in s3.calls if not operation.startswith(READS)]


def test_check_apply_repeat_absent(run, s3):
    wanted = {"versioning": "enabled", "tags": {"a": 1}}
    checked = run("a", "b", features=wanted, check_mode=True)
    assert checked.error is None
    assert checked.created == ["a", "b"]
    assert writes(s3) == []

    applied = run("a", "b", features=wanted)
    assert (applied.changed, applied.created, applied.owner_verified) == (True, ["a", "b"], True)
    assert (applied.before, applied.after) == (checked.before, checked.after)
    assert s3.features["b"] == {"versioning": "Enabled", "tags": [{"Key": "a", "Value": "1"}]}

    s3.calls.clear()
    repeated = run("a", "b", features=wanted)
    assert (repeated.changed, repeated.created, repeated.owner_verified) == (False, [], False)
    assert repeated.before == repeated.after == applied.after
    assert writes(s3) == []

    predicted = run("b", "a", "c", state="absent", check_mode=True)
    gone = run("b", "a", "c", state="absent")
    assert predicted.deleted == gone.deleted == ["b", "a"]
    assert s3.owners == {}


def test_what_was_not_asked_for_is_not_read(run, s3):
    s3.owners = {"a": "me"}
    assert not run("a").changed
    assert [operation for operation, _arguments in s3.calls] == ["list_buckets", "get_bucket_acl"]


def test_a_feature_that_differs_is_written_alone(run, s3):
    s3.owners = {"a": "me"}
    s3.features["a"]["versioning"] = "Enabled"
    outcome = run("a", features={"versioning": "enabled", "tags": {"a": "b"}})
    assert outcome.changed
    assert writes(s3) == ["put_bucket_tagging"]


def test_probes_of_new_buckets_are_bounded(run, s3):
    names = [f"b-{index}" for index in range(30)]
    run(*names, probe_limit=3)
    assert {arguments["Bucket"] for arguments in s3.named("put_object")} == {"b-0", "b-14", "b-29"}
    s3.calls.clear()
    run("x", probe=False)
    assert s3.named("put_object") == []


def test_an_owner_that_cannot_be_told_is_proven(run, s3, error):
    s3.owners = {"a": "ann"}
    denied = error("AccessDenied", 403)
    s3.errors["get_bucket_acl"] = [denied] * 4
    assert run("a").error is None
    assert len(s3.named("put_object")) == 1
    assert not run("a", check_mode=True).changed
    assert len(s3.named("put_object")) == 1
    s3.errors["put_object"] = [denied]
    refused = run("a")
    assert refused.error.phase == "probe"
    assert not refused.changed
    unproven = run("a", probe=False)
    assert unproven.buckets == [
        {"name": "a", "exists": True, "created": False, "owner": UNKNOWN, "owner_verified": False}
    ]


def test_all_is_refused_before_anything_is_changed(run, s3):
    s3.owners = {"b": "ann", "c": "bob"}
    outcome = run("a", "b", "c")
    assert "'b' belongs to another owner (ann)" in outcome.error.message
    assert "(1 more of the buckets failed too.)" in outcome.error.message
    assert writes(s3) == []


def test_force_empties_first(run, s3, error):
    s3.owners = {"a": "me"}
    s3.versions["a"] = [("k", "1", False)]
    assert run("a", state="absent").error.phase == "empty"
    s3.errors["delete_objects"] = [None, error("AccessDenied", 403)]
    s3.versions["a"] = [(f"k{index}", "1", False) for index in range(5)]
    outcome = run("a", state="absent", force=True)
    assert (outcome.error.phase, outcome.changed, outcome.deleted) == ("empty", True, [])
    assert run("a", state="absent", force=True).deleted == ["a"]


def test_adoption(run, s3, make_store):
    s3.owners = {"a": None}
    on = make_store(with_filer=True)
    assert run("a", on=on).error.phase == "owner"
    predicted = run("a", on=on, adopt_unowned=True, check_mode=True)
    assert predicted.changed
    assert predicted.buckets[0]["owner"] == NOBODY
    adopted = run("a", on=on, adopt_unowned=True)
    assert (adopted.changed, adopted.owner_verified, adopted.created) == (True, True, [])
    assert adopted.buckets[0]["owner"] == SELF
    assert len(s3.named("put_object")) == 1
    assert not run("a", on=on, adopt_unowned=True).changed


class Racing:
    """Lets somebody else make the bucket right after the survey."""

    def __init__(self, store, s3, owner, **features):
        self.store = store
        self.s3 = s3
        self.owner = owner
        self.features = features

    def __enter__(self):
        real = self.store.survey

        def survey(names):
            found = real(names)
            self.s3.owners["a"] = self.owner
            self.s3.features["a"].update(self.features)
            return found

        self.store.survey = survey
        return self

    def __exit__(self, *_details):
        del self.store.survey


def test_a_lost_race_creates_nothing_and_proves_access(run, s3, store):
    with Racing(store, s3, "me", versioning="Enabled"):
        outcome = run("a", features={"versioning": "enabled"})
    assert (outcome.error, outcome.changed, outcome.created) == (None, False, [])
    assert outcome.before == outcome.after
    assert len(s3.named("put_object")) == 1


def test_a_lost_race_still_brings_the_features(run, s3, store):
    with Racing(store, s3, "me"):
        outcome = run("a", features={"versioning": "enabled"})
    assert (outcome.changed, outcome.created) == (True, [])
    assert s3.features["a"]["versioning"] == "Enabled"


@pytest.mark.parametrize(
    ("owner", "features", "says"),
    [
        ("ann", {}, "another owner (ann)"),
        (None, {}, "has no owner"),
        ("me", {"object_lock": True}, "already exists without object lock"),
    ],
)
def test_a_lost_race_that_cannot_be_used(run, s3, make_store, owner, features, says):
    on = make_store(with_filer=True)
    with Racing(on, s3, owner):
        outcome = run("a", on=on, features=features)
    assert says in outcome.error.message
    assert not outcome.changed


def test_a_feature_that_the_store_lacks_keeps_the_bucket(run, s3, error):
    s3.errors["put_bucket_policy"] = [error("NotImplemented", 501)]
    policy = {"Statement": [{"Effect": "Allow"}]}
    outcome = run("a", features={"policy": policy})
    assert outcome.unsupported == ["policy"]
    assert (outcome.changed, outcome.created) == (True, ["a"])
    assert s3.owners == {"a": "me"}
    s3.errors["get_bucket_policy"] = [error("NotImplemented", 501)]
    s3.errors["get_bucket_tagging"] = [error("NotImplemented", 501)]
    again = run("a", features={"policy": policy, "tags": {}}, check_mode=True)
    assert again.unsupported == ["policy", "tags"]
    s3.owners = {"a": "me", "b": "me"}
    s3.errors["get_bucket_policy"] = [error("NotImplemented", 501)] * 2
    assert run("a", "b", features={"policy": policy}).unsupported == ["policy"]
    s3.errors["get_bucket_tagging"] = [None, error("NotImplemented", 501)]
    assert run("a", features={"tags": {"a": "b"}}).unsupported == ["tags"]


def test_a_feature_is_waited_for(run, s3, clock, monkeypatch):
    s3.owners = {"a": "me"}
    answers = [{}, {}, {"Status": "Enabled"}]
    monkeypatch.setattr(type(s3), "on_get_bucket_versioning", lambda self, bucket: answers.pop(0))
    assert run("a", features={"versioning": "enabled"}).error is None
    assert len(clock.sleeps) == 1
    monkeypatch.setattr(type(s3), "on_get_bucket_versioning", lambda self, bucket: {})
    outcome = run("a", features={"versioning": "enabled"})
    assert "gives back another one" in outcome.error.message
    assert outcome.changed
    assert 60 <= clock.now < 62


def test_an_error_while_looking(run, s3, error):
    s3.owners = {"a": "me"}
    s3.errors["get_bucket_acl"] = [error("Odd", 400)]
    assert run("a").error.phase == "owner"


def test_nothing_new_is_begun_after_an_error(monkeypatch):
    begun, asked = [], []
    all_asked = threading.Event()
    cancel = concurrent.futures.Future.cancel

    def watched(future):
        asked.append(future)
        done = cancel(future)
        if len(asked) == 500:
            all_asked.set()
        return done

    def work(item):
        begun.append(item)
        if item == 0:
            raise StoreError("no", "create")
        # The one that may have begun before the error was seen.
        assert all_asked.wait(60)
        return item

    monkeypatch.setattr(concurrent.futures.Future, "cancel", watched)
    results, errors = side_by_side(work, range(500), threads=1)
    assert [str(item) for item in errors] == ["no"]
    assert (begun[0], len(begun) <= 2) == (0, True)
    assert sorted(results) == begun[1:]


def test_a_programming_error_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda item: 1 / item, [0])


def test_nothing_to_run():
    assert side_by_side(lambda item: item, []) == ({}, [])
