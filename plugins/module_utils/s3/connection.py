# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options with which modules reach an S3 store; documented in the doc fragment s3."""

from __future__ import annotations

import pathlib
import urllib.parse

from ansible_collections.mlops.stack.plugins.module_utils.s3.client import StoreError

AWS_ENDPOINT = "https://s3.amazonaws.com"
ENVIRONMENT = {
    "endpoint_url": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "access_key": ("AWS_ACCESS_KEY_ID",),
    "secret_key": ("AWS_SECRET_ACCESS_KEY",),
    "ca_bundle": ("AWS_CA_BUNDLE",),
}
MUTUALLY_EXCLUSIVE = [("access_key", "access_key_file"), ("secret_key", "secret_key_file")]


def argument_spec():
    """The options' types."""
    return {
        "endpoint_url": {"type": "str"},
        "access_key": {"type": "str", "no_log": False},
        "access_key_file": {"type": "path", "no_log": False},
        "secret_key": {"type": "str", "no_log": True},
        "secret_key_file": {"type": "path", "no_log": False},
        "ca_bundle": {"type": "path"},
        "region": {"type": "str"},
        "flavor": {"type": "str", "choices": ["auto", "seaweedfs", "minio", "aws"], "default": "auto"},
        "wait_timeout": {"type": "int", "default": 60},
    }


def _wrong(message):
    return StoreError(message, "options", safe_to_retry=False)


def read_file(option, path):
    """The content of a file that holds a key."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise _wrong(f"The file that {option} names cannot be read: {error}.") from error
    if not text:
        raise _wrong(f"The file {path} that {option} names is empty.")
    return text


def value(params, option, environ):
    """An option's value: its own, else that of its file, else the environment's, else None."""
    if params.get(option):
        return params[option]
    if params.get(option + "_file"):
        return read_file(option + "_file", params[option + "_file"])
    for name in ENVIRONMENT.get(option, ()):
        if environ.get(name):
            return environ[name]
    return None


def url(option, text):
    """A URL that can be used and shown."""
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        parts = urllib.parse.urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _wrong(f"{option} must be a URL such as https://s3.example.org:8333.")
    if "@" in parts.netloc:
        raise _wrong(f"{option} must not hold a user or a password: use the options for keys.")
    return text


def resolve(params, environ):
    """The connection's settings, with keys read from where they are."""
    result = {option: value(params, option, environ) for option in ENVIRONMENT}
    for option in ("access_key", "secret_key"):
        if not result[option]:
            raise _wrong(
                f"No {option}: set {option}, {option}_file or the environment variable {ENVIRONMENT[option][0]}."
            )
    if result["endpoint_url"]:
        url("endpoint_url", result["endpoint_url"])
    if result["ca_bundle"]:
        read_file("ca_bundle", result["ca_bundle"])
    if params["wait_timeout"] < 0:
        raise _wrong("wait_timeout is a number of seconds and cannot be negative.")
    return result
