# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.blazar import plan

UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
END = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NODES = plan.hosts("gpu_mi100", 2)
ADDRESS = plan.floating_ips("n1", 1)


def desired(**options):
    return plan.Desired("mlops", **options)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None),
        ("", None),
        ("now", None),
        ("2026-11-22T12:00:59Z", END),
        ("2026-11-22 12:00", END),
        ("2026-11-22T13:00:00+01:00", END),
    ],
)
def test_an_option_is_a_time(text, found):
    assert plan.time_of("end", text) == found


def test_an_option_is_no_time():
    with pytest.raises(plan.Refused) as refusal:
        plan.time_of("end", "friday")
    assert str(refusal.value) == "end is friday, which is no time: write it as 2026-12-01T12:00:00Z, in UTC."


@pytest.mark.parametrize(
    ("leases", "wanted", "picked"),
    [
        ([], "mlops", None),
        ([{"id": "l2", "name": "other"}], "mlops", None),
        ([{}], "mlops", "l1"),
        ([{}], "l1", "l1"),
        ([{"id": "old", "status": "TERMINATED"}, {}], "mlops", "l1"),
        ([{"id": "old", "status": "TERMINATED"}], "mlops", "old"),
    ],
)
def test_a_lease_is_picked(lease, leases, wanted, picked):
    found = plan.pick([lease(**changes) for changes in leases], wanted)
    assert (found and found["id"]) == picked


def test_leases_of_one_name(lease):
    with pytest.raises(plan.Refused) as refusal:
        plan.pick([lease(), lease(id="l2")], "mlops")
    assert str(refusal.value) == "2 leases are named mlops: give the id of one, l1 or l2."


@pytest.mark.parametrize(
    ("options", "start", "end"),
    [
        ({"hours": 24}, "now", "2026-11-22 18:00"),
        ({"end": END}, "now", "2026-11-22 12:00"),
        ({"start": END, "hours": 1.5}, "2026-11-22 12:00", "2026-11-22 13:30"),
    ],
)
def test_a_lease_is_made(options, start, end):
    todo = plan.make(desired(reservations=(NODES, ADDRESS), **options), None, NOW)
    assert todo.changes
    assert todo.create == {
        "name": "mlops",
        "start_date": start,
        "end_date": end,
        "reservations": [NODES, ADDRESS],
        "events": [],
    }
    assert (todo.before, todo.after["end"]) == ({}, end.replace(" ", "T") + ":00Z")


def test_nodes_are_asked_for_by_type():
    assert NODES == {
        "resource_type": "physical:host",
        "min": 2,
        "max": 2,
        "hypervisor_properties": "",
        "resource_properties": '["==", "$node_type", "gpu_mi100"]',
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"end": END},
        {"reservations": (NODES, ADDRESS)},
        {"reservations": (NODES, ADDRESS), "hours": 24},
        # Its machines would be gone earlier.
        {"end": NOW + datetime.timedelta(hours=1)},
        {"end": NOW - datetime.timedelta(hours=1)},
    ],
)
def test_a_lease_is_left_as_it_is(lease, options):
    todo = plan.make(desired(**options), lease(), NOW)
    assert not todo.changes
    assert todo.before == todo.after


def test_a_lease_is_extended(lease):
    todo = plan.make(desired(end=LATER), lease(), NOW)
    assert todo.extend == {"end_date": "2026-11-23 12:00"}
    assert todo.before == {"name": "mlops", "start": "2026-11-21T12:00:00Z", "end": "2026-11-22T12:00:00Z"}
    assert todo.after == dict(todo.before, end="2026-11-23T12:00:00Z")


