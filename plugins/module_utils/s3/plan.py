# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done so that the buckets are as asked for. Pure: nothing here reads or writes."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.mlops.stack.plugins.module_utils.s3 import canonical

SELF = "self"
OTHER = "other"
NOBODY = "nobody"
UNKNOWN = "unknown"

CANONICAL = {
    "policy": canonical.policy,
    "lifecycle": canonical.lifecycle,
    "tags": canonical.tags,
}
# The order in which features are written: versioning first, since lifecycle rules may speak of old versions.
FEATURES = ("versioning", "policy", "lifecycle", "tags")


@dataclasses.dataclass(frozen=True)
class Desired:
    """What was asked for. Only features that were asked for are keys of features."""

    names: list[str]
    state: str = "present"
    features: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    force: bool = False
    adopt_unowned: bool = False


@dataclasses.dataclass
class Bucket:
    """What the store has. A feature that is not set is None."""

    exists: bool = False
    owner: str = UNKNOWN
    owner_name: str = ""
    features: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    unsupported: list[str] = dataclasses.field(default_factory=list)
    content: str = ""


@dataclasses.dataclass
class Change:
    """What is to be done to one bucket."""

    name: str
    create: bool = False
    adopt: bool = False
    prove: bool = False
    write: list[str] = dataclasses.field(default_factory=list)
    delete: bool = False


@dataclasses.dataclass
class Refusal:
    """Why a bucket is left alone, before anything is changed."""

    name: str
    message: str
    phase: str
    unsupported: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Plan:
    """All that is to be done, and how the buckets look before and after it."""

    changes: list[Change] = dataclasses.field(default_factory=list)
    proofs: list[Change] = dataclasses.field(default_factory=list)
    refusals: list[Refusal] = dataclasses.field(default_factory=list)
    before: dict[str, dict] = dataclasses.field(default_factory=dict)
    after: dict[str, dict] = dataclasses.field(default_factory=dict)


def comparable(feature, value):
    """The form in which a feature is compared and shown."""
    normalise = CANONICAL.get(feature)
    return normalise(value) if normalise else value


def same(feature, wanted, found):
    """Whether a feature is as asked for; both in their comparable form."""
    if feature == "lifecycle":
        return canonical.lifecycle_matches(wanted, found)
    return wanted == found


def conflict(features):
    """One sentence about features that exclude each other, or None."""
    if features.get("object_lock") and features.get("versioning") == "suspended":
        return "object_lock needs versioning: leave out versioning=suspended or set it to enabled."
    for rule in features.get("lifecycle") or []:
        if rule.get("Status") not in ("Enabled", "Disabled"):
            return (
                "Each rule of lifecycle needs a Status, either Enabled or Disabled; "
                f"one rule has {rule.get('Status')!r}."
            )
    if features.get("policy") and not features["policy"].get("Statement"):
        return "policy has no Statement: give it at least one, or set policy to {} to remove the bucket's policy."
    return None


def foreign(name, bucket, desired):
    """Why a bucket that exists is not ours to touch, or None."""
    if bucket.owner == OTHER:
        return Refusal(
            name,
            f"Bucket '{name}' belongs to another owner ({bucket.owner_name}) and was left as it is: choose another "
            "name or use its owner's key.",
            "owner",
        )
    if bucket.owner == NOBODY and not desired.adopt_unowned:
        return Refusal(
            name,
            f"Bucket '{name}' has no owner (it is a folder that was made through the filer, not through S3) and was "
            "left as it is: set adopt_unowned to take it over, or choose another name.",
            "owner",
        )
    return None


def _present(name, bucket, desired):
    change = Change(name)
    if bucket.unsupported:
        return change, Refusal(
            name,
            f"The store does not support {' and '.join(bucket.unsupported)}, which was asked for on bucket '{name}'; "
            "the bucket was left as it is.",
            "features",
            list(bucket.unsupported),
        )
    lock = desired.features.get("object_lock")
    if bucket.exists and lock is not None and lock != bool(bucket.features.get("object_lock")):
        return change, Refusal(
            name,
            "Bucket '{}' already exists {} object lock, which S3 settles when a bucket is created: make a new bucket, "
            "or set object_lock to what it has.".format(name, "without" if lock else "with"),
            "features",
        )
    change.create = not bucket.exists
    change.adopt = bucket.exists and bucket.owner == NOBODY
    change.prove = change.create or bucket.owner in (NOBODY, UNKNOWN)
    for feature in FEATURES:
        if feature in desired.features:
            wanted = comparable(feature, desired.features[feature])
            if not same(feature, wanted, bucket.features.get(feature)):
                change.write.append(feature)
    return change, None


def _absent(name, bucket, desired):
    change = Change(name, delete=bucket.exists)
    if bucket.exists and bucket.content and not desired.force:
        return change, Refusal(
            name,
            f"Bucket '{name}' is not empty (it holds {bucket.content}) and was not deleted: empty it first, or set "
            "force to delete all that it holds.",
            "empty",
        )
    return change, None


def _state(exists, features):
    return dict({"exists": exists}, **(features if exists else {}))


def plan(desired, current):
    """Compare what was asked for with what the store has."""
    result = Plan()
    for name, bucket in current.items():
        refusal = foreign(name, bucket, desired) if bucket.exists else None
        if refusal is None:
            step = _present if desired.state == "present" else _absent
            change, refusal = step(name, bucket, desired)
        if refusal is not None:
            result.refusals.append(refusal)
            continue
        shown = {feature: bucket.features.get(feature) for feature in desired.features}
        wanted = dict(shown)
        for feature in change.write:
            wanted[feature] = comparable(feature, desired.features[feature])
        if change.create and "object_lock" in wanted:
            wanted["object_lock"] = desired.features["object_lock"]
        result.before[name] = _state(bucket.exists, shown)
        result.after[name] = _state(desired.state == "present", wanted)
        if change.adopt:
            result.before[name]["owner"] = NOBODY
            result.after[name]["owner"] = SELF
        if change.create or change.adopt or change.write or change.delete:
            result.changes.append(change)
        elif change.prove:
            result.proofs.append(change)
    return result


def sample(names, limit):
    """At most so many of the names, spread evenly over the list, its first and last among them."""
    if len(names) <= limit:
        return list(names)
    if limit < 2:
        return list(names)[: max(limit, 0)]
    step = (len(names) - 1) / (limit - 1)
    return [names[round(index * step)] for index in range(limit)]
