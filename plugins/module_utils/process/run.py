# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one command to its end: an argument list, a time limit, and no child left behind."""

from __future__ import annotations

import collections
import os
import shutil
import signal
import subprocess
import time

Result = collections.namedtuple("Result", "rc out err timed_out seconds")


class Interrupted(Exception):
    """This process was asked to end (SIGTERM, SIGHUP or SIGINT)."""


def end_cleanly_on_signals():
    """Turn SIGTERM, SIGHUP and SIGINT into an exception, so that what was begun is cleaned up."""

    def interrupt(number, frame):
        raise Interrupted("interrupted by %s" % signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupt)


def merged_environment(extra, drop=()):
    """This process's environment in the C locale, without the variables whose names begin as drop says."""
    merged = {name: value for name, value in os.environ.items() if not name.startswith(tuple(drop))}
    merged["LC_ALL"] = "C"
    merged.update(extra)
    return merged


def run(argv, timeout, env=None, cwd="/", started=None):
    """Run argv and return its Result; it is killed, with its children, at the time limit and when we are ended.

    ``started``: called with the Popen once it runs, for who runs several at once and has to end them.
    """
    setpriv = shutil.which("setpriv")
    guarded = ([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []) + list(argv)
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=merged_environment({}) if env is None else env,
            start_new_session=True,
        )
    except OSError as error:
        return Result(127, "", "%s: %s" % (argv[0], error.strerror), False, 0.0)
    timed_out = False
    try:
        if started is not None:
            started(process)
        out, err = process.communicate(timeout=max(timeout, 0.0))
    except subprocess.TimeoutExpired:
        timed_out = True
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Result(
        process.returncode,
        out.decode("utf-8", "replace"),
        err.decode("utf-8", "replace"),
        timed_out,
        round(time.monotonic() - began, 3),
    )