@pytest.mark.parametrize(
    ("options", "changes", "words"),
    [
        ({}, None, "There is no lease mlops: correct the name, or reserve it"),
        ({"reservations": (NODES,)}, None, "A new lease needs an end: set end or hours."),
        (
            {"reservations": (NODES,), "end": NOW},
            None,
            "The lease mlops would end at 2026-11-21T18:00:00Z, before it begins: correct end.",
        ),
        ({}, {"status": "TERMINATED"}, "The lease mlops is over since 2026-11-22T12:00:00Z, and its nodes are gone:"),
        ({}, {"end_date": "2026-11-21T18:00:00.000000"}, "The lease mlops is over since 2026-11-21T18:00:00Z"),
        ({}, {"status": "ERROR"}, "The lease mlops is in the state ERROR, from which Blazar brings no lease back"),
        (
            {"reservations": (plan.hosts("compute_liqid", 1),)},
            {},
            "The lease mlops is another one (its node type is gpu_mi100, not compute_liqid; its number of nodes is 2, "
            "not 1), and",
        ),
        (
            {"reservations": (plan.flavors("f1", 1),)},
            {},
            "The lease mlops is another one (it has no flavor:instance), and",
        ),
        (
            {"reservations": (plan.floating_ips("n1", 2),)},
            {},
            "The lease mlops is another one (its number of floating IPs is 1, not 2), and",
        ),
    ],
)
def test_a_lease_is_refused(lease, options, changes, words):
    with pytest.raises(plan.Refused) as refusal:
        plan.make(desired(**options), None if changes is None else lease(**changes), NOW)
    assert str(refusal.value).startswith(words)


@pytest.mark.parametrize(
    ("reserved", "phrases"),
    [
        # A flavor as Chameleon notes it, and as Blazar does: its own, and what it was made from.
        ({"flavor_id": "f1", "amount": 2}, []),
        ({"flavor_id": "own", "resource_properties": json.dumps({"id": "f1"}), "amount": 2}, []),
        (
            {"flavor_id": "own", "resource_properties": json.dumps({"id": "f2"}), "amount": 2},
            ["its flavor is f2, not f1"],
        ),
        ({"flavor_id": "f1", "amount": 1}, ["its number of nodes is 1, not 2"]),
    ],
)
def test_virtual_machines_are_compared(lease, reserved, phrases):
    found = lease(reservations=[{"resource_type": "flavor:instance", **reserved}])
    assert plan.differences([plan.flavors("f1", 2)], found) == phrases


@pytest.mark.parametrize("properties", ["", None, '["and", ["==", "$gpu.gpu", "True"]]'])
def test_nodes_that_were_chosen_otherwise_are_others(lease, properties):
    reserved = dict(plan.hosts("gpu_mi100", 2), resource_properties=properties)
    assert plan.differences([NODES], lease(reservations=[reserved])) == [
        "its node type is %s, not gpu_mi100" % properties
    ]


@pytest.mark.parametrize(("there", "deleted"), [(True, True), (False, False)])
def test_a_lease_is_removed(lease, there, deleted):
    todo = plan.make(desired(state="absent"), lease() if there else None, NOW)
    assert (todo.delete, todo.changes, todo.after) == (deleted, deleted, {})


def test_what_is_returned(lease):
    assert plan.public(lease()) == {
        "id": "l1",
        "name": "mlops",
        "status": "ACTIVE",
        "start": "2026-11-21T12:00:00Z",
        "end": "2026-11-22T12:00:00Z",
        "reservations": [
            {"id": "r1", "resource_type": "physical:host", "status": "active"},
            {"id": "r2", "resource_type": "virtual:floatingip", "status": "active"},
        ],
    }


@pytest.mark.parametrize(
    ("changes", "settled"),
    [
        ({}, True),
        ({"status": "STARTING"}, False),
        ({"status": "PENDING"}, False),
        ({"status": "PENDING", "start_date": "2026-11-21T18:01:00.000000"}, False),
        ({"status": "PENDING", "start_date": "2026-11-21T18:02:00.000000"}, True),
    ],
)
def test_what_is_waited_for(lease, changes, settled):
    assert plan.is_settled(lease(**changes), NOW) is settled
