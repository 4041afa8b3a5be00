# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done to a container, judged by what Docker's module would change. Nothing here asks Docker."""

from __future__ import annotations

import collections
import datetime

NONE = "none"
CREATE = "create"
RECREATE = "recreate"
START = "start"
RESTART = "restart"
REMOVE = "remove"

# action, whether the image has to be fetched first, and Ansible's diff.
Change = collections.namedtuple("Change", "action fetch diff")


def judge(seen, own_env, handed_in_changed):
    """The change that a container needs.

    :param seen: the result of docker_container in check mode, with its differences.
    :param own_env: names of the variables that we set; others come with the image.
    :param handed_in_changed: when a file that is handed in was last changed, in seconds since 1970; 0 without any.
    """
    fetch = any("pulled_image" in action for action in seen.get("actions", ()))
    before, after = (dict(seen.get("diff", {}).get(side) or {}) for side in ("before", "after"))
    if after.get("exists") and not before.get("exists"):
        return Change(CREATE, fetch, {"before": {}, "after": {"container": "present"}})
    if fetch and "image" not in after:
        after["image"] = "the image asked for, which is not here yet"
        before["image"] = seen["container"]["Config"]["Image"]
    if set(after) - {"running"}:
        return Change(RECREATE, fetch, readable(before, after, own_env))
    if "running" in after:
        return Change(START, False, {"before": {"running": False}, "after": {"running": True}})
    if handed_in_changed > started(seen["container"]):
        return Change(RESTART, False, {"before": {"token": "of before"}, "after": {"token": "of now, after a restart"}})
    return Change(NONE, False, {"before": {}, "after": {}})


def readable(before, after, own_env):
    """Only what differs: of the environment the variables, and nothing about a start that each new container has."""
    shown = {"before": {}, "after": {}}
    for key in sorted(set(before) | set(after)):
        if key in ("running", "exists"):
            continue
        old, new = before.get(key), after.get(key)
        if key == "env":
            old, new = (variables(side) for side in (old, new))
            names = [
                name
                for name in sorted(set(old) | set(new))
                if old.get(name) != new.get(name) and name in own_env | set(old)
            ]
            old, new = ({name: side[name] for name in names if name in side} for side in (old, new))
        if old != new:
            shown["before"][key], shown["after"][key] = old, new
    return shown


def variables(listed):
    """The environment as a mapping; Docker lists it as texts."""
    return dict(text.partition("=")[::2] for text in listed or ())


def started(container):
    """When a container was started, in seconds since 1970."""
    text = container["State"]["StartedAt"].partition(".")[0].rstrip("Z")
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc).timestamp()


def names(name):
    """The names of the container that is tried, and of the old one while it makes room."""
    return name + "-next", name + "-previous"
