# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the host that a container gets, looked at before Docker is asked for anything."""

from __future__ import annotations

import collections

# mtime in seconds since 1970.
Seen = collections.namedtuple("Seen", "uid mtime kind")
MISSING = "No such file"


def paths(options):
    """What has to be there, by the option that names it."""
    wanted = ("workspace", "token_file", "credentials_file", "ca_cert", "config_dir")
    return {name: options[name] for name in wanted if options[name]}


def argv(wanted):
    """The command that looks at all of them at once."""
    return ["stat", "--dereference", "--format=%u %Y %F/%n", "--", *wanted.values()]


def parse(stdout):
    """What was seen, by path."""
    seen = {}
    for line in stdout.splitlines():
        told, _slash, path = line.partition("/")
        uid, mtime, kind = told.split(" ", 2)
        seen[path] = Seen(int(uid), int(mtime), kind)
    return seen


def problems(options, seen, check_mode=False):
    """Sentences about files that are missing or of the wrong kind or owner.

    :param check_mode: whether a task before this one may be about to make them.
    """
    found = []
    for name, path in paths(options).items():
        if path not in seen:
            if not check_mode:
                found.append("%s: there is no %s on this host: make it first." % (name, path))
            continue
        is_folder = seen[path].kind == "directory"
        if is_folder != (name in ("workspace", "config_dir")):
            found.append(
                "%s: %s is a %s: name a %s." % (name, path, seen[path].kind, "file" if is_folder else "folder")
            )
        elif name == "workspace":
            found += owner(path, seen[path].uid, options["user"])
    return found


def owner(path, uid, user):
    """A sentence about a workspace into which the container's user could not write."""
    number = (user or "").partition(":")[0]
    if not number.isdigit() or int(number) in (0, uid):
        return []
    return [
        "workspace: %s belongs to the user %s, so that Jupyter, which runs as %s, could save nothing: "
        "`chown -R %s %s`, or name another folder." % (path, "root" if uid == 0 else uid, number, user, path)
    ]


def changed(options, seen):
    """When what a running container does not read again was last changed, in seconds since 1970; 0 without any."""
    names = ("token_file", "credentials_file", "ca_cert")
    return max((seen[options[name]].mtime for name in names if options[name] in seen), default=0)
