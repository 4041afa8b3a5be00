# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encryption of a set's files by age: to recipients when backing up, with an identity when restoring."""

from __future__ import annotations

import os
import pathlib
import tempfile
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.together import side_by_side
from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

SUFFIX = ".age"
THREADS = 4
TAIL = 20
PROBE_SECONDS = 30


def encrypt_argv(recipients, source, target, program="age"):
    """The command that encrypts a file; recipients are public keys, so that argv may show them."""
    return [program, *(word for recipient in recipients for word in ("-r", recipient)), "-o", str(target), str(source)]


def decrypt_argv(identity_file, source, target, program="age"):
    """The command that decrypts a file; the identity is secret, so that argv only names its file."""
    return [program, "-d", "-i", str(identity_file), "-o", str(target), str(source)]


def _tail(text):
    return "\n".join(text.strip().splitlines()[-TAIL:])


def _run(argv, target, doing, option, timeout, runner):
    result = runner(argv, timeout)
    if result.rc == 0:
        return
    pathlib.Path(target).unlink(missing_ok=True)
    if result.rc == 127:
        message = f"{doing} needs the program age, which is not on this host: install the Debian package age."
    elif result.timed_out:
        message = f"{doing} did not end within {timeout:.0f} seconds."
    else:
        said = (_tail(result.err) or f"it ended with {result.rc}").replace("\n", " ")
        message = f"{doing} failed: {said}. Check {option}, and that the disk has space."
    raise BackupError(message, "encrypt", result.rc, _tail(result.err), result.timed_out)


def check_recipients(recipients, timeout=PROBE_SECONDS, runner=process.run):
    """Fail before a long dump, not after it, where age is missing or a recipient is not one."""
    with tempfile.TemporaryDirectory(prefix="mlops-stack-age-") as folder:
        plain = pathlib.Path(folder, "probe")
        plain.write_bytes(b"probe")
        target = plain.with_suffix(SUFFIX)
        _run(encrypt_argv(recipients, plain, target), target, "Encryption", "encrypt_to", timeout, runner)


def _settle(partial, target):
    """Give a finished file its name, once it is on disk."""
    partial.chmod(0o600)
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.rename(target)


def encrypt(folder, names, recipients, timeout, runner=process.run, clock=time.monotonic):
    """Encrypt files of a folder, several at once: the new names. Each plain file goes when its other is on disk.

    ``timeout``: seconds for all of them together.
    """
    deadline = clock() + timeout

    def work(name):
        plain = pathlib.Path(folder, name)
        target = plain.with_name(plain.name + SUFFIX)
        partial = plain.with_name(plain.name + ".partial")
        left = deadline - clock()
        _run(encrypt_argv(recipients, plain, partial), partial, f"Encrypting {name}", "encrypt_to", left, runner)
        _settle(partial, target)
        plain.unlink()
        return name + SUFFIX

    return side_by_side(work, names, THREADS)


def decrypt(folder, names, identity_file, timeout, runner=process.run, clock=time.monotonic):
    """Decrypt files of a folder, several at once: the new names. The encrypted files go.

    ``timeout``: seconds for all of them together.
    """
    deadline = clock() + timeout

    def work(name):
        sealed = pathlib.Path(folder, name)
        target = sealed.with_name(sealed.name[: -len(SUFFIX)])
        partial = sealed.with_name(sealed.name + ".partial")
        left = deadline - clock()
        argv = decrypt_argv(identity_file, sealed, partial)
        _run(argv, partial, f"Decrypting {name}", "the identity file", left, runner)
        # age makes no file where there is nothing to write.
        partial.touch()
        _settle(partial, target)
        sealed.unlink()
        return name[: -len(SUFFIX)]

    return side_by_side(work, names, THREADS)
