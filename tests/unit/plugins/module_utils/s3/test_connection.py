# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.s3 import connection
from ansible_collections.mlops.stack.plugins.module_utils.s3.client import StoreError

KEYS = {"access_key": "a", "secret_key": "s", "wait_timeout": 60}


def test_argument_spec_hides_secrets():
    spec = connection.argument_spec()
    assert spec["secret_key"]["no_log"]
    assert set(connection.ENVIRONMENT) < set(spec)


def test_own_options_come_first_then_files_then_the_environment(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from-file\n")
    environ = {
        "AWS_ENDPOINT_URL": "http://env:1",
        "AWS_ACCESS_KEY_ID": "env-a",
        "AWS_SECRET_ACCESS_KEY": "env-s",
    }
    assert connection.resolve({"access_key": "own", "secret_key_file": str(secret), "wait_timeout": 0}, environ) == {
        "endpoint_url": "http://env:1",
        "access_key": "own",
        "secret_key": "from-file",
        "ca_bundle": None,
    }
    assert connection.resolve({"wait_timeout": 0}, environ)["secret_key"] == "env-s"


def test_aws_itself_needs_no_url_and_a_bundle_is_read(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("PEM")
    found = connection.resolve(dict(KEYS, ca_bundle=str(bundle)), {})
    assert found["endpoint_url"] is None
    assert found["ca_bundle"] == str(bundle)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"secret_key": "s"}, "No access_key"),
        ({"access_key": "a"}, "No secret_key"),
        (dict(KEYS, endpoint_url="localhost:8333"), "must be a URL"),
        (dict(KEYS, endpoint_url="http://"), "must be a URL"),
        (dict(KEYS, endpoint_url="http://[::1"), "must be a URL"),
        (dict(KEYS, endpoint_url="http://user:canary@host"), "must not hold"),
        (dict(KEYS, wait_timeout=-1), "cannot be negative"),
        (dict(KEYS, ca_bundle="/nowhere/ca.pem"), "ca_bundle"),
        ({"access_key": "a", "secret_key_file": "/nowhere/key"}, "secret_key_file"),
    ],
)
def test_what_cannot_be_is_one_sentence(params, says):
    with pytest.raises(StoreError, match=says) as caught:
        connection.resolve(dict({"wait_timeout": 1}, **params), {})
    assert caught.value.phase == "options"
    assert "canary" not in caught.value.message


def test_an_empty_file(tmp_path):
    empty = tmp_path / "key"
    empty.write_text("\n")
    with pytest.raises(StoreError, match="is empty"):
        connection.read_file("secret_key_file", str(empty))
