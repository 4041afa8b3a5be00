# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a backup, for Ansible's modules and for the configuration of the command alike. Pure."""

from __future__ import annotations

import contextlib
import re

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

SSLMODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
# The smallest unit is the default one.
DURATIONS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
SIZES = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*")
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTB]?)(?:i?B)?\s*", re.IGNORECASE)
KINDS = {"str": str, "path": str, "int": int, "bool": bool, "list": list, "dict": dict, "float": (int, float)}
# Numbers may stand where text is read as a duration or a size.
NUMERIC = (int, float)
# What else Ansible takes for these types: its variables are text where they come from a command line.
WORDS = {
    **dict.fromkeys(("y", "yes", "on", "1", "true", "t"), True),
    **dict.fromkeys(("n", "no", "off", "0", "false", "f"), False),
}
TEXTS = {
    "int": int,
    "float": float,
    "bool": lambda text: WORDS[text.lower()],
    "list": lambda text: text.split(","),
}


def s3_spec() -> dict:
    """The options of a place in an S3 store."""
    return {
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str", "default": ""},
        "endpoint_url": {"type": "str"},
        "access_key": {"type": "str", "no_log": False},
        "access_key_file": {"type": "path", "no_log": False},
        "secret_key": {"type": "str", "no_log": True},
        "secret_key_file": {"type": "path", "no_log": False},
        "ca_bundle": {"type": "path"},
        "region": {"type": "str"},
        "wait_timeout": {"type": "int", "default": 60},
    }


def store_spec() -> dict:
    """The options of the store of the sets."""
    return {**s3_spec(), "expire": {"type": "bool", "default": False}}


def place_spec() -> dict:
    """The options of a place that is a folder or in an S3 store."""
    spec = store_spec()
    spec["bucket"] = {"type": "str"}
    return {"path": {"type": "path"}, **spec}


def postgres_spec() -> dict:
    """The options by which PostgreSQL is reached; documented in the doc fragment postgres."""
    return {
        "login_host": {"type": "str", "default": "localhost"},
        "login_port": {"type": "int", "default": 5432},
        "login_user": {"type": "str"},
        "login_password": {"type": "str", "no_log": True},
        "login_password_file": {"type": "path", "no_log": False},
        "sslmode": {"type": "str", "choices": SSLMODES, "default": "require"},
        "ca_cert": {"type": "path"},
    }


def sets_spec() -> dict:
    """The options of where the sets are and which are enough; those of pg_backup_info."""
    return {
        "dest": {"type": "path", "required": True},
        "databases": {"type": "list", "elements": "str", "default": []},
        "s3": {"type": "dict", "options": store_spec()},
        "artifacts": {"type": "dict", "options": {"destination": {"type": "dict", "options": place_spec()}}},
        "max_age": {"type": "str"},
        "min_size": {"type": "str"},
        "minimum_redundancy": {"type": "int", "default": 2},
        "timeout": {"type": "int", "default": 1800},
        "retention": {
            "type": "dict",
            "options": {name: {"type": "int", "default": 0} for name in ("keep_last", "daily", "weekly", "monthly")},
        },
    }


def backup_spec() -> dict:
    """The options of pg_backup."""
    return {
        **sets_spec(),
        **postgres_spec(),
        "state": {"type": "str", "choices": ["present", "absent", "expired"], "default": "present"},
        "label": {"type": "str"},
        "allow_replica": {"type": "bool", "default": False},
        "jobs": {"type": "int", "default": 2},
        "compress": {"type": "str", "default": "auto"},
        "verify": {"type": "str", "choices": ["none", "read", "restore"], "default": "read"},
        "restore_user": {"type": "str", "default": "mlops_restore"},
        "restore_password": {"type": "str", "no_log": True},
        "restore_password_file": {"type": "path", "no_log": False},
        "free_space_factor": {"type": "float", "default": 1.2},
        "lock_timeout": {"type": "int", "default": 60},
        "timeout": {"type": "int", "default": 21600},
        "artifacts": {
            "type": "dict",
            "options": {
                "mode": {"type": "str", "choices": ["copy", "inventory", "none"], "default": "copy"},
                "source": {"type": "dict", "options": place_spec()},
                "destination": {"type": "dict", "options": place_spec()},
            },
        },
        "encrypt_to": {"type": "list", "elements": "str", "default": []},
        "versions": {"type": "dict", "default": {}},
        "secret_files": {"type": "dict", "default": {}, "no_log": False},
    }


def command_spec() -> dict:
    """What the configuration of the command may hold: the options of pg_backup, and what follows a backup."""
    spec = {**backup_spec(), "metrics_file": {"type": "path"}, "on_failure": {"type": "list", "elements": "str"}}
    for option in ("state", "label"):
        del spec[option]
    return spec


def wrong(message: str) -> BackupError:
    """The error of an option."""
    return BackupError(message, "options", safe_to_retry=False)


def complete(spec: dict, given, where: str = "") -> dict:
    """The options with their defaults, as Ansible gives them to a module; BackupError names the one that is wrong."""
    if not isinstance(given, dict):
        raise wrong(f"{where or 'The configuration'} must be an object with the options as its keys.")
    unknown = sorted(set(given) - set(spec))
    if unknown:
        raise wrong(f"There is no option {where}{unknown[0]}; there are {', '.join(sorted(spec))}.")
    return {name: _value(rule, given.get(name), f"{where}{name}") for name, rule in spec.items()}


def _value(rule: dict, value, name: str):
    if value is None:
        if rule.get("required"):
            raise wrong(f"The option {name} is missing.")
        return rule.get("default")
    kinds = KINDS[rule["type"]]
    if rule["type"] == "str" and isinstance(value, NUMERIC) and not isinstance(value, bool):
        value = str(value)
    if rule["type"] in TEXTS and isinstance(value, str) or rule["type"] == "bool":
        # What is no such text is refused below.
        with contextlib.suppress(ValueError, KeyError):
            value = TEXTS[rule["type"]](str(value))
    if not isinstance(value, kinds) or (isinstance(value, bool) and rule["type"] != "bool"):
        raise wrong(f"The option {name} must be of the type {rule['type']}.")
    if rule.get("elements") and not all(isinstance(item, str) for item in value):
        raise wrong(f"The option {name} must be a list of strings.")
    if "choices" in rule and value not in rule["choices"]:
        raise wrong(f"The option {name} is '{value}' and must be one of {', '.join(rule['choices'])}.")
    if "options" in rule:
        return complete(rule["options"], value, f"{name}.")
    return value


def seconds(option: str, text) -> float | None:
    """A duration such as 26h, 90m or 7d, or a number of seconds; None where it is not set."""
    if text is None:
        return None
    match = DURATION.fullmatch(str(text))
    if match is None:
        raise wrong(f"{option} is '{text}' and must be a duration such as 90m, 26h or 7d.")
    return float(match[1]) * DURATIONS[match[2] or "s"]


def size(option: str, text) -> int | None:
    """A size such as 500K, 10M or 2G, or a number of bytes; None where it is not set."""
    if text is None:
        return None
    match = SIZE.fullmatch(str(text))
    if match is None:
        raise wrong(f"{option} is '{text}' and must be a size such as 500K, 10M or 2G.")
    return int(float(match[1]) * SIZES[match[2].upper()])
