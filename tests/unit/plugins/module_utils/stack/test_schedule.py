# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import schedule


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("15 3 * * *", ["*-*-* 03:15:00 UTC"]),
        ("0 */6 * * *", ["*-*-* 00,06,12,18:00:00 UTC"]),
        ("* * * * *", ["*-*-* *:*:00 UTC"]),
        ("0-59 0-23 * * 0-6", ["*-*-* *:*:00 UTC"]),
        ("50/5 1 * * *", ["*-*-* 01:50,55:00 UTC"]),
        ("10-30/10 1,2 * * *", ["*-*-* 01,02:10,20,30:00 UTC"]),
        ("0 4 1 * *", ["*-*-01 04:00:00 UTC"]),
        ("0 4 1,15 6 *", ["*-06-01,15 04:00:00 UTC"]),
        ("30 2 * * 1-5", ["Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00 UTC"]),
        ("30 2 * * 0", ["Sun *-*-* 02:30:00 UTC"]),
        ("30 2 * * 0,7", ["Sun *-*-* 02:30:00 UTC"]),
        ("30 2 1 3 6", ["*-03-01 02:30:00 UTC", "Sat *-03-* 02:30:00 UTC"]),
    ],
)
def test_calendar(text, lines):
    assert schedule.calendar(text) == lines


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("daily", "'daily' is not a schedule: write minute"),
        ("* * * *", "is not a schedule"),
        ("60 * * * *", "'60' cannot be the minute: it goes from 0 to 59."),
        ("0 5-2 * * *", "'5-2' cannot be the hour"),
        ("0 0 0 * *", "'0' cannot be the day of the month: it goes from 1 to 31."),
        ("0 0 * * 8", "'8' cannot be the day of the week"),
        ("*/0 * * * *", "cannot be the minute"),
        ("MON * * * *", "'MON' cannot be the minute: use a number"),
        ("1,,2 * * * *", "'' cannot be the minute"),
    ],
)
def test_calendar_refuses(text, sentence):
    with pytest.raises(schedule.ScheduleError) as caught:
        schedule.calendar(text)
    assert sentence in str(caught.value)
