# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads, builds and removes Python environments on this host."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
import time

from ansible_collections.mlops.stack.plugins.module_utils.process import run as process
from ansible_collections.mlops.stack.plugins.module_utils.python_env import plan

WHEELS = "/usr/share/python-wheels"
TAIL = 20
LOCK_PAUSE = 0.2


class Failed(Exception):
    """A step that failed: one sentence, and what the command that ran has said."""

    def __init__(self, sentence, phase, kind="other", result=None, stderr_tail="", safe_to_retry=False):
        super().__init__(sentence)
        self.phase = phase
        self.kind = kind
        self.rc = None if result is None else result.rc
        self.stderr_tail = stderr_tail
        self.safe_to_retry = safe_to_retry


class Client:
    def __init__(
        self,
        path,
        uv_root,
        python,
        index_url=None,
        ca_bundle=None,
        proxies=None,
        timeout=600,
        run=process.run,
        wheels=WHEELS,
        clock=time,
    ):
        self.path = path
        self.uv_root = uv_root
        self.python = python
        self.index_url = index_url
        self.env = process.merged_environment(
            plan.network_environment(index_url, ca_bundle or self._system_ca_bundle(), proxies),
            plan.DROPPED_VARIABLES,
        )
        urls = [index_url] + [value for key, value in (proxies or {}).items() if key != "no_proxy"]
        self.secrets = plan.secrets_of(urls)
        self.run = run
        self.wheels = wheels
        self.clock = clock
        self.timeout = timeout
        self.deadline = clock.monotonic() + timeout
        parent, name = os.path.split(path)
        self.cache = os.path.join(parent, ".%s.cache" % name)
        self.previous = os.path.join(parent, ".%s.previous" % name)

    @staticmethod
    def _system_ca_bundle():
        if "SSL_CERT_FILE" in os.environ or not os.path.isfile(plan.SYSTEM_CA_BUNDLE):
            return None
        return plan.SYSTEM_CA_BUNDLE

    # what is there

    def interpreter(self):
        """The real file of the Python interpreter, or None where it does not exist."""
        found = os.path.realpath(self.python)
        return found if os.access(found, os.X_OK) and os.path.isfile(found) else None

    def read_current(self):
        """What is at the path: absent, foreign, leftover or complete, and its marker."""
        if os.path.islink(self.path) or os.path.isfile(self.path):
            return {"kind": "foreign", "marker": {}}
        if not os.path.isdir(self.path):
            # An interrupted rebuild leaves the old environment beside its place.
            return {"kind": "leftover" if os.path.isdir(self.previous) else "absent", "marker": {}}
        try:
            with open(os.path.join(self.path, plan.MARKER), encoding="utf-8") as handle:
                marker = json.load(handle)
        except FileNotFoundError:
            names = os.listdir(self.path)
            ours = not names or plan.BUILDING in names or "pyvenv.cfg" in names
            return {"kind": "leftover" if ours else "foreign", "marker": {}}
        except ValueError:
            return {"kind": "leftover", "marker": {}}
        return {"kind": "complete", "marker": marker if isinstance(marker, dict) else {}}

    # one at a time

    @contextlib.contextmanager
    def locked(self):
        """Hold this host's lock on environments; another play's build is waited for."""
        os.makedirs(self.uv_root, mode=0o755, exist_ok=True)
        descriptor = os.open(os.path.join(self.uv_root, ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self.clock.monotonic() >= self.deadline:
                        raise Failed(
                            "another play on this host has been building Python environments in %s for more than"
                            " %d s (timeout); wait for its end and try again." % (self.uv_root, self.timeout),
                            "lock",
                            "locked",
                            safe_to_retry=True,
                        ) from None
                    self.clock.sleep(LOCK_PAUSE)
            yield
        finally:
            os.close(descriptor)

    # steps

    def command(self, phase, argv, env=None):
        """Run one step; on failure say in one sentence what its words mean."""
        result = self.run(argv, self.deadline - self.clock.monotonic(), env=env or self.env)
        if result.rc == 0 and not result.timed_out:
            return result
        text = plan.scrub(result.err + "\n" + result.out, self.secrets).strip()
        tail = "\n".join(text.splitlines()[-TAIL:])
        if result.timed_out:
            raise Failed(
                "%s did not end within %d s (timeout); the network is too slow, or timeout is too short."
                % (os.path.basename(argv[0]), self.timeout),
                phase,
                "timeout",
                result,
                tail,
                True,
            )
        kind, sentence, retry = plan.explain(text, self.path, self.python, self.index_url)
        if result.rc == -9:
            kind, sentence, retry = "killed", "it was killed, most likely because memory ran out.", True
        if kind in ("other", "killed"):
            sentence = "%s failed with status %d: %s" % (os.path.basename(argv[0]), result.rc, sentence)
        raise Failed(sentence, phase, kind, result, tail, retry)

    def pip_wheel(self):
        found = sorted(glob.glob(os.path.join(self.wheels, "pip-*.whl")))
        if not found:
            raise Failed(
                "there is no pip wheel in %s on this host; install the package python3-pip-whl." % self.wheels,
                "bootstrap",
                "missing",
                safe_to_retry=True,
            )
        return found[-1]

    def bootstrap(self, requirements, version):
        """The path of uv; it is downloaded, checked and put in place in one step where it is missing."""
        target = os.path.join(self.uv_root, version)
        uv = os.path.join(target, "bin", "uv")
        if os.access(uv, os.X_OK):
            return uv
        partial = os.path.join(self.uv_root, ".%s.partial" % version)
        self.wipe(partial)
        os.makedirs(partial, mode=0o755)
        try:
            lock = os.path.join(partial, "requirements.txt")
            self.write(lock, requirements)
            tree = os.path.join(partial, "tree")
            self.command("bootstrap", plan.pip_argv(self.python, self.pip_wheel(), lock, tree))
            self.command("bootstrap", [os.path.join(tree, "bin", "uv"), "--version"])
            self.wipe(target)
            os.rename(tree, target)
        finally:
            self.wipe(partial)
        return uv

    def build(self, uv, requirements, marker, warm_imports):
        """Build the environment in place; its marker is written last, and a failure leaves nothing behind."""
        self.wipe(self.cache)
        self.set_aside()
        try:
            os.makedirs(self.path, mode=0o755)
            os.makedirs(self.cache, mode=0o700)
            self.write(os.path.join(self.path, plan.BUILDING), "")
            lock = os.path.join(self.cache, "requirements.txt")
            self.write(lock, requirements)
            env = dict(self.env, UV_CACHE_DIR=self.cache)
            self.command("create", plan.venv_argv(uv, self.python, self.path), env)
            self.command("download", plan.install_argv(uv, self.path, lock), env)
            if warm_imports:
                self.warm(warm_imports)
            os.unlink(os.path.join(self.path, plan.BUILDING))
            self.complete(marker)
        except BaseException:
            self.wipe(self.path)
            if os.path.isdir(self.previous):
                os.rename(self.previous, self.path)
            raise
        finally:
            self.wipe(self.cache)
        self.wipe(self.previous)

    def warm(self, modules):
        """Import modules once, so that their bytecode is there for users who may not write it."""
        env = dict(self.env, HOME=self.cache, TMPDIR=self.cache, DO_NOT_TRACK="1")
        try:
            self.command("import", plan.warm_argv(self.path, modules), env)
        except Failed as failure:
            if failure.kind != "other":
                raise
            raise Failed(
                "%s cannot be imported in the new environment: %s"
                % (", ".join(modules), plan.last_line(failure.stderr_tail)),
                "import",
                "import",
                process.Result(failure.rc, "", "", False, 0),
                failure.stderr_tail,
            ) from None

    def set_aside(self):
        """Keep a complete environment until its successor is; anything else at the path goes."""
        if self.read_current()["kind"] == "complete":
            self.wipe(self.previous)
            os.rename(self.path, self.previous)
        else:
            self.wipe(self.path)

    def complete(self, marker):
        temporary = os.path.join(self.path, plan.MARKER + ".new")
        self.write(temporary, json.dumps(marker, sort_keys=True) + "\n")
        os.rename(temporary, os.path.join(self.path, plan.MARKER))

    @staticmethod
    def write(path, text):
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())

    @staticmethod
    def wipe(path):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
