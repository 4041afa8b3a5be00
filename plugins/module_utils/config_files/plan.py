# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what has to be done to a list of files and folders. Nothing here touches a disk."""

from __future__ import annotations

import collections
import os.path
import re
import shlex

MODE = re.compile(r"[0-7]{4}")
HIDDEN = "(hidden content)\n"
HIDDEN_OTHER = "(hidden content, which differs)\n"

# What is at a path. kind: absent, file, directory, link or other; owner and group are names, for people to read.
# The content of a folder that is to be removed is the names of what it holds.
Found = collections.namedtuple("Found", "kind content uid gid mode owner group")
ABSENT = Found("absent", b"", None, None, None, None, None)

# An entry as it was meant: content is None unless state is file; uid and gid are None for an unknown account.
Wanted = collections.namedtuple("Wanted", "path state content secret owner uid group gid mode validate force")

# What to do. action: none, write, permissions, mkdir, remove or rmdir.
Step = collections.namedtuple("Step", "action wanted diff")


class Invalid(Exception):
    """An entry that cannot be carried out, with a sentence for a person."""

    def __init__(self, path, message):
        super().__init__("%s: %s" % (path, message))
        self.path = path


def wanted(entry, find_user, find_group):
    """Return an entry of the option files as Wanted, or raise Invalid.

    :param find_user: returns (id, name) of a user's name, or of the default user for None; the id is None if unknown.
    :param find_group: the same for groups.
    """
    path = entry["path"]
    if not path.startswith("/"):
        raise Invalid(path, "is not an absolute path: begin it with a slash.")
    if ".." in path.split("/"):
        raise Invalid(path, "has '..' in it: write the path without.")
    state, secret = entry["state"], entry["secret_content"] is not None
    text = entry["secret_content"] if secret else entry["content"]
    if state == "file" and text is None:
        raise Invalid(path, "has no content: give content or secret_content, or use state: directory or absent.")
    if state != "file" and text is not None:
        raise Invalid(path, "has content and state: %s: only a file has content." % state)
    uid, owner = find_user(entry["owner"])
    gid, group = find_group(entry["group"])
    return Wanted(
        path="/" + os.path.normpath(path).lstrip("/"),
        state=state,
        content=_encoded(path, text) if state == "file" else None,
        secret=secret,
        owner=owner,
        uid=uid,
        group=group,
        gid=gid,
        mode=_mode(path, entry["mode"], "0755" if state == "directory" else "0600" if secret else "0644"),
        validate=_validate(path, entry["validate"], state),
        force=entry["force"],
    )


def _encoded(path, text):
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # Raised anew, without the cause: that one carries the text.
        pass
    raise Invalid(path, "has content that is not valid Unicode: remove the bytes that are not UTF-8.")


def _mode(path, text, default):
    if text is not None and not MODE.fullmatch(text):
        raise Invalid(path, "has the mode %r: write four octal digits in quotes, such as '0640'." % text)
    return int(text or default, 8)


def _validate(path, text, state):
    if text is None:
        return None
    if state != "file":
        raise Invalid(path, "has validate and state: %s: only a file can be validated." % state)
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise Invalid(path, "has a validate command that cannot be split into arguments: %s." % error) from None
    if not any("%s" in argument for argument in argv):
        raise Invalid(path, "has a validate command without %s: write %s where the file's path belongs.")
    return argv


def plan(files, found, check_mode):
    """Return the steps for all files, in their order, or raise Invalid for the first that cannot be carried out.

    :param files: list of Wanted.
    :param found: Found by path, for every file and for every folder that holds one (where a symbolic link to a folder
        counts as that folder).
    :param check_mode: whether accounts may still be missing.
    """
    steps, done = [], {}
    for file in files:
        if file.path in done:
            raise Invalid(file.path, "is listed twice: leave one of the entries.")
        unknown = _unknown_account(file)
        if unknown and not check_mode:
            raise Invalid(file.path, unknown)
        step = decide(file, found[file.path], done)
        if step.action != "none":
            parent = os.path.dirname(file.path)
            _refuse_parent(file.path, parent, done.get(parent, found[parent].kind))
        steps.append(step)
        done[file.path] = file.state
    return steps


def _unknown_account(file):
    if file.state == "absent":
        return None
    for kind, name, number in (("user", file.owner, file.uid), ("group", file.group, file.gid)):
        if number is None:
            return "the %s '%s' does not exist on this host: create it first, or name another." % (kind, name)
    return None


def _refuse_parent(path, parent, kind):
    if kind == "absent":
        raise Invalid(path, "its folder %s does not exist: make it with an earlier entry, state: directory." % parent)
    if kind != "directory":
        raise Invalid(path, "%s is no folder: remove it, or choose another path." % parent)


def decide(file, now, done):
    """Return the step that one file or folder needs, where done has the states of the paths before it."""
    if now.kind == "link":
        raise Invalid(file.path, "is a symbolic link, which may belong to someone else: remove it, or name its target.")
    if now.kind == "other":
        raise Invalid(file.path, "is neither a file nor a folder: remove it, or choose another path.")
    if file.state == "absent":
        return _removal(file, now, done)
    if now.kind == "absent":
        if file.state == "directory":
            return Step("mkdir", file, [_difference(file.path, "", "directory\n" + _permissions_wanted(file))])
        after = HIDDEN if file.secret else _shown(file.content)
        return Step("write", file, [_difference(file.path, "", after), _permissions(file, None)])
    if now.kind != file.state:
        raise Invalid(
            file.path,
            "is a %s already, and state: %s is wanted: remove it, or choose another path."
            % ("folder" if now.kind == "directory" else "file", file.state),
        )
    if not file.force:
        return Step("none", file, [])
    diff = []
    if file.state == "file" and file.content != now.content:
        before, after = (HIDDEN, HIDDEN_OTHER) if file.secret else (_shown(now.content), _shown(file.content))
        diff.append(_difference(file.path, before, after))
    action = "write" if diff else "permissions"
    if (file.uid, file.gid, file.mode) != (now.uid, now.gid, now.mode):
        diff.append(_permissions(file, now))
    return Step(action if diff else "none", file, diff)


def _removal(file, now, done):
    if now.kind == "absent":
        return Step("none", file, [])
    if now.kind == "directory":
        if any(done.get(os.path.join(file.path, name)) != "absent" for name in now.content):
            raise Invalid(file.path, "is a folder that is not empty: remove what is in it first.")
        return Step("rmdir", file, [_difference(file.path, "directory\n", "")])
    return Step("remove", file, [_difference(file.path, "file\n", "")])


def _difference(path, before, after, what=""):
    header = path + what
    return dict(before_header=header, after_header=header, before=before, after=after)


def _permissions(file, now):
    before = "" if now is None else _permission_text(now.owner, now.group, now.mode)
    return _difference(file.path, before, _permissions_wanted(file), " (permissions)")


def _permissions_wanted(file):
    return _permission_text(file.owner, file.group, file.mode)


def _permission_text(owner, group, mode):
    return "owner: %s\ngroup: %s\nmode: %04o\n" % (owner, group, mode)


def _shown(content):
    return content.decode("utf-8", "replace")
