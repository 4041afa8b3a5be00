# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters for what runs on a host without Ansible, at times of its own."""

from __future__ import annotations

import pathlib

from ansible.errors import AnsibleFilterError
from ansible_collections.mlops.stack.plugins.module_utils.stack import availability, schedule

MODULE_UTILS = pathlib.Path(__file__).resolve().parents[1] / "module_utils"


def calendar(text):
    """The ``OnCalendar`` expressions of a systemd timer for a schedule as crontab(5) writes it."""
    try:
        return schedule.calendar(text)
    except schedule.ScheduleError as error:
        raise AnsibleFilterError(str(error)) from error


def calendar_before(end, hours):
    """The ``OnCalendar`` expression of a systemd timer for a time some hours before an end."""
    try:
        return availability.calendar_before(end, hours)
    except ValueError as error:
        raise AnsibleFilterError("%r and %r give no time: %s." % (end, hours, error)) from error


def module_utils_files(packages):
    """The Python files of some of the collection's packages: paths relative to the collection's parent, to contents."""
    found = {}
    for package in packages:
        files = sorted((MODULE_UTILS / package).rglob("*.py"))
        if not files:
            raise AnsibleFilterError("plugins/module_utils/%s is not part of mlops.stack." % package)
        for path in files:
            place = (
                "ansible_collections/mlops/stack/plugins/module_utils/%s" % path.relative_to(MODULE_UTILS).as_posix()
            )
            found[place] = path.read_text(encoding="utf-8")
    return found


class FilterModule:
    """Registers the filters; each is documented in a file of its name."""

    def filters(self):
        return {"calendar": calendar, "calendar_before": calendar_before, "module_utils_files": module_utils_files}
