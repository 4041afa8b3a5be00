# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import random

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import retention
from ansible_collections.mlops.stack.plugins.module_utils.backup.retention import Policy

HISTORIES = 10_000
DAY = datetime.timedelta(days=1)


def at(text):
    return datetime.datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=datetime.timezone.utc)


def kept(days, policy, now="2026-11-21 12:00", redundancy=1):
    sets = [(day, at(day)) for day in days]
    planned = retention.plan(sets, policy, at(now), redundancy)
    assert sorted(planned) == sorted(days)
    return sorted(label for label, (verdict, _reason) in planned.items() if verdict == retention.KEEP)


@pytest.mark.parametrize(
    ("policy", "days", "left"),
    [
        # No rule: all stay.
        (Policy(), "2020-01-01 00:00, 2026-11-20 00:00", slice(None)),
        (Policy(keep_last=2), "2026-11-18 00:00, 2026-11-19 00:00, 2026-11-20 00:00", slice(1, 3)),
        # The newest of each day.
        (Policy(daily=2), "2026-11-19 01:00, 2026-11-20 01:00, 2026-11-20 23:00", slice(0, 3, 2)),
        # Days without sets are not counted.
        (Policy(daily=2), "2026-01-01 01:00, 2026-06-01 01:00, 2026-11-20 01:00", slice(1, 3)),
        # 2026-11-16 is a Monday, 2026-11-15 belongs to the week before.
        (Policy(weekly=2), "2026-11-14 00:00, 2026-11-15 00:00, 2026-11-16 00:00, 2026-11-17 00:00", slice(1, 4, 2)),
        # An ISO week that spans two years is one week.
        (Policy(weekly=1), "2024-12-31 00:00, 2025-01-01 00:00", slice(1, 2)),
        (Policy(monthly=2), "2026-09-30 00:00, 2026-10-01 00:00, 2026-10-31 00:00, 2026-11-01 00:00", slice(2, 4)),
        # Rules add up.
        (Policy(keep_last=1, monthly=2), "2026-10-01 00:00, 2026-11-01 00:00, 2026-11-02 00:00", slice(0, 3, 2)),
        # A set from the future stays and counts for nothing.
        (Policy(keep_last=1), "2026-11-20 00:00, 2026-11-21 00:00, 2027-01-01 00:00", slice(1, 3)),
        # A server's clock may be a little ahead.
        (Policy(keep_last=1), "2026-11-21 11:00, 2026-11-21 12:04", slice(1, 2)),
    ],
)
def test_rules(policy, days, left):
    days = days.split(", ")
    assert kept(days, policy) == days[left]


@pytest.mark.parametrize(
    ("policy", "redundancy", "left"),
    [
        # 17 to 20 November; those of the 18th and the 20th lack something.
        (Policy(), 1, "17 18 19 20"),
        (Policy(keep_last=1), 1, "19 20"),
        (Policy(keep_last=2), 1, "17 19 20"),
        (Policy(keep_last=1), 2, "17 19 20"),
        (Policy(daily=1), 1, "19 20"),
        (Policy(monthly=1), 1, "19 20"),
    ],
)
def test_a_set_that_lacks_something_takes_no_other_ones_place(policy, redundancy, left):
    sets = [(str(day), at(f"2026-11-{day} 00:00")) for day in range(17, 21)]
    planned = retention.plan(sets, policy, at("2026-11-21 00:00"), redundancy, {"18", "20"})
    assert [label for label, (verdict, _why) in sorted(planned.items()) if verdict == "keep"] == left.split()


def test_the_last_sets_stay_whatever_the_rules_say():
    days = ["2026-11-18 00:00", "2026-11-19 00:00", "2026-11-20 00:00"]
    assert kept(days, Policy(keep_last=1), redundancy=2) == days[1:]
    planned = retention.plan([(day, at(day)) for day in days], Policy(keep_last=1), at("2026-11-21 00:00"), 2)
    assert planned[days[0]] == ("expire", "no rule keeps it")
    assert planned[days[1]] == ("keep", "minimum_redundancy")
    assert planned[days[2]] == ("keep", "keep_last")
    assert retention.expired(planned) == days[:1]


