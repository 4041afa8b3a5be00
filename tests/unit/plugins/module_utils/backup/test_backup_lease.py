# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import time

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.lease import Lease, judge
from ansible_collections.mlops.stack.plugins.module_utils.backup.objects import Objects
from botocore import exceptions as boto_errors
from memory_s3 import START, MemoryS3, failure

AWAY = boto_errors.EndpointConnectionError(endpoint_url="http://store")
LOST_ANSWER = boto_errors.ReadTimeoutError(endpoint_url="http://store")


@pytest.fixture
def s3():
    return MemoryS3()


@pytest.fixture
def make(s3):
    made = []

    def make(holder="me", **options):
        objects = Objects(s3, "b", "sets", "http://store", wait_timeout=5, clock=s3.clock, sleep=s3.clock.sleep)
        made.append(Lease(objects, holder=holder, clock=s3.clock, sleep=s3.clock.sleep, **options))
        return made[-1]

    yield make
    for lease in made:
        lease.release()


def body(**changes):
    return json.dumps({"state": "held", "holder": "x", "since": "noon", "seconds": 60, **changes})


@pytest.mark.parametrize(
    ("text", "age", "free", "holder", "left"),
    [
        (body(), 10, False, "x (since noon)", 50),
        (body(), 60, True, "x (since noon)", 0),
        (body(state="released"), 1, True, "x (since noon)", 59),
        ("{", 10, False, "somebody unknown", 290),
        ("[]", 301, True, "somebody unknown", 0),
        ("{}", 10, False, "somebody unknown", 290),
    ],
)
def test_judge(text, age, free, holder, left):
    assert judge(text, age) == (free, holder, left)


def test_one_holds_it(make, s3):
    first, second = make(), make("you")
    first.acquire()
    first.check()
    with pytest.raises(BackupError, match=r"me \(since .*lock_timeout") as caught:
        second.acquire(timeout=30)
    assert caught.value.phase == "lock"
    assert 30 <= sum(s3.clock.sleeps) < 31
    with pytest.raises(BackupError, match="was lost"):
        second.check()
    first.release()
    with second:
        second.acquire()
        second.check()
        assert second.thread.is_alive()
    assert json.loads(s3.objects["sets/lease.json"].body)["state"] == "released"


def test_holders_are_told_apart_by_default(make):
    assert ", process " in make(holder=None).holder


def test_it_runs_out_by_the_stores_clock(make, s3, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: START + 1e6)
    dead, second = make(seconds=100), make("you")
    dead.acquire()
    s3.clock.sleep(99)
    dead.check()
    with pytest.raises(BackupError, match="1 seconds after it died"):
        second.acquire()
    s3.clock.sleep(2)
    with pytest.raises(BackupError, match="not renewed for 100 seconds"):
        dead.check()
    second.acquire()
    dead.renew()
    with pytest.raises(BackupError, match="was lost"):
        dead.check()
    second.check()
    dead.release()
    assert json.loads(s3.objects["sets/lease.json"].body)["token"] == second.token


def test_a_store_that_does_not_tell_its_time(make, s3, monkeypatch):
    lease = make()
    lease.acquire()
    _body, answer = lease.objects.get("lease.json")
    del answer["ResponseMetadata"]
    monkeypatch.setattr(time, "time", lambda: START + 70)
    assert Lease._age(answer) == 70


def test_renewal(make, s3):
    lease = make(seconds=100)
    lease.acquire()
    s3.clock.sleep(99)
    lease.renew()
    s3.clock.sleep(99)
    lease.check()
    s3.errors["put_object"] = [AWAY] * 1000
    lease.renew()
    with pytest.raises(BackupError, match="was lost"):
        lease.check()
    s3.errors["put_object"] = []
    lease.renew()
    lease.check()


def test_it_is_renewed_by_a_thread(make, s3):
    lease = make(seconds=0.03)
    lease.acquire()
    deadline = time.monotonic() + 10
    while len(s3.named("put_object")) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(s3.named("put_object")) >= 4


def test_an_answer_that_got_lost(make, s3):
    lease = make()
    put = MemoryS3.on_put_object

    def lossy(self, **arguments):
        put(self, **arguments)
        self.errors["put_object"] = [failure("PreconditionFailed", 412)]
        raise LOST_ANSWER

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryS3, "on_put_object", lossy)
        lease.acquire()
    lease.check()


def test_who_comes_second_loses(make, s3):
    lease = make()
    put = MemoryS3.on_put_object

    def race(self, **arguments):
        if self.objects:
            return put(self, **arguments)
        put(self, **{**arguments, "body": b"{}", "md5": "mZFLkyvTelC5g8XnyQrpOw=="})
        raise failure("PreconditionFailed", 412)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryS3, "on_put_object", race)
        with pytest.raises(BackupError, match="another backup that came first"):
            lease.acquire()
    with pytest.raises(BackupError):
        lease.check()


def test_a_store_that_does_not_heed_conditions(make, s3):
    s3.deaf = True
    first, second = make(), make("you")
    get = Objects.get
    asked = []

    def both_find_nothing(self, name, phase):
        asked.append(name)
        if len(asked) == 2:
            second.objects.put(name, b"{}", phase)
        return get(self, name, phase)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objects, "get", both_find_nothing)
        with pytest.raises(BackupError, match="came first"):
            first.acquire()


def test_giving_back_what_cannot_be_given_back(make, s3):
    lease = make()
    lease.release()
    assert s3.objects == {}
    lease.acquire()
    s3.errors["put_object"] = [failure("AccessDenied", 403)]
    lease.release()
    assert json.loads(s3.objects["sets/lease.json"].body)["state"] == "held"
