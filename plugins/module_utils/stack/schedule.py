# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Times at which something is done, written as in crontab(5) and given to systemd as systemd.time(7) wants them.

Kubernetes takes the five fields as they are, so that one variable serves both.
"""

from __future__ import annotations

import re

FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
)
WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
PART = re.compile(r"^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?$")
EVERY = "*"


class ScheduleError(ValueError):
    """A schedule that is none; the text is a sentence for a person."""


def values(text, name, low, high):
    """The numbers that one field stands for, sorted; None for all of them."""
    found = set()
    for part in text.split(","):
        match = PART.match(part)
        if not match:
            raise ScheduleError("%r cannot be the %s: use a number, 1-5, */15, or a list of them." % (part, name))
        first, last, step = (int(group) if group else None for group in match.groups())
        if first is None:
            first, last = low, high
        elif last is None:
            last = high if step else first
        if not low <= first <= last <= high or step == 0:
            raise ScheduleError("%r cannot be the %s: it goes from %d to %d." % (part, name, low, high))
        found.update(range(first, last + 1, step or 1))
    return None if len(found) == high - low + 1 else sorted(found)


def calendar(schedule):
    """The lines ``OnCalendar=`` (UTC) of a systemd timer for a schedule of five fields.

    As in crontab(5), a job with both a day of the month and a day of the week runs on either, which takes two lines.

    :param schedule: minute, hour, day of the month, month, day of the week: ``15 3 * * *`` is daily at 03:15 UTC.
    :returns: list of one or two calendar expressions.
    :raises ScheduleError: for anything else.
    """
    fields = str(schedule).split()
    if len(fields) != len(FIELDS):
        raise ScheduleError(
            "%r is not a schedule: write minute, hour, day of the month, month and day of the week, such as "
            "'15 3 * * *' for every day at 03:15 UTC." % schedule
        )
    minutes, hours, days, months, weekdays = (values(text, *field) for text, field in zip(fields, FIELDS, strict=True))
    if weekdays is not None:
        weekdays = list(dict.fromkeys(WEEKDAYS[number] for number in weekdays))
    clock = "%s:%s:00 UTC" % (listed(hours), listed(minutes))
    by_day = "*-%s-%s %s" % (listed(months), listed(days), clock)
    if weekdays is None or len(weekdays) == len(set(WEEKDAYS)):
        return [by_day]
    by_weekday = "%s *-%s-%s %s" % (",".join(weekdays), listed(months), EVERY, clock)
    return [by_weekday] if days is None else [by_day, by_weekday]


def listed(numbers):
    """Numbers as systemd lists them, with two digits; ``*`` for all."""
    return EVERY if numbers is None else ",".join("%02d" % number for number in numbers)
