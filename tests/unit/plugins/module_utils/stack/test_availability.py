# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import datetime

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import availability

NOW = datetime.datetime(2026, 11, 21, 20, 0, tzinfo=datetime.timezone.utc)


def hosts(**ends):
    return {name: {"variables": {} if end is None else {"common_available_until": end}} for name, end in ends.items()}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-12-01T12:00:00Z", "2026-12-01T12:00:00Z"),
        ("2026-12-01T12:00:00", "2026-12-01T12:00:00Z"),
        ("2026-12-01 12:00", "2026-12-01T12:00:00Z"),
        ("2026-12-01T12:00:00+02:00", "2026-12-01T10:00:00Z"),
        # YAML makes these of a time without quotes.
        (datetime.datetime(2026, 12, 1, 12, 0), "2026-12-01T12:00:00Z"),
        (datetime.datetime(2026, 12, 1, 12, 0, tzinfo=datetime.timezone.utc), "2026-12-01T12:00:00Z"),
    ],
)
def test_a_time_is_read_in_utc(text, written):
    assert availability.written(availability.moment(text)) == written


@pytest.mark.parametrize("end", [None, "", "2026-11-21T20:00:01Z"])
def test_a_host_that_is_still_there(end):
    assert availability.problems(hosts(vm=end), NOW) == []


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (
            "2026-11-21T20:00:00Z",
            "vm: its lease is over since 2026-11-21T20:00:00Z (common_available_until): extend the lease or take other "
            "machines, and restore the last backup there.",
        ),
        (
            "next week",
            "vm: common_available_until is next week, which is no time: write it as 2026-12-01T12:00:00Z, in UTC.",
        ),
    ],
)
def test_a_host_that_is_refused(end, sentence):
    assert availability.problems(hosts(vm=end, other=None), NOW) == [sentence]


@pytest.mark.parametrize(
    ("ends", "earliest"),
    [
        ({"a": None, "b": ""}, ""),
        ({"a": None, "b": "2026-12-01T12:00:00Z"}, "2026-12-01T12:00:00Z"),
        ({"a": "2026-12-01T12:00:00Z", "b": "2026-12-01T12:00:00+01:00"}, "2026-12-01T11:00:00Z"),
    ],
)
def test_the_first_end_counts(ends, earliest):
    assert availability.earliest(hosts(**ends)) == earliest


@pytest.mark.parametrize(
    ("hours", "line"),
    [(2, "2026-12-01 10:00:00 UTC"), ("0.5", "2026-12-01 11:30:00 UTC"), (13, "2026-11-30 23:00:00 UTC")],
)
def test_a_time_before_the_end(hours, line):
    assert availability.calendar_before("2026-12-01T12:00:00Z", hours) == line
