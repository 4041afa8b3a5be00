# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and changes files and folders. A file is either the old one or the new one, never a part of it."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
import tempfile

from ansible_collections.mlops.stack.plugins.module_utils.config_files.plan import ABSENT, Found
from ansible_collections.mlops.stack.plugins.module_utils.process.run import run

VALIDATION_SECONDS = 60
TAIL_LINES = 20
LONGEST_NAME = 200


class Failed(Exception):
    """A change that could not be made, with a sentence for a person."""

    def __init__(self, path, message, phase="write", result=None):
        super().__init__("%s: %s" % (path, message))
        self.path = path
        self.phase = phase
        self.result = result


def find_user(name):
    """Return (uid, name) of a user; uid is None if there is none of that name. None is root, or who we are."""
    return _find(os.geteuid() if name is None else name, lambda who: pwd.getpwnam(who).pw_uid, user_name)


def find_group(name):
    """Return (gid, name) of a group; gid is None if there is none of that name. None is root, or ours."""
    return _find(os.getegid() if name is None else name, lambda who: grp.getgrnam(who).gr_gid, group_name)


def _find(who, number_of, name_of):
    if isinstance(who, int):
        return who, name_of(who)
    try:
        return number_of(who), who
    except KeyError:
        return (int(who), who) if who.isascii() and who.isdigit() else (None, who)


def user_name(uid):
    """Return the name of a user, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid):
    """Return the name of a group, or the number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


@contextlib.contextmanager
def _explained(path, doing):
    try:
        yield
    except OSError as error:
        raise Failed(path, "cannot be %s: %s." % (doing, error.strerror or error)) from error


def look(files):
    """Return Found by path for all the files and for the folders that hold them."""
    found = {}
    for file in files:
        with _explained(file.path, "read"):
            found[file.path] = _read(file.path, file.state == "absent")
    for parent in [os.path.dirname(path) for path in found]:
        if parent not in found:
            with _explained(parent, "read"):
                found[parent] = _stat(parent)
    return found


def _stat(path):
    try:
        info = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    return _found("directory" if stat.S_ISDIR(info.st_mode) else "other", b"", info)


def _found(kind, content, info):
    owner, group = user_name(info.st_uid), group_name(info.st_gid)
    return Found(kind, content, info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode), owner, group)


def _read(path, listing):
    """Return what is at the path. Where a listing is wanted, the content of a folder is the names of what it holds."""
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    if stat.S_ISLNK(info.st_mode):
        return _found("link", b"", info)
    if stat.S_ISDIR(info.st_mode):
        return _found("directory", tuple(sorted(os.listdir(path))) if listing else (), info)
    if not stat.S_ISREG(info.st_mode):
        return _found("other", b"", info)
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return _found("file", file.read(), os.fstat(file.fileno()))


def apply(step):
    """Carry out one step; raise Failed where that cannot be done, with everything as it was."""
    with _explained(step.wanted.path, DOING[step.action]):
        ACTIONS[step.action](step.wanted)


def validate(file):
    """Raise Failed where the command that validates a file refuses what it is to hold; nothing is left behind."""
    folder = os.path.dirname(file.path)
    with _explained(file.path, "validated"), contextlib.ExitStack() as stack:
        if not os.path.isdir(folder):
            # An earlier entry makes it, but nothing is made before everything is valid.
            folder = stack.enter_context(tempfile.TemporaryDirectory())
        _ask(file, stack.enter_context(_temporary(file, folder)))


def _write(file):
    folder = os.path.dirname(file.path)
    with _temporary(file, folder) as temporary:
        os.rename(temporary, file.path)
    _sync(folder)


@contextlib.contextmanager
def _temporary(file, folder):
    """Give a new file in a folder with the content, owner and mode that are wanted; it is gone at the end."""
    # Hidden from programs that read all files of the folder, and with the name's own ending.
    name = os.path.basename(file.path)[-LONGEST_NAME:]
    temporary = os.path.join(folder, ".%s.%s" % (os.urandom(6).hex(), name))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as target:
            target.write(file.content)
            target.flush()
            _set_permissions(descriptor, file)
            os.fsync(descriptor)
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _ask(file, temporary):
    argv = [argument.replace("%s", temporary) for argument in file.validate]
    result = run(argv, VALIDATION_SECONDS)
    if result.timed_out:
        raise Failed(file.path, "%s took longer than %d s." % (argv[0], VALIDATION_SECONDS), "validate")
    if result.rc != 0:
        said = [line.replace(temporary, file.path) for line in (result.out + result.err).strip().splitlines()]
        said = said[-TAIL_LINES:]
        if file.secret and said:
            said = ["(hidden, because the file's content is)"]
        raise Failed(
            file.path,
            "the new content is refused by %s (exit status %d): correct it; the file was left as it was.%s"
            % (argv[0], result.rc, " It says: %s" % said[-1] if said else ""),
            "validate",
            dict(rc=result.rc, stderr_tail="\n".join(said)),
        )


def _set_permissions(descriptor, file):
    info = os.fstat(descriptor)
    if (info.st_uid, info.st_gid) != (file.uid, file.gid):
        try:
            os.fchown(descriptor, file.uid, file.gid)
        except PermissionError:
            raise Failed(
                file.path, "cannot be given to %s:%s: run the module as root." % (file.owner, file.group)
            ) from None
    # After the owner: a change of that takes some bits away.
    os.fchmod(descriptor, file.mode)


def _sync(folder):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mkdir(file):
    os.mkdir(file.path, 0o700)
    try:
        _permissions(file)
    except BaseException:
        os.rmdir(file.path)
        raise


def _permissions(file):
    kind = os.O_DIRECTORY if file.state == "directory" else os.O_NONBLOCK
    descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind)
    try:
        _set_permissions(descriptor, file)
    finally:
        os.close(descriptor)


def _remove(file):
    os.unlink(file.path)


def _rmdir(file):
    os.rmdir(file.path)


ACTIONS = dict(write=_write, mkdir=_mkdir, permissions=_permissions, remove=_remove, rmdir=_rmdir)
DOING = dict(write="written", mkdir="made", permissions="given its mode", remove="removed", rmdir="removed")
