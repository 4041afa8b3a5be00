# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call of the module: look, plan, refuse or apply."""

from __future__ import annotations

import concurrent.futures
import dataclasses

from ansible_collections.mlops.stack.plugins.module_utils.s3.client import FIRST_PAUSE, THREADS, AnswerError, StoreError
from ansible_collections.mlops.stack.plugins.module_utils.s3.plan import (
    SELF,
    Bucket,
    Change,
    comparable,
    foreign,
    plan,
    same,
    sample,
)


@dataclasses.dataclass
class Outcome:
    """What the call found and did; error is the first thing that went wrong."""

    changed: bool = False
    created: list[str] = dataclasses.field(default_factory=list)
    deleted: list[str] = dataclasses.field(default_factory=list)
    owner_verified: bool = False
    unsupported: list[str] = dataclasses.field(default_factory=list)
    before: dict[str, dict] = dataclasses.field(default_factory=dict)
    after: dict[str, dict] = dataclasses.field(default_factory=dict)
    buckets: list[dict] = dataclasses.field(default_factory=list)
    error: StoreError | None = None


def side_by_side(work, items, threads=THREADS):
    """Run work on every item, a few at a time. After an error nothing new is begun. Gives results and errors."""
    results = {}
    errors = []
    items = list(items)
    if not items:
        return results, errors
    with concurrent.futures.ThreadPoolExecutor(min(threads, len(items))) as pool:
        pending = {pool.submit(work, item): item for item in items}
        for future in concurrent.futures.as_completed(pending):
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                results[pending[future]] = future.result()
                continue
            for other in pending:
                other.cancel()
            if not isinstance(error, StoreError):
                raise error
            errors.append(error)
    return results, errors


def first(errors):
    """The first error; its sentence tells how many more there are."""
    error = errors[0]
    for other in errors[1:]:
        error.unsupported += [name for name in other.unsupported if name not in error.unsupported]
    if len(errors) > 1:
        error.message += f" ({len(errors) - 1} more of the buckets failed too.)"
    return error


class Run:
    """One call of the module."""

    def __init__(self, store, desired, probe=True, probe_limit=10, check_mode=False):
        self.store = store
        self.desired = desired
        self.probe = probe
        self.probe_limit = probe_limit
        self.check_mode = check_mode
        self.outcome = Outcome()
        self.current = {}
        self.done = {}

    def look(self):
        """Read what is there; of a bucket's features only those that were asked for."""
        existing = self.store.survey(self.desired.names)
        owners = self.store.owners() if existing else None
        found, errors = side_by_side(
            lambda name: self._look(name, self.store.owner(name, owners, listed=self.store.lists)),
            [name for name in self.desired.names if name in existing],
        )
        if errors:
            raise first(errors)
        self.current = {name: found.get(name, Bucket()) for name in self.desired.names}

    def _look(self, name, owner):
        bucket = Bucket(exists=True, owner=owner[0], owner_name=owner[1])
        if foreign(name, bucket, self.desired):
            return bucket
        if self.desired.state == "absent":
            bucket.content = self.store.content(name)
            return bucket
        for feature in self.desired.features:
            try:
                bucket.features[feature] = self.store.read_feature(feature, name)
            except AnswerError:
                bucket.unsupported.append(feature)
        return bucket

    def _planned(self, names):
        planned = plan(self.desired, names)
        if planned.refusals:
            raise first(
                [
                    StoreError(item.message, item.phase, "", item.name, False, item.unsupported)
                    for item in planned.refusals
                ]
            )
        return planned

    def _settle(self, name, feature):
        """Wait until the store gives back a feature that was written; a store may take a moment."""
        wanted = comparable(feature, self.desired.features[feature])
        deadline = self.store.clock() + self.store.wait_timeout
        while not same(feature, wanted, self._reread(feature, name)):
            if self.store.clock() >= deadline:
                raise StoreError(
                    f"{self.store.endpoint} took the {feature} of bucket '{name}', but gives back another one after "
                    f"wait_timeout={self.store.wait_timeout} seconds.",
                    "features",
                    bucket=name,
                )
            self.store.sleep(FIRST_PAUSE)

    def _reread(self, feature, name):
        try:
            return self.store.read_feature(feature, name)
        except AnswerError as answer:
            raise self.store.lacks([feature], name, answer.code) from answer

    def _apply(self, change, probed):
        name = change.name
        done = self.done[name] = {"created": False, "deleted": False, "changed": False}
        if change.delete:
            if self.current[name].content:
                # Said before it is done: when it fails half-way, some of it is done.
                done["changed"] = True
                self.store.empty(name)
            self.store.delete(name)
            done.update(deleted=True, changed=True)
            return
        if change.create:
            if self.store.create(name, bool(self.desired.features.get("object_lock"))):
                done.update(created=True, changed=True)
            else:
                # Somebody else made it between the look and now: look again, and prove that it can be used.
                self.current[name] = self._look(name, self.store.owner(name))
                again = self._planned({name: self.current[name]})
                change = (again.changes + again.proofs + [Change(name)])[0]
                probed = True
        if change.adopt:
            self.store.adopt(name)
            self.current[name].owner = SELF
            done["changed"] = True
        if self.probe and probed:
            self.store.prove(name)
        for feature in change.write:
            self.store.write_feature(feature, name, self.desired.features[feature])
            done["changed"] = True
            self._settle(name, feature)

    def apply(self, planned):
        """Do it all, several buckets side by side."""
        steps = {change.name: change for change in planned.changes + planned.proofs}
        probed = set(sample([change.name for change in planned.changes if change.create], self.probe_limit))
        probed.update(change.name for change in steps.values() if change.prove and not change.create)
        _results, errors = side_by_side(lambda name: self._apply(steps[name], name in probed), steps)
        self.outcome.created = [name for name in steps if self.done.get(name, {}).get("created")]
        self.outcome.deleted = [name for name in steps if self.done.get(name, {}).get("deleted")]
        self.outcome.changed = any(item["changed"] for item in self.done.values())
        if errors:
            raise first(errors)
        for name, done in self.done.items():
            if not done["changed"]:
                planned.before[name] = planned.after[name]

    def _finish(self, planned):
        outcome = self.outcome
        outcome.before = planned.before
        outcome.after = planned.after
        for name in self.desired.names:
            bucket = self.current[name]
            created = name in outcome.created
            outcome.buckets.append(
                {
                    "name": name,
                    "exists": planned.after[name]["exists"],
                    "created": created,
                    "owner": SELF if created else bucket.owner,
                    "owner_verified": created or (bucket.owner == SELF and self.store.proves_owner()),
                }
            )
        outcome.owner_verified = all(item["owner_verified"] for item in outcome.buckets)

    def __call__(self):
        outcome = self.outcome
        try:
            self.look()
            planned = self._planned(self.current)
            if self.check_mode:
                outcome.changed = bool(planned.changes)
                outcome.created = [change.name for change in planned.changes if change.create]
                outcome.deleted = [change.name for change in planned.changes if change.delete]
            else:
                self.apply(planned)
            self._finish(planned)
        except StoreError as error:
            outcome.error = error
            outcome.unsupported = error.unsupported
        return outcome
