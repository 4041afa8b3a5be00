# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring what was asked for and what the store answers to one form, so that they can be compared by meaning."""

from __future__ import annotations

import datetime
import json
import re

ACCOUNT = re.compile(r"\d{12}")
POLICY_LISTS = ("NotAction", "Action", "NotResource", "Resource")
TRANSITIONS = ("Transitions", "NoncurrentVersionTransitions")


def _key(value):
    return json.dumps(value, sort_keys=True)


def _text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _members(value):
    values = value if isinstance(value, list) else [value]
    return sorted({_text(item) for item in values})


def _principal(value):
    if not isinstance(value, dict):
        value = {"AWS": value}
    result = {}
    for kind, members in value.items():
        names = _members(members)
        if kind == "AWS":
            names = sorted(f"arn:aws:iam::{name}:root" if ACCOUNT.fullmatch(name) else name for name in names)
        result[kind] = names
    return result


def _statement(statement):
    result = {}
    for key, value in statement.items():
        if key in POLICY_LISTS:
            members = _members(value)
            result[key] = sorted({item.lower() for item in members}) if key.endswith("Action") else members
        elif key in ("Principal", "NotPrincipal"):
            result[key] = _principal(value)
        elif key == "Condition":
            result[key] = {
                operator: {name.lower(): _members(wanted) for name, wanted in tests.items()}
                for operator, tests in value.items()
            }
        elif not (key == "Sid" and not value):
            result[key] = value
    return result


def policy(document):
    """A policy with its lists sorted and single values as lists. An empty one is None."""
    if not document:
        return None
    statements = document.get("Statement") or []
    if isinstance(statements, dict):
        statements = [statements]
    result = {key: value for key, value in document.items() if key != "Statement"}
    result.setdefault("Version", "2008-10-17")
    result["Statement"] = sorted((_statement(statement) for statement in statements), key=_key)
    return result


def _moment(value):
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc)
        return value.date().isoformat()
    return str(value)[:10]


def _dated(action):
    result = {}
    for key, value in action.items():
        if key == "Date":
            result[key] = _moment(value)
        elif key == "ExpiredObjectDeleteMarker":
            result[key] = bool(value)
        elif key == "StorageClass":
            result[key] = value
        else:
            result[key] = int(value)
    return result


def _tags(tags):
    return sorted(({"Key": tag["Key"], "Value": tag["Value"]} for tag in tags), key=_key)


def _filter(rule):
    chosen = dict(rule.get("Filter") or {})
    flat = dict(chosen.pop("And", None) or {})
    flat.update(chosen)
    if rule.get("Prefix"):
        flat["Prefix"] = rule["Prefix"]
    if flat.get("Tag"):
        flat["Tags"] = [*list(flat.get("Tags") or []), flat["Tag"]]
    flat.pop("Tag", None)
    flat = {key: value for key, value in flat.items() if value not in ("", None, [])}
    if "Tags" in flat:
        flat["Tags"] = _tags(flat["Tags"])
    return flat


def lifecycle_rule(rule):
    """One lifecycle rule: the old Prefix and the And of a filter are flat, dates are days, numbers are numbers."""
    result = {"Filter": _filter(rule)}
    for key, value in rule.items():
        if key in ("Filter", "Prefix") or value in (None, {}, []):
            continue
        if key in TRANSITIONS:
            result[key] = sorted((_dated(item) for item in value), key=_key)
        elif isinstance(value, dict):
            result[key] = _dated(value)
        else:
            result[key] = value
    return result


def lifecycle(rules):
    """The rules in one form and order. No rules are None."""
    return sorted((lifecycle_rule(rule) for rule in rules), key=_key) or None


def lifecycle_matches(wanted, found):
    """True where both hold the same rules; a wanted rule without an ID matches whatever ID the store gave it."""
    left = list(found or [])
    # Rules that name their ID choose first, so that a rule without one does not take the rule of another.
    for rule in sorted(wanted or [], key=lambda item: "ID" not in item):
        for candidate in left:
            bare = candidate if "ID" in rule else {key: value for key, value in candidate.items() if key != "ID"}
            if bare == rule:
                left.remove(candidate)
                break
        else:
            return False
    return not left


def tags(mapping):
    """Tags as text. No tags are None."""
    return {str(key): _text(value) for key, value in mapping.items()} or None
