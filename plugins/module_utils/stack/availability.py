# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Machines that are lent for a time: when that ends, and what has to be done before."""

from __future__ import annotations

import datetime

VARIABLE = "common_available_until"

#: Inventory variables that are looked at here.
VARIABLES = (VARIABLE,)


def moment(text):
    """The time that a text in ISO 8601 stands for, in UTC; without an offset it is taken for UTC.

    :raises ValueError: for anything else.
    """
    # YAML reads such a time as one when it stands without quotes, and fromisoformat of Python 3.10 knows no Z.
    found = datetime.datetime.fromisoformat(str(text).strip().replace("Z", "+00:00"))
    if found.tzinfo is None:
        return found.replace(tzinfo=datetime.timezone.utc)
    return found.astimezone(datetime.timezone.utc)


def written(found):
    """A time as the inventory writes it."""
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")


def problems(hosts, now):
    """Sentences about hosts whose time is over, or whose end cannot be read.

    :param hosts: ``{"variables": ...}`` by host name; without the variable, or with an empty one, a host stays.
    :param now: the time, with an offset.
    """
    found = []
    for name, entry in hosts.items():
        text = entry["variables"].get(VARIABLE)
        if not text:
            continue
        try:
            end = moment(text)
        except ValueError:
            found.append(
                "%s: %s is %s, which is no time: write it as 2026-12-01T12:00:00Z, in UTC." % (name, VARIABLE, text)
            )
            continue
        if end <= now:
            found.append(
                "%s: its lease is over since %s (%s): extend the lease or take other machines, and restore the last "
                "backup there." % (name, written(end), VARIABLE)
            )
    return found


def earliest(hosts):
    """When the first of the hosts goes away, as the inventory writes it; empty where all of them stay."""
    ends = [entry["variables"].get(VARIABLE) for entry in hosts.values()]
    return min((written(moment(end)) for end in ends if end), default="")


def calendar_before(end, hours):
    """The line ``OnCalendar=`` of a systemd timer for the time some hours before an end, in UTC.

    :param end: a time in ISO 8601.
    :param hours: hours before it, also parts of one.
    :raises ValueError: when the end is no time, or the hours are no number.
    """
    start = moment(end) - datetime.timedelta(hours=float(hours))
    return start.strftime("%Y-%m-%d %H:%M:%S UTC")
