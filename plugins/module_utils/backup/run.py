# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call: what is there, what is to be done, doing it under the locks, and what is told of it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import shutil
import socket

from ansible_collections.mlops.stack.plugins.module_utils.backup import (
    folder,
    locks,
    manifest,
    names,
    plan,
    retention,
)
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.extras import Extras
from ansible_collections.mlops.stack.plugins.module_utils.backup.making import Making
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import Server
from ansible_collections.mlops.stack.plugins.module_utils.backup.progress import Progress, utc_now
from ansible_collections.mlops.stack.plugins.module_utils.backup.results import diff, failed_write, summary
from ansible_collections.mlops.stack.plugins.module_utils.backup.settings import Settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.store import Away, open_store
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.uri import scrub
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted


class Run:
    """One call. ``opener`` gives the store, ``server_class`` the server, ``maker`` makes a set: tests give others."""

    def __init__(
        self,
        settings: Settings,
        say=None,
        *,
        opener=open_store,
        server_class=Server,
        maker=Making,
        extras=None,
        now=utc_now,
    ):
        self.settings = settings
        self.sets = settings.sets
        self.dest = pathlib.Path(settings.sets.dest)
        self.say = say or (lambda line: None)
        self.opener = opener
        self.server_class = server_class
        self.maker = maker
        self.extras = extras or Extras()
        self.now = now
        self.before: list[str] = []
        self.failure: BackupError | None = None
        # The sets of the store as they were when it was looked at.
        self.there: list[folder.Found] = []
        self.result = {"changed": False, "action": plan.NOTHING}
        self.result.update({name: [] for name in ("expired", "uploaded", "swept", "warnings")})

    def __call__(self, check_mode: bool = False) -> dict:
        """Do what the options ask for: the result. BackupError where it cannot be."""
        old_mask = os.umask(0o077)
        try:
            with self._explained():
                self.before = [one.label for one in folder.list_sets(self.dest) if one.complete]
                work = {"present": self.present, "absent": self.absent, "expired": self.expire_only}
                work[self.settings.state](check_mode)
        finally:
            os.umask(old_mask)
        return self.result

    @contextlib.contextmanager
    def _explained(self):
        """Everything that goes wrong becomes one clear sentence, without secrets."""
        try:
            yield
        except BackupError as error:
            error.message = scrub(error.message, self.settings.secrets)
            error.stderr_tail = scrub(error.stderr_tail, self.settings.secrets)
            raise
        except Interrupted as error:
            raise BackupError(
                f"The backup was {error}; nothing half-written is left, and earlier sets are untouched.", "interrupted"
            ) from error
        except OSError as error:
            raise failed_write(error, self.dest) from error

    @contextlib.contextmanager
    def alone(self):
        """Hold off every backup and restore in this folder and this store while the context lasts.

        Yields a function that raises BackupError when others may have begun all the same.
        """
        with self._explained(), self._locked("holding backups off"), self._leased() as store:
            yield store.check

    # What is asked for

    def present(self, check_mode: bool) -> None:
        """Make a set, where none that is there will do."""
        if check_mode:
            folder.check_private(self.dest)
            store, server = self.opener(self.settings), self._server()
            identity = self._identity(server)
            decision = self._plan(identity, store)
            if decision.action == plan.BACKUP:
                self._maker(server, identity, decision.label or "new", None).check(folder.list_sets(self.dest))
            if decision.action != plan.NOTHING:
                self._predict(decision.label or names.new_label(self.now(), "new"), store)
            return
        label = self.settings.label or names.new_label(self.now(), secrets.token_hex(2))
        with self._locked(), self._attempt(label) as progress, self._leased(needed=False) as store:
            with progress.phase("plan"):
                self.result["swept"] = folder.sweep(self.dest)
                self._sweep(store)
                server = self._server()
                identity = self._identity(server)
                decision = self._plan(identity, store)
            self._do(decision, store, server, identity, label, progress)

    def _sweep(self, store) -> None:
        """Unfinished uploads take space, and no more: a key that may not look for them is good enough."""
        try:
            store.sweep()
        except BackupError as error:
            self.result["warnings"].append(f"Unfinished uploads of killed backups were not removed: {error.message}")

    def _predict(self, label, store) -> None:
        """What would expire, and what would be uploaded late, if a set were made now."""
        gone = self._dropped(folder.list_sets(self.dest), label)
        self.result["expired"] = sorted({*gone, *self._expired_there(store, label)})
        self.result["uploaded"] = [one.label for one in self._late(label)]
        self.result["diff"] = diff(self.before, label, gone)

    def _do(self, decision, store, server, identity, label, progress) -> None:
        if decision.action == plan.BACKUP:
            made = self._make(server, identity, store, label, progress)
        elif decision.action == plan.UPLOAD:
            made = folder.look(self.dest / decision.label)
        else:
            return
        with self._kept(made):
            if self.sets.s3:
                self._send(store, made, progress)
            if self.failure:
                raise self.failure
        with progress.phase("expire"):
            self.result["expired"] = self._expire(store, False, made.label)
        self._catch_up(store, made.label, progress)
        self.result["seconds"] = progress.seconds
        self.result["diff"] = diff(self.before, made.label, self.result["expired"])

    def absent(self, check_mode: bool) -> None:
        """Remove one set, in the store and here. A key that may not delete fails before anything here is gone."""
        with self._removing(check_mode) as store:
            label = self.settings.label
            here = any(one.label == label for one in folder.list_sets(self.dest))
            there = any(one.label == label for one in store.sets())
            if here or there:
                self.result.update(changed=True, action="remove", label=label, diff=diff(self.before, None, [label]))
            if there and not check_mode:
                store.remove(label)
            if here and not check_mode:
                folder.remove(self.dest, label)

    def expire_only(self, check_mode: bool) -> None:
        """Remove what retention drops, and nothing else."""
        with self._removing(check_mode) as store:
            gone = self._expire(store, check_mode)
        self.result["expired"] = gone
        if gone:
            self.result.update(changed=True, action="expire", diff=diff(self.before, None, gone))

    # The steps

    def _server(self):
        return self.server_class(self.settings.login)

    def _identity(self, server):
        return server.identity(self.settings.allow_replica, self.settings.databases[0])

    @contextlib.contextmanager
    def _locked(self, what=None):
        """Nobody else works in the folder; ``what`` tells others what is done here."""
        folder.prepare(self.dest)
        who = f"{socket.gethostname()}, {what or 'state=' + self.settings.state}"
        with locks.held(self.dest, who, names.format_time(self.now()), self.settings.lock_timeout):
            yield

    @contextlib.contextmanager
    def _removing(self, check_mode: bool):
        """The store, while sets are removed from it and, where there is one, from the folder.

        In check mode nobody else is held off.
        """
        if check_mode:
            folder.check_private(self.dest)
            yield self.opener(self.settings)
            return
        with self._locked() if self.dest.exists() else contextlib.nullcontext(), self._leased() as store:
            yield store

    @contextlib.contextmanager
    def _leased(self, needed: bool = True):
        """The store, in which nobody else works. One that is away fails the call at its end, unless it is needed."""
        with self.opener(self.settings) as store:
            try:
                store.hold(self.settings.lock_timeout)
            except BackupError as error:
                if needed or error.phase in ("lock", "options"):
                    raise
                self.say(error.message)
                store = Away(error)
            yield store

    @contextlib.contextmanager
    def _attempt(self, label):
        """Keep what became of this attempt in last.json, and nothing of a failed one."""
        progress = Progress(self.dest, label, manifest.write_json, self.say, now=self.now)
        last = {"label": label, "ok": False, "started": progress.started}
        try:
            with self._explained():
                yield progress
        except BackupError as error:
            last["error"] = error.result()
            raise
        else:
            last.update(ok=True, label=self.result.get("label", label), error=None)
        finally:
            progress.clear()
            last["finished"] = names.format_time(self.now())
            # Where the disk is full the journal and the exit status still tell.
            with contextlib.suppress(OSError):
                manifest.write_json(self.dest / names.LAST, last)

    def _plan(self, identity, store) -> plan.Decision:
        settings = self.settings
        wanted = plan.Wanted(
            identity.system_identifier,
            settings.databases,
            settings.verify,
            self.sets.max_age,
            settings.label,
            settings.artifacts.mode,
            bool(settings.encrypt_to),
        )
        here = folder.list_sets(self.dest)
        self.there = store.sets()
        decision = plan.decide(wanted, here, None if self.sets.s3 is None else self.there, self.now())
        self.result.update(
            changed=decision.action != plan.NOTHING,
            action=decision.action,
            reason=decision.reason,
            label=decision.label,
        )
        kept = next((one for one in here if one.label == decision.label and one.complete), None)
        if kept:
            self.result["set"] = summary(kept)
        return decision

    def _maker(self, server, identity, label, progress):
        """What makes the set, in a partial folder."""
        partial = self.dest / names.partial(label)
        return self.maker(self.settings, server, identity, label, partial, progress, self.now, self.extras)

    def _make(self, server, identity, store, label, progress):
        """Write a set into a partial folder, and give it its name when it is whole."""
        maker = self._maker(server, identity, label, progress)
        partial = self.dest / names.partial(label)
        try:
            data = maker(folder.list_sets(self.dest))
            store.check()
            with progress.phase("publish"):
                data["seconds"] = dict(progress.seconds)
                manifest.write(partial, data)
                path = folder.publish(self.dest, label)
        except BaseException:
            # Before the failure is told, so that the space is free again; what is left is swept by the next backup.
            shutil.rmtree(partial, ignore_errors=True)
            raise
        made = folder.look(path)
        self.failure = maker.failure
        self.result["warnings"] += maker.warnings
        self.result.update(label=label, set=summary(made))
        return made

    @contextlib.contextmanager
    def _kept(self, made):
        """What fails once the set is there says so."""
        try:
            yield
        except BackupError as error:
            error.message += f" The set stays in {made.path}, and no set was removed."
            raise

    def _send(self, store, one, progress) -> None:
        with progress.phase("upload", manifest.total_bytes(one.manifest), "bytes"):
            store.upload(one.path, one.manifest, progress.report)

    def _late(self, new) -> list:
        """What the store should have had before this call, but for its own set."""
        return plan.behind(folder.list_sets(self.dest), self.there, self.sets, self.now(), new) if self.sets.s3 else []

    def _catch_up(self, store, new, progress) -> None:
        """Upload what earlier calls did not, or not whole. The set of this call is safe: a failure is a warning."""
        for one in self._late(new):
            self.say(f"{one.label}: what the store lacks of it")
            try:
                self._send(store, one, progress)
            except BackupError as error:
                self.result["warnings"].append(f"The earlier set {one.label} was not uploaded: {error.message}")
                return
            self.result["uploaded"].append(one.label)

    def _expire(self, store, check_mode: bool, new=None) -> list[str]:
        """Remove what retention drops, but for the set of this call: the labels. In the store only where it may."""
        here, there = self._dropped(folder.list_sets(self.dest), new), self._expired_there(store, new)
        if not check_mode:
            store.check()
            for label in here:
                folder.remove(self.dest, label)
            for label in there:
                store.remove(label)
            # Where the folder is gone, its disk may only be away, with sets that need their artifacts.
            if (here or there) and self.dest.exists():
                self._collect(store)
        return sorted({*here, *there})

    def _expired_there(self, store, new=None) -> list[str]:
        """What retention drops in the store, where its options say so."""
        return self._dropped(store.sets(), new) if self.sets.s3 and self.sets.s3.expire else []

    def _dropped(self, found, new) -> list[str]:
        """What retention drops of the sets of one place."""
        return retention.expired(plan.expiry(found, self.sets, self.now(), new))

    def _collect(self, store) -> None:
        """Remove the copies of artifacts that no set refers to any more."""
        try:
            self.extras.collect(self.settings, [*folder.list_sets(self.dest), *store.sets()])
        except BackupError as error:
            self.result["warnings"].append(f"Copies of artifacts that no set needs were kept: {error.message}")
