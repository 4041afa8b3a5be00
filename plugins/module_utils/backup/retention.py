# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sets stay. Pure.

Periods are those that have sets, counted from the newest set back, and not from today: a clock that jumped ahead, or a
month without backups, makes no set old.
"""

from __future__ import annotations

import dataclasses
import datetime

KEEP = "keep"
EXPIRE = "expire"
# So far ahead of us a set's time may be for it to count: it comes from the database server's clock.
TOLERANCE = datetime.timedelta(minutes=5)
UTC = datetime.timezone.utc


@dataclasses.dataclass(frozen=True)
class Policy:
    """How many sets stay by each rule; 0 is none. With no rule at all, every set stays."""

    keep_last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is no rule."""
        return not (self.keep_last or self.daily or self.weekly or self.monthly)


def _day(moment):
    return moment.date().isoformat()


def _week(moment):
    return "%d-W%02d" % moment.isocalendar()[:2]


def _month(moment):
    return moment.strftime("%Y-%m")


PERIODS = (("daily", _day), ("weekly", _week), ("monthly", _month))


def plan(
    sets, policy: Policy, now: datetime.datetime, minimum_redundancy: int = 2, lesser=frozenset()
) -> dict[str, tuple[str, str]]:
    """What becomes of each set, and why: {label: (keep or expire, reason)}.

    ``sets`` are (label, created) of complete sets only, with aware times. The newest ``minimum_redundancy`` of them
    always stay. ``lesser``: the labels of those that lack something. No set goes because of them: whatever would stay
    if they were not there stays.
    """
    result = {}
    past = []
    for label, created in sets:
        if created > now + TOLERANCE:
            result[label] = (KEEP, "its time is in the future: a clock was wrong, so it is not judged")
        else:
            past.append((created.astimezone(UTC), label))
    past.sort(reverse=True)
    reasons: dict[str, str] = {}
    if policy.empty:
        reasons = {label: "no retention is set" for _created, label in past}
    for counted in (past, [one for one in past if one[1] not in lesser]):
        for _created, label in counted[: policy.keep_last]:
            reasons.setdefault(label, "keep_last")
        for name, period in PERIODS:
            for label in newest_of_each(counted, period, getattr(policy, name)):
                reasons.setdefault(label, name)
        for _created, label in counted[:minimum_redundancy]:
            reasons.setdefault(label, "minimum_redundancy")
    for _created, label in past:
        result[label] = (KEEP, reasons[label]) if label in reasons else (EXPIRE, "no rule keeps it")
    return result


def newest_of_each(past, period, number: int) -> list[str]:
    """The newest set of each of the last ``number`` periods that have sets; ``past`` begins with the newest."""
    newest: dict[str, str] = {}
    for created, label in past:
        newest.setdefault(period(created), label)
    return list(newest.values())[:number]


def expired(planned: dict[str, tuple[str, str]]) -> list[str]:
    """The labels that go."""
    return sorted(label for label, (verdict, _reason) in planned.items() if verdict == EXPIRE)
