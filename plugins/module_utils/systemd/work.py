# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of one systemd_units call: options in, result out."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.systemd import plan
from ansible_collections.mlops.stack.plugins.module_utils.systemd.client import Client, Failed


def ensure(params, check_mode, client=None):
    """Bring the units to their states; return (failed, result)."""
    client = client or Client(params["journal_lines"], params["start_timeout"])
    result = dict(changed=False, units=[])
    try:
        _ensure(params, check_mode, client, result)
    except plan.Invalid as problem:
        result.update(msg=str(problem), phase="options", safe_to_retry=False)
        return True, result
    except Failed as failure:
        result.update(
            msg=_message(failure), phase=failure.phase, unit=failure.unit, journal=failure.journal, safe_to_retry=True
        )
        if failure.rc is not None:
            result.update(rc=failure.rc, stderr_tail=failure.stderr_tail)
        return True, result
    return False, result


def _message(failure):
    if not failure.journal:
        return str(failure)
    return "%s The last lines of its journal:\n%s" % (failure, "\n".join(failure.journal))


def _ensure(params, check_mode, client, result):
    units = plan.check_units(params["units"])
    states, stale = client.read([unit["name"] for unit in units], refresh=not check_mode)
    if not check_mode:
        for unit, state in zip(units, states):
            problem = plan.refusal(unit, state)
            if problem:
                raise plan.Invalid(problem)
    units = [dict(unit, restart_on=plan.watched(unit, state)) for unit, state in zip(units, states)]
    times = client.times(units)
    decisions = [plan.decide(unit, state, times, params["restart"]) for unit, state in zip(units, states)]
    result["diff"] = dict(before=plan.describe(states, decisions, False), after=plan.describe(states, decisions, True))
    result["daemon_reload"] = stale
    if check_mode:
        result["units"] = [_report(decision) for decision in decisions]
        result["changed"] = any(report["changed"] for report in result["units"])
        return
    if any(decision["enablement"] for decision in decisions):
        client.set_enablement(decisions)
        result["changed"] = True
    for unit, state, decision in zip(units, states, decisions):
        report = _report(decision)
        if decision["action"]:
            result["changed"] = True
            client.act(unit, state, decision)
        elif unit["health"]:
            client.wait_healthy(unit, "health", int(state.get("NRestarts") or 0))
        result["units"].append(report)


def _report(decision):
    return dict(
        name=decision["name"],
        action=decision["action"] or "none",
        enablement=decision["enablement"] or "none",
        reason=decision["reason"] or "",
        changed=bool(decision["action"] or decision["enablement"]),
    )
