# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import signal

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.modules import pg_backup, pg_backup_info


def throw(error):
    """Raise what a stand-in was told to fail with."""
    raise error


S3 = {"bucket": "b", "access_key": "k", "secret_key": "canary-store"}


@pytest.fixture(autouse=True)
def _signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(capsys, module, **options):
    with patch_module_args(options), pytest.raises(SystemExit) as ended:
        module.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


@pytest.fixture
def seen(monkeypatch):
    """What the backup was called with; it answers what `answer` holds."""
    found = {"answer": {"changed": True, "warnings": ["pg_dump: warning: x"]}}

    class Run:
        def __init__(self, settings):
            found["settings"] = settings

        def __call__(self, check_mode):
            found["check_mode"] = check_mode
            if isinstance(found["answer"], BackupError):
                throw(found["answer"])
            return found["answer"]

    monkeypatch.setattr(pg_backup, "Run", Run)
    return found


def test_success(capsys, seen):
    code, result = run(capsys, pg_backup, dest="/sets", databases="a,b", s3=S3, _ansible_check_mode=True)
    assert (code, result["changed"]) == (0, True)
    assert "pg_dump: warning: x" in json.dumps(result["warnings"])
    assert seen["check_mode"] is True
    assert seen["settings"].databases == ("a", "b")
    assert "canary" not in json.dumps(result)


def test_failure_holds_no_secret(capsys, seen, tmp_path):
    (tmp_path / "pw").write_text("canary-file")
    seen["answer"] = BackupError("It said canary-file.", "dump", 1, "canary-store", False)
    code, result = run(
        capsys, pg_backup, dest="/sets", databases=["a"], login_password_file=str(tmp_path / "pw"), s3=S3
    )
    assert (code, result["phase"], result["rc"], result["safe_to_retry"]) == (1, "dump", 1, False)
    assert "canary" not in json.dumps(result)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dest": "/sets"},
        {"dest": "/sets", "state": "absent"},
        {"dest": "/sets", "databases": ["a"], "login_password": "x", "login_password_file": "/y"},
        {"dest": "/sets", "databases": ["a"], "restore_password": "x", "restore_password_file": "/y"},
        {"dest": "/sets", "databases": ["a"], "extra_args": "--schema-only"},
        {"dest": "relative", "databases": ["a"]},
    ],
)
def test_options_that_cannot_be(capsys, seen, options):
    code, result = run(capsys, pg_backup, **options)
    assert (code, result["failed"]) == (1, True)
    assert "settings" not in seen


@pytest.mark.parametrize("name", ["HAS_PSYCOPG2", "HAS_BOTO3"])
def test_a_library_that_is_missing_is_named(capsys, seen, monkeypatch, name):
    monkeypatch.setattr(pg_backup, name, False)
    code, result = run(capsys, pg_backup, dest="/sets", databases=["a"], s3=S3)
    assert (code, result["phase"]) == (1, "options")
    assert ("psycopg2" if name == "HAS_PSYCOPG2" else "boto3") in result["msg"]


def test_info_judges_and_never_changes(capsys, tmp_path):
    code, result = run(capsys, pg_backup_info, dest=str(tmp_path), max_age="26h")
    assert (code, result["changed"], result["healthy"]) == (0, False, False)
    assert result["problems"] == ["There is no complete set."]


def test_info_options_that_cannot_be(capsys, monkeypatch):
    code, result = run(capsys, pg_backup_info, dest="/sets", max_age="soon")
    assert (code, result["phase"]) == (1, "options")
    monkeypatch.setattr(pg_backup_info, "HAS_BOTO3", False)
    code, result = run(capsys, pg_backup_info, dest="/sets", s3=S3)
    assert (code, "boto3" in result["msg"], "canary" in json.dumps(result)) == (1, True, False)
