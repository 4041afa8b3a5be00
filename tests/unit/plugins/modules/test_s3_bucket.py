# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mlops.stack.plugins.modules import s3_bucket


def run(capsys, **options):
    with patch_module_args(options), pytest.raises(SystemExit) as ended:
        s3_bucket.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


@pytest.fixture
def execute(monkeypatch):
    """What the module was called with; it answers what `answer` holds."""
    seen = {"answer": (False, {"changed": True}, set())}

    def call(params, _environ, check_mode):
        seen.update(params=params, check_mode=check_mode)
        return seen["answer"]

    monkeypatch.setattr(s3_bucket.call, "execute", call)
    return seen


def test_success(capsys, execute):
    code, result = run(capsys, name="a,b", policy='{"Version": "1"}', _ansible_check_mode=True)
    assert (code, result["changed"]) == (0, True)
    assert execute["check_mode"]
    assert execute["params"]["name"] == ["a", "b"]
    assert execute["params"]["policy"] == {"Version": "1"}
    unset = {key for key, value in execute["params"].items() if value is None}
    assert {"versioning", "lifecycle", "tags", "object_lock", "region"} <= unset


def test_failure_and_a_secret_from_a_file(capsys, execute):
    execute["answer"] = (True, {"msg": "the store said canary-secret", "phase": "read"}, {"canary-secret"})
    code, result = run(capsys, name=["a"], secret_key_file="/some/file")
    assert code == 1
    assert result["failed"]
    assert "canary" not in json.dumps(result)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"name": "a", "state": "gone"},
        {"name": "a", "secret_key": "x", "secret_key_file": "/y"},
        {"name": "a", "filer_key": "x", "filer_key_file": "/y"},
        {"name": "a", "validate_certs": False},
    ],
)
def test_options_that_do_not_fit(capsys, execute, options):
    code, result = run(capsys, **options)
    assert (code, result["failed"]) == (1, True)
    assert "params" not in execute


def test_without_boto3(capsys, execute, monkeypatch):
    monkeypatch.setattr(s3_bucket, "HAS_BOTO3", False)
    monkeypatch.setattr(s3_bucket, "BOTO3_IMPORT_ERROR", "no boto3")
    code, result = run(capsys, name="a")
    assert code == 1
    assert "boto3" in result["msg"]
