# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the helper with the Python of MLflow's virtual environment, as a user of choice."""

from __future__ import annotations

import json
import os
import pkgutil
import pwd
import signal
import subprocess

from ansible_collections.mlops.stack.plugins.module_utils.mlflow import helper
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.uri import scrub

# The Python reads the helper's text as one JSON line; the request follows it on the same stream.
_LOADER = (
    "import json, sys; exec(compile(json.loads(sys.stdin.readline()), 'mlflow-helper', 'exec'),"
    " {'__name__': '__main__'})"
)
TAIL = 20


class HelperFailed(Exception):
    """The helper gave no answer."""

    def __init__(self, text, rc=None, stderr_tail=""):
        super().__init__(text)
        self.rc = rc
        self.stderr_tail = stderr_tail


class UnknownUser(Exception):
    """run_as names a user that this host does not have."""


def source():
    """The helper's text, wherever modules are loaded from (a folder, or the zip that Ansible makes)."""
    package = helper.__name__.rpartition(".")[0]
    return pkgutil.get_data(package, "helper.py").decode("utf-8")


def identity(run_as):
    """The arguments of Popen that make a process run as that user."""
    if not run_as:
        return {}, None
    try:
        user = pwd.getpwnam(run_as)
    except KeyError:
        raise UnknownUser("there is no user %s on this host" % run_as) from None
    if user.pw_uid == os.geteuid():
        return {}, user
    groups = os.getgrouplist(run_as, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}, user


def environment(user):
    """This process's environment without what could change MLflow's behaviour, and with a home of that user."""
    merged = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "_MLFLOW_", "PYTHON", "PG"))
    }
    merged.update(LC_ALL="C.UTF-8", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    if user is not None:
        merged.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    return merged


class Helper:
    def __init__(self, python, run_as=None, secrets=()):
        self.python = python
        self.arguments, user = identity(run_as)
        self.env = environment(user)
        self.secrets = list(secrets)

    def call(self, request, timeout):
        """The helper's answer to one request; HelperFailed when it gives none in time."""
        text = json.dumps(source()) + "\n" + json.dumps(request)
        try:
            process = subprocess.Popen(
                [self.python, "-I", "-c", _LOADER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=self.env,
                start_new_session=True,
                umask=0o077,
                **self.arguments,
            )
        except OSError as error:
            raise HelperFailed("it cannot be started (%s)" % error.strerror) from None
        with process:
            try:
                out, err = process.communicate(text.encode("utf-8"), timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                raise HelperFailed(
                    "it did not finish within %d s and was ended" % timeout, process.returncode, self._tail(err)
                ) from None
        try:
            return json.loads(out.decode("utf-8")), self._tail(err)
        except ValueError:
            raise HelperFailed("it ended without an answer", process.returncode, self._tail(err)) from None

    def _tail(self, err):
        lines = err.decode("utf-8", "replace").strip().splitlines()[-TAIL:]
        return scrub("\n".join(lines), self.secrets)
