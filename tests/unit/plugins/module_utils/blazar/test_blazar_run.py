# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import datetime

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.blazar import client, run

NOW = datetime.datetime(2026, 11, 21, 18, 0, tzinfo=datetime.timezone.utc)
OPTIONS = {
    "cloud": "uc",
    "name": "mlops",
    "state": "present",
    "node_type": None,
    "flavor": None,
    "nodes": 2,
    "floating_ips": 0,
    "floating_network": "public",
    "start": "now",
    "end": None,
    "hours": None,
    "wait": True,
    "wait_timeout": 10,
}
NODES = {"node_type": "gpu_mi100", "hours": 24}


class Clock:
    """A clock that goes on while one waits."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return NOW

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


class Cloud:
    """A cloud whose leases are what a test gives; the states are those that it goes through, one per question."""

    def __init__(self, lease=None, states=(), types=(), too_few=False):
        self.kept = lease
        self.states = list(states)
        self.types = list(types)
        self.too_few = too_few
        self.calls = []

    def leases(self):
        return [self.kept] if self.kept else []

    def lease(self, lease_id):
        assert lease_id == "l1"
        status = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return self.kept | {"status": status} if status else None

    def create(self, payload):
        self.calls.append(("create", payload))
        if self.too_few:
            raise client.NotEnough()
        self.kept = {
            "id": "l1",
            "name": payload["name"],
            "status": "PENDING",
            "start_date": "2026-11-21T18:00:00.000000",
            "end_date": "2026-11-22T18:00:00.000000",
            "reservations": payload["reservations"],
        }
        return self.kept

    def extend(self, lease_id, payload):
        self.calls.append(("extend", lease_id, payload))
        if self.too_few:
            raise client.NotEnough()
        self.kept = self.kept | {"end_date": payload["end_date"].replace(" ", "T") + ":00.000000"}

    def delete(self, lease_id):
        self.calls.append(("delete", lease_id))

    def node_types(self):
        return self.types

    def network_id(self, name):
        return "id of " + name

    def flavor_id(self, name):
        return "id of " + name


def ensure(cloud, check_mode=False, **options):
    failed, result = run.ensure(OPTIONS | options, check_mode, cloud, Clock())
    return failed, result


def test_a_lease_is_made_and_waited_for():
    cloud = Cloud(states=["PENDING", "STARTING", "ACTIVE"], types=["gpu_mi100"])
    failed, result = ensure(cloud, floating_ips=1, **NODES)
    assert not failed, result
    assert result["changed"]
    assert (result["lease"]["status"], result["lease"]["end"]) == ("ACTIVE", "2026-11-22T18:00:00Z")
    ((_name, payload),) = cloud.calls
    assert [found["resource_type"] for found in payload["reservations"]] == ["physical:host", "virtual:floatingip"]
    assert payload["reservations"][1]["network_id"] == "id of public"


def test_room_for_virtual_machines_is_reserved():
    cloud = Cloud(states=["ACTIVE"])
    failed, _result = ensure(cloud, flavor="m1.large", hours=24)
    assert not failed
    assert cloud.calls[0][1]["reservations"] == [
        {"resource_type": "flavor:instance", "flavor_id": "id of m1.large", "amount": 2, "affinity": None}
    ]


def test_check_mode_makes_nothing():
    cloud = Cloud()
    failed, result = ensure(cloud, check_mode=True, **NODES)
    assert (failed, result["changed"], result["lease"], cloud.calls) == (False, True, None, [])
    assert result["diff"]["after"]["end"] == "2026-11-22T18:00:00Z"


def test_a_lease_that_is_there_stays(lease):
    cloud = Cloud(lease(), ["ACTIVE"])
    failed, result = ensure(cloud, **NODES)
    assert (failed, result["changed"], cloud.calls) == (False, False, [])
    assert result["lease"]["id"] == "l1"


def test_a_lease_is_not_waited_for_unless_that_is_asked(lease):
    failed, result = ensure(Cloud(lease(status="PENDING")), wait=False)
    assert (failed, result["lease"]["status"]) == (False, "PENDING")


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_lease_is_extended(lease, check_mode):
    cloud = Cloud(lease(), ["UPDATING", "ACTIVE"])
    failed, result = ensure(cloud, check_mode, end="2026-11-23T12:00:00Z")
    assert (failed, result["changed"], result["lease"]["end"]) == (False, True, "2026-11-23T12:00:00Z")
    assert cloud.calls == ([] if check_mode else [("extend", "l1", {"end_date": "2026-11-23 12:00"})])


def test_a_lease_is_removed(lease):
    cloud = Cloud(lease(), ["DELETING", None])
    failed, result = ensure(cloud, state="absent", node_type="gpu_mi100")
    assert (failed, result["changed"], result["lease"]) == (False, True, None)
    assert cloud.calls == [("delete", "l1")]


def test_a_removal_is_not_waited_for_unless_that_is_asked(lease):
    failed, result = ensure(Cloud(lease()), state="absent", wait=False)
    assert (failed, result["changed"], result["lease"]) == (False, True, None)


def test_no_lease_is_not_removed():
    failed, result = ensure(Cloud(), state="absent")
    assert (failed, result["changed"]) == (False, False)


@pytest.mark.parametrize(
    ("cloud", "options", "phase", "changed", "sentence"),
    [
        (
            Cloud(types=["compute_liqid", "gpu_a100"]),
            NODES,
            "options",
            False,
            "The cloud uc has no nodes of the type gpu_mi100, only of compute_liqid, gpu_a100: correct node_type.",
        ),
        (
            Cloud(too_few=True),
            NODES,
            "create",
            False,
            "The cloud uc has no 2 free nodes of gpu_mi100 from now until 2026-11-22T18:00:00Z: ask for fewer, for "
            "others, or for another time.",
        ),
        (
            Cloud(too_few=True),
            {"flavor": "m1.large", "start": "2026-11-22T00:00:00Z", "hours": 1},
            "create",
            False,
            "The cloud uc has no 2 free nodes of m1.large from 2026-11-22T00:00:00Z until 2026-11-22T01:00:00Z: ask "
            "for fewer, for others, or for another time.",
        ),
        (
            Cloud(states=["STARTING"]),
            NODES,
            "wait",
            True,
            "The lease mlops is still in the state STARTING after wait_timeout=10 seconds: run the same again, or look "
            "at it in the site's dashboard.",
        ),
        (
            Cloud(states=["ERROR"]),
            NODES,
            "wait",
            True,
            "The lease mlops ended up in the state ERROR: remove what is left of it (state=absent), and reserve anew.",
        ),
        (
            Cloud(states=[None]),
            NODES,
            "wait",
            True,
            "The lease mlops has been removed meanwhile: remove what is left of it (state=absent), and reserve anew.",
        ),
        (Cloud(), {"end": "friday"}, "options", False, "end is friday, which is no time: write it as"),
        (Cloud(), {}, "read", False, "There is no lease mlops: correct the name"),
    ],
)
def test_a_failure_is_one_sentence(cloud, options, phase, changed, sentence):
    failed, result = ensure(cloud, **options)
    assert failed
    assert result["msg"].startswith(sentence)
    assert (result["phase"], result["changed"]) == (phase, changed)


def test_nodes_that_are_taken_later_are_not_extended(lease):
    failed, result = ensure(Cloud(lease(), too_few=True), end="2026-11-23T12:00:00Z")
    assert failed
    assert result["msg"] == (
        "The nodes of the lease mlops are not free until 2026-11-23T12:00:00Z: extend it for a shorter time. It is "
        "left as it was."
    )
    assert not result["changed"]


def test_a_cloud_that_is_not_there_is_one_sentence(monkeypatch):
    def connect(name):
        raise client.Failure("There is no clouds.yaml for %s." % name, "connect")

    monkeypatch.setattr(client, "connect", connect)
    failed, result = run.ensure(OPTIONS, False)
    assert (failed, result["msg"], result["phase"]) == (True, "There is no clouds.yaml for uc.", "connect")


def test_the_clock_is_the_machine_s():
    clock = run.Clock()
    began = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() > began
    assert clock.now().tzinfo is datetime.timezone.utc
