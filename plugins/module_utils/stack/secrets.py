# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets on the control machine: one file each, generated once."""

from __future__ import annotations

import os
import secrets as random
import stat
import string
import tempfile

from ansible_collections.mlops.stack.plugins.module_utils.stack import checks

ALPHABET = string.ascii_letters + string.digits
LENGTH = 32
PLACEHOLDER = "generated-on-the-first-real-run"


class SecretError(Exception):
    """A secret that cannot be used; the text is a sentence for a person."""


def find(name, given, directory, generate=True):
    """The secret of that name.

    :param name: one of ``checks.SECRET_NAMES``.
    :param given: the inventory's own secrets by name; they win over files.
    :param directory: the folder with one file for each secret.
    :param generate: whether to make what is missing (not in check mode).
    :raises SecretError: for an unknown name, an unusable secret, or a file that others can read.
    """
    if name in given:
        return checked(name, given[name])
    path = os.path.join(directory, name)
    try:
        value = read(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SecretError("%s cannot be read: %s." % (path, error.strerror)) from error
    else:
        problems = checks.secret(name, value)
        if problems:
            raise SecretError("The file %s cannot be used. %s" % (path, " ".join(problems)))
        return value
    if name not in checks.SECRET_NAMES:
        return checked(name, "")
    if not generate:
        return PLACEHOLDER
    try:
        # Also where the inventory is in a repository that does not know of this folder.
        create(os.path.join(directory, ".gitignore"), "*")
        create(path, "".join(random.choice(ALPHABET) for _index in range(LENGTH)))
        return read(path)
    except OSError as error:
        raise SecretError("%s cannot be written: %s." % (path, error.strerror)) from error


def present(given, directory):
    """Names of the secrets that exist, here or in the inventory, each of them usable.

    :raises SecretError: for one that is there and cannot be used.
    """
    names = [name for name in checks.SECRET_NAMES if name in given or os.path.lexists(os.path.join(directory, name))]
    for name in names:
        find(name, given, directory, generate=False)
    return names


def checked(name, value):
    """``value``, or a SecretError when it cannot be used."""
    problems = checks.secret(name, value)
    if problems:
        raise SecretError(" ".join(problems))
    return value


def read(path):
    """The first line of a secret's file, which nobody but its owner may read."""
    with open(path, encoding="utf-8") as source:
        mode = stat.S_IMODE(os.fstat(source.fileno()).st_mode)
        if mode & 0o077:
            raise SecretError("%s can be read by others (mode %04o): run chmod 600 on it." % (path, mode))
        return source.readline().rstrip("\n")


def create(path, value):
    """Writes a secret whole or not at all; the first of several writers wins."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".secret-", dir=directory)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            target.write(value + "\n")
            target.flush()
            os.fsync(target.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            # Another process made it first: its value counts.
            return
    finally:
        os.unlink(temporary)
