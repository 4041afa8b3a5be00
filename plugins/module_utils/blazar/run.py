# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of one blazar_lease call: options in, result out."""

from __future__ import annotations

import datetime
import time

from ansible_collections.mlops.stack.plugins.module_utils.blazar import client, plan

PAUSE = 2.0


class Clock:
    """The time, and waiting."""

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc)

    def monotonic(self):
        return time.monotonic()

    def sleep(self, seconds):
        time.sleep(seconds)


def ensure(params, check_mode, cloud=None, clock=None):
    """Bring a lease to its state; return (failed, result)."""
    result = dict(changed=False)
    try:
        cloud = cloud or client.Cloud(params["cloud"], client.connect(params["cloud"]))
        _ensure(params, check_mode, cloud, clock or Clock(), result)
    except plan.Refused as refusal:
        result.update(msg=str(refusal), phase=refusal.phase, safe_to_retry=False)
        return True, result
    except client.Failure as failure:
        result.update(msg=str(failure), phase=failure.phase, safe_to_retry=failure.safe_to_retry)
        return True, result
    return False, result


def _ensure(params, check_mode, cloud, clock, result):
    start, end = plan.time_of("start", params["start"]), plan.time_of("end", params["end"])
    lease = plan.pick(cloud.leases(), params["name"])
    desired = plan.Desired(
        name=params["name"],
        state=params["state"],
        start=start,
        end=end,
        hours=params["hours"],
        reservations=_reservations(params, cloud) if params["state"] == "present" else (),
    )
    todo = plan.make(desired, lease, clock.now())
    result["diff"] = dict(before=todo.before, after=todo.after)
    if todo.create:
        _know_node_type(params, cloud)
    if not check_mode:
        lease = _carry_out(todo, lease, params, cloud)
    result["changed"] = todo.changes
    if not check_mode:
        lease = _settle(todo, lease, params, cloud, clock)
    result["lease"] = plan.public(lease) if lease else None
    if check_mode and todo.extend:
        result["lease"]["end"] = todo.after["end"]


def _reservations(params, cloud):
    wanted = []
    if params["node_type"]:
        wanted.append(plan.hosts(params["node_type"], params["nodes"]))
    if params["flavor"]:
        wanted.append(plan.flavors(cloud.flavor_id(params["flavor"]), params["nodes"]))
    if params["floating_ips"]:
        wanted.append(plan.floating_ips(cloud.network_id(params["floating_network"]), params["floating_ips"]))
    return tuple(wanted)


def _know_node_type(params, cloud):
    """Refuse a type that the site does not have, where it tells its types."""
    types = cloud.node_types() if params["node_type"] else []
    if types and params["node_type"] not in types:
        raise plan.Refused(
            "The cloud %s has no nodes of the type %s, only of %s: correct node_type."
            % (params["cloud"], params["node_type"], ", ".join(types))
        )


def _carry_out(todo, lease, params, cloud):
    """Make the one request that the plan asks for; return the lease as it was known before or is now."""
    try:
        if todo.create:
            return cloud.create(todo.create)
        if todo.extend:
            cloud.extend(lease["id"], todo.extend)
        if todo.delete:
            cloud.delete(lease["id"])
    except client.NotEnough as failure:
        raise client.Failure(_too_few(todo, params), failure.phase, failure.safe_to_retry) from failure
    return lease


def _too_few(todo, params):
    if todo.extend:
        return (
            "The nodes of the lease %s are not free until %s: extend it for a shorter time. It is left as it was."
            % (params["name"], todo.after["end"])
        )
    return (
        "The cloud %s has no %d free nodes of %s from %s until %s: ask for fewer, for others, or for another time."
        % (
            params["cloud"],
            params["nodes"],
            params["node_type"] or params["flavor"],
            todo.after["start"],
            todo.after["end"],
        )
    )


def _settle(todo, lease, params, cloud, clock):
    """Wait until the lease is as it will stay, and return it, or None where it is gone."""
    if lease is None or not params["wait"]:
        return None if todo.delete else lease
    deadline = clock.monotonic() + params["wait_timeout"]
    while True:
        found = cloud.lease(lease["id"])
        if found is None and todo.delete:
            return None
        if found is None or (not todo.delete and found["status"] == plan.ERROR):
            raise client.Failure(
                "The lease %s %s: remove what is left of it (state=absent), and reserve anew."
                % (params["name"], "has been removed meanwhile" if found is None else "ended up in the state ERROR"),
                "wait",
            )
        if not todo.delete and plan.is_settled(found, clock.now()):
            return found
        if clock.monotonic() >= deadline:
            raise client.Failure(
                "The lease %s is still in the state %s after wait_timeout=%d seconds: run the same again, or look at "
                "it in the site's dashboard." % (params["name"], found["status"], params["wait_timeout"]),
                "wait",
                safe_to_retry=True,
            )
        clock.sleep(PAUSE)
