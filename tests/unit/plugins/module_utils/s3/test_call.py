# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.s3 import call

PARAMS = {
    "name": ["a-bucket"],
    "state": "present",
    "endpoint_url": "http://127.0.0.1:1",
    "access_key": "a",
    "secret_key": "canary",
    "region": None,
    "flavor": "auto",
    "wait_timeout": 0,
    "versioning": None,
    "policy": None,
    "lifecycle": None,
    "tags": None,
    "object_lock": None,
    "force": False,
    "adopt_unowned": False,
    "filer_url": None,
    "filer_key": None,
    "probe": True,
    "probe_limit": 10,
}


@pytest.fixture
def execute(make_store):
    def run(check_mode=False, **params):
        store = make_store()
        return call.execute(dict(PARAMS, **params), {}, check_mode, lambda *_settings: store)

    return run


def test_success(execute):
    failed, result, secrets = execute(name=["a-bucket", "a-bucket", "other"], tags={"a": "b"}, filer_key="filer")
    assert not failed
    assert secrets == {"canary", "filer"}
    assert result["created"] == ["a-bucket", "other"]
    assert result["diff"] == {"before": result["before"], "after": result["after"]}
    assert result["flavor"] == "seaweedfs"
    failed, result, _secrets = execute(name=["a-bucket"], tags={"a": "b"})
    assert (failed, result["changed"], result["diff"]) == (False, False, {"before": {}, "after": {}})


def test_absent_reads_no_features(execute, s3):
    s3.owners = {"a-bucket": "me"}
    failed, result, _secrets = execute(state="absent", tags={"a": "b"})
    assert (failed, result["deleted"]) == (False, ["a-bucket"])
    assert s3.named("get_bucket_tagging") == []


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"name": ["Bad"]}, "does not allow"),
        ({"object_lock": True, "versioning": "suspended"}, "object_lock needs versioning"),
        ({"secret_key": None}, "No secret_key"),
    ],
)
def test_options_that_cannot_be(execute, s3, params, says):
    failed, result, _secrets = execute(**params)
    assert failed
    assert says in result["msg"]
    assert (result["phase"], result["changed"], result["safe_to_retry"]) == ("options", False, False)
    assert s3.calls == []


def test_failure_in_the_store(execute, s3, error):
    s3.errors["create_bucket"] = [error("AccessDenied", 403)]
    failed, result, _secrets = execute()
    assert failed
    assert (result["code"], result["bucket"], result["phase"]) == ("AccessDenied", "a-bucket", "create")


def test_open_store():
    settings = {"endpoint_url": None, "access_key": "a", "secret_key": "s", "ca_bundle": None}
    store = call.open_store(dict(PARAMS, filer_url="http://filer:8888"), settings, "key")
    assert (store.filer.url, store.filer.key) == ("http://filer:8888", "key")
    assert store.endpoint == "https://s3.amazonaws.com"
    assert call.open_store(PARAMS, settings, None).filer is None


def test_a_filer_url_that_is_none(execute):
    failed, result, _secrets = call.execute(dict(PARAMS, filer_url="filer:8888"), {}, False)
    assert failed
    assert "filer_url must be a URL" in result["msg"]
