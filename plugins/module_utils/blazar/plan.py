# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done so that a lease is as asked for. Pure: nothing here reads or writes."""

from __future__ import annotations

import dataclasses
import datetime
import json
import typing as t

from ansible_collections.mlops.stack.plugins.module_utils.stack.availability import moment, written

HOST = "physical:host"
FLAVOR = "flavor:instance"
FLOATING_IP = "virtual:floatingip"

ACTIVE = "ACTIVE"
ERROR = "ERROR"
ENDING = ("TERMINATED", "TERMINATING", "DELETING")

#: How Blazar wants a time to be written; it has no seconds.
FORMAT = "%Y-%m-%d %H:%M"
#: A lease that begins within this time is waited for.
SOON = datetime.timedelta(minutes=1)


class Refused(Exception):
    """Why a lease is left as it is, in one sentence."""

    def __init__(self, message, phase="options"):
        super().__init__(message)
        self.phase = phase


@dataclasses.dataclass(frozen=True)
class Desired:
    """What was asked for. Without a start it is now; without reservations the lease has to be there."""

    name: str
    state: str = "present"
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None
    hours: float | None = None
    reservations: tuple[dict[str, t.Any], ...] = ()


@dataclasses.dataclass
class Plan:
    """What is to be done, and how the lease looks before and after it."""

    create: dict | None = None
    extend: dict | None = None
    delete: bool = False
    before: dict = dataclasses.field(default_factory=dict)
    after: dict = dataclasses.field(default_factory=dict)

    @property
    def changes(self):
        return bool(self.create or self.extend or self.delete)


def time_of(option, text):
    """An option's time, to the minute as Blazar has it, or None where it was not given."""
    if text in (None, "", "now"):
        return None
    try:
        return moment(text).replace(second=0, microsecond=0)
    except ValueError:
        raise Refused(
            "%s is %s, which is no time: write it as 2026-12-01T12:00:00Z, in UTC." % (option, text)
        ) from None


def hosts(node_type, count):
    """The reservation of so many bare machines of one type."""
    return {
        "resource_type": HOST,
        "min": count,
        "max": count,
        "hypervisor_properties": "",
        "resource_properties": json.dumps(["==", "$node_type", node_type]),
    }


def flavors(flavor_id, count):
    """The reservation of room for so many virtual machines of one flavor."""
    return {"resource_type": FLAVOR, "flavor_id": flavor_id, "amount": count, "affinity": None}


def floating_ips(network_id, count):
    """The reservation of so many addresses of an external network."""
    return {"resource_type": FLOATING_IP, "network_id": network_id, "amount": count}


def pick(leases, name):
    """The one lease of that name or id, or None. One that is over counts only where no other has the name."""
    found = [lease for lease in leases if name in (lease["name"], lease["id"])]
    found = [lease for lease in found if lease["status"] not in ENDING] or found
    if len(found) > 1:
        raise Refused(
            "%d leases are named %s: give the id of one, %s." % (len(found), name, " or ".join(x["id"] for x in found)),
            "read",
        )
    return found[0] if found else None


def public(lease):
    """A lease as it is returned: its times as the inventory writes them, and its reservations."""
    return {
        "id": lease["id"],
        "name": lease["name"],
        "status": lease["status"],
        "start": written(moment(lease["start_date"])),
        "end": written(moment(lease["end_date"])),
        "reservations": [
            {key: reservation.get(key) for key in ("id", "resource_type", "status")}
            for reservation in lease["reservations"]
        ],
    }


def shown(lease):
    """A lease as a diff shows it, without what changes by itself."""
    return {key: public(lease)[key] for key in ("name", "start", "end")}


def differences(wanted, lease):
    """What of the reservations asked for the lease has otherwise, as phrases."""
    found = {reservation["resource_type"]: reservation for reservation in lease["reservations"]}
    phrases = []
    for reservation in wanted:
        kind = reservation["resource_type"]
        if kind not in found:
            phrases.append("it has no %s" % kind)
            continue
        for key, title in COMPARED[kind].items():
            asked, has = comparable(kind, key, reservation), comparable(kind, key, found[kind])
            if str(asked) != str(has):
                phrases.append("its %s is %s, not %s" % (title, has, asked))
    return phrases


COMPARED = {
    HOST: {"resource_properties": "node type", "max": "number of nodes"},
    FLAVOR: {"flavor_id": "flavor", "amount": "number of nodes"},
    FLOATING_IP: {"amount": "number of floating IPs"},
}


def comparable(kind, key, reservation):
    """A property in the form in which it is compared and shown."""
    value = reservation.get(key)
    if key == "resource_properties":
        operation = json.loads(value or "[]")
        return operation[2] if operation[:2] == ["==", "$node_type"] else value
    # Blazar makes a flavor of its own, and notes the one it was made from.
    if kind == FLAVOR and key == "flavor_id" and reservation.get("resource_properties"):
        return json.loads(reservation["resource_properties"]).get("id", value)
    return value


def end_of(desired, now):
    """When a new lease ends."""
    start = desired.start or now
    if desired.end is None and desired.hours is None:
        raise Refused("A new lease needs an end: set end or hours.")
    end = desired.end or start + datetime.timedelta(hours=desired.hours)
    if end <= max(start, now):
        raise Refused("The lease %s would end at %s, before it begins: correct end." % (desired.name, written(end)))
    return end


def make(desired, lease, now):
    """Compare what was asked for with the lease that there is, if any."""
    if desired.state == "absent":
        return Plan(delete=True, before=shown(lease)) if lease else Plan()
    if lease is None:
        return _create(desired, now)
    return _keep(desired, lease, now)


def _create(desired, now):
    if not desired.reservations:
        raise Refused(
            "There is no lease %s: correct the name, or reserve it (playbooks/chameleon/reserve.yml)." % desired.name,
            "read",
        )
    end = end_of(desired, now)
    payload = {
        "name": desired.name,
        "start_date": desired.start.strftime(FORMAT) if desired.start else "now",
        "end_date": end.strftime(FORMAT),
        "reservations": list(desired.reservations),
        "events": [],
    }
    after = {"name": desired.name, "start": written(desired.start) if desired.start else "now", "end": written(end)}
    return Plan(create=payload, after=after)


def _keep(desired, lease, now):
    end = moment(lease["end_date"])
    if lease["status"] in ENDING or end <= now:
        raise Refused(
            "The lease %s is over since %s, and its nodes are gone: remove it (playbooks/chameleon/release.yml), "
            "reserve anew, and restore the last backup there." % (desired.name, written(end)),
            "read",
        )
    if lease["status"] == ERROR:
        raise Refused(
            "The lease %s is in the state ERROR, from which Blazar brings no lease back: remove it "
            "(playbooks/chameleon/release.yml) and reserve anew." % desired.name,
            "read",
        )
    phrases = differences(desired.reservations, lease)
    if phrases:
        raise Refused(
            "The lease %s is another one (%s), and what a lease reserves is settled when it is made: ask for what it "
            "has, or reserve under another name." % (desired.name, "; ".join(phrases)),
            "read",
        )
    plan = Plan(before=shown(lease), after=shown(lease))
    if desired.end and desired.end > end:
        plan.extend = {"end_date": desired.end.strftime(FORMAT)}
        plan.after = dict(plan.after, end=written(desired.end))
    return plan


def is_settled(lease, now):
    """Whether there is nothing to wait for; a lease that begins later is not waited for."""
    if lease["status"] == "PENDING":
        return moment(lease["start_date"]) > now + SOON
    return lease["status"] == ACTIVE