def test_a_clock_that_went_back_expires_nothing():
    days = ["2026-11-18 00:00", "2026-11-19 00:00", "2026-11-20 00:00"]
    assert kept(days, Policy(keep_last=1), now="2026-11-17 00:00") == days


def test_a_clock_that_jumped_ahead_makes_no_set_old():
    days = ["2026-11-19 00:00", "2026-11-20 00:00"]
    assert kept(days, Policy(daily=7), now="2036-11-17 00:00") == days


def test_daylight_saving_is_no_second_day():
    berlin_summer = datetime.timezone(datetime.timedelta(hours=2))
    berlin_winter = datetime.timezone(datetime.timedelta(hours=1))
    sets = [
        ("first", datetime.datetime(2026, 10, 25, 2, 30, tzinfo=berlin_summer)),
        ("second", datetime.datetime(2026, 10, 25, 2, 30, tzinfo=berlin_winter)),
        ("third", datetime.datetime(2026, 10, 26, 0, 30, tzinfo=berlin_winter)),
    ]
    planned = retention.plan(sets, Policy(daily=1), at("2026-10-26 12:00"), 1)
    # By UTC all three are of the 25th.
    assert retention.expired(planned) == ["first", "second"]
    assert planned["third"][0] == "keep"


def must_stay(sets, policy, now, redundancy):
    """The labels that the rules promise to keep, found in another way: rule by rule, looking at every set anew."""
    limit = now + datetime.timedelta(minutes=5)
    past = [one for one in sets if one[1] <= limit]
    stay = {label for label, created in sets if created > limit}
    if policy == Policy():
        return {label for label, _created in sets}

    def newer(one):
        return sum((other[1], other[0]) > (one[1], one[0]) for other in past)

    stay |= {one[0] for one in past if newer(one) < max(policy.keep_last, redundancy)}
    keys = {
        "daily": lambda moment: moment.toordinal(),
        "weekly": lambda moment: (moment.toordinal() - 1) // 7,
        "monthly": lambda moment: moment.year * 12 + moment.month,
    }
    for rule, key in keys.items():
        periods = sorted({key(created) for _label, created in past}, reverse=True)[: getattr(policy, rule)]
        for period in periods:
            stay.add(max((one[1], one[0]) for one in past if key(one[1]) == period)[1])
    return stay


def history(chance):
    """Sets at odd times: regular, in bursts, with gaps, at the same second, and some from the future."""
    now = at("2026-11-21 12:00") + datetime.timedelta(seconds=chance.randrange(10**8))
    sets = []
    for number in range(chance.randrange(16)):
        age = chance.choice([
            datetime.timedelta(seconds=chance.randrange(300)),
            datetime.timedelta(hours=chance.randrange(72)),
            DAY * chance.randrange(40),
            DAY * chance.randrange(400),
            -datetime.timedelta(minutes=chance.randrange(1, 2000)),
        ])  # fmt: skip
        sets.append((f"set{number:02d}", now - age))
    chance.shuffle(sets)
    rules = [chance.choice([0, 0, 1, 2, 3, 7]) for _rule in range(4)]
    return sets, Policy(*rules), now, chance.choice([1, 2, 3])


def test_no_set_that_should_stay_is_ever_chosen():
    lost = 0
    expired = 0
    for seed in range(HISTORIES):
        chance = random.Random(seed)
        sets, policy, now, redundancy = history(chance)
        lesser = {label for label, _created in sets if chance.random() < 0.2}
        chosen = set(retention.expired(retention.plan(sets, policy, now, redundancy, lesser)))
        stay = must_stay(sets, policy, now, redundancy)
        stay |= must_stay([one for one in sets if one[0] not in lesser], policy, now, redundancy)
        lost += len(chosen & stay)
        expired += len(chosen)
        # And what no rule keeps does go.
        assert chosen == {label for label, _created in sets} - stay, seed
        assert len(sets) - len(chosen) >= min(redundancy, len(sets)), seed
    assert lost == 0
    assert expired > HISTORIES
