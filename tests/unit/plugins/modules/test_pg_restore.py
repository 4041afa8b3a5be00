# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.modules import pg_restore


def throw(error):
    """Raise what a stand-in was told to fail with."""
    raise error


S3 = {"bucket": "b", "access_key": "k", "secret_key": "canary-key"}


def run(capsys, **options):
    with patch_module_args(options), pytest.raises(SystemExit) as ended:
        pg_restore.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """What was to be restored; it answers what `answer` holds."""
    seen = {"answer": {"changed": True, "set": "L", "warnings": ["mind this"]}}

    def restore(job, check_mode):
        seen.update(job=job, check_mode=check_mode)
        if isinstance(seen["answer"], BackupError):
            throw(seen["answer"])
        return dict(seen["answer"])

    monkeypatch.setattr(pg_restore.call, "restore", restore)
    monkeypatch.setattr(pg_restore, "end_cleanly_on_signals", lambda: None)
    return seen


def test_success(capsys, restored):
    code, result = run(capsys, source="/sets", mode="swap", login_password="canary", _ansible_check_mode=True)
    assert (code, result["changed"], result["set"]) == (0, True, "L")
    assert "mind this" in json.dumps(result["warnings"])
    assert (restored["check_mode"], restored["job"].options.mode, restored["job"].source) == (True, "swap", "/sets")
    assert "canary" not in json.dumps(result)


def test_failure_tells_no_secret(capsys, restored, tmp_path):
    (tmp_path / "password").write_text("canary-password")
    restored["answer"] = BackupError("the server said canary-password", "load", rc=1, stderr_tail="canary-key")
    code, result = run(capsys, s3=S3, login_password_file=str(tmp_path / "password"))
    assert (code, result["failed"], result["phase"], result["rc"], result["safe_to_retry"]) == (
        1,
        True,
        "load",
        1,
        True,
    )
    assert "canary" not in json.dumps({**result, "invocation": None})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"source": "/sets", "mode": "live"},
        {"source": "/sets", "s3": S3},
        {"source": "/sets", "login_password": "x", "login_password_file": "/y"},
        {"source": "/sets", "check_artifacts": "sometimes"},
        {"source": "/sets", "extra_arguments": "--clean"},
    ],
)
def test_options_that_do_not_fit(capsys, restored, options):
    code, result = run(capsys, **options)
    assert (code, result["failed"]) == (1, True)
    assert "job" not in restored


@pytest.mark.parametrize(
    "missing, flag, options, fails",
    [
        ("psycopg2", "HAS_PSYCOPG2", {"source": "/sets"}, True),
        ("boto3", "HAS_BOTO3", {"source": "/sets"}, False),
        ("boto3", "HAS_BOTO3", {"s3": S3}, True),
    ],
)
def test_without_a_library(capsys, monkeypatch, missing, flag, options, fails):
    monkeypatch.setattr(pg_restore, flag, False)
    code, result = run(capsys, **options)
    assert code == int(fails)
    assert (missing in result.get("msg", "")) is fails
