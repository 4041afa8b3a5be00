# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pwd
import sys

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import runner

ME = pwd.getpwuid(os.geteuid()).pw_name


def test_the_helper_answers(tmp_path):
    answer, tail = runner.Helper(sys.executable, ME).call(
        {"action": "read", "databases": [{"kind": "sqlite", "connect": {"path": str(tmp_path / "m.db")}}]}, 30
    )
    assert answer == {"states": [{"state": {"tables": [], "revisions": {}}}]}
    assert tail == ""


def python(tmp_path, body):
    path = tmp_path / "python"
    path.write_text("#!%s\nimport sys\n%s\n" % (sys.executable, body))
    path.chmod(0o755)
    return str(path)


def test_no_secret_in_arguments_or_environment(tmp_path):
    fake = python(tmp_path, "import json, os\nsys.stdin.read()\nprint(json.dumps([sys.argv[1:], dict(os.environ)]))")
    (arguments, env), tail = runner.Helper(fake).call({"uri": "geheim"}, 30)
    assert arguments[0] == "-I"
    assert "geheim" not in json.dumps([arguments, env])
    assert env["LC_ALL"] == "C.UTF-8"
    assert tail == ""


def test_an_end_without_an_answer(tmp_path):
    fake = python(tmp_path, "sys.stderr.write('the password geheim\\n'); sys.exit(3)")
    with pytest.raises(runner.HelperFailed, match="without an answer") as caught:
        runner.Helper(fake, secrets=["geheim"]).call({}, 30)
    assert caught.value.rc == 3
    assert caught.value.stderr_tail == "the password ********"


def test_no_answer_in_time(tmp_path):
    fake = python(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(runner.HelperFailed, match="within 1 s"):
        runner.Helper(fake).call({}, 1)


def test_no_python(tmp_path):
    with pytest.raises(runner.HelperFailed, match="cannot be started .No such file"):
        runner.Helper(str(tmp_path / "python")).call({}, 1)


def test_identity_of_another_user(monkeypatch):
    other = pwd.struct_passwd(("mlflow", "x", os.geteuid() + 1, 7, "", "/var/lib/mlflow", "/bin/false"))
    monkeypatch.setattr(runner.pwd, "getpwnam", lambda name: other)
    monkeypatch.setattr(runner.os, "getgrouplist", lambda name, gid: [gid, 9])
    arguments, user = runner.identity("mlflow")
    assert arguments == {"user": os.geteuid() + 1, "group": 7, "extra_groups": [7, 9]}
    assert runner.environment(user)["HOME"] == "/var/lib/mlflow"


def test_identity_of_nobody_in_particular():
    assert runner.identity(None) == ({}, None)
    assert runner.identity(ME)[0] == {}
    with pytest.raises(runner.UnknownUser, match="no user nosuchuser"):
        runner.identity("nosuchuser")


def test_environment_drops_what_could_change_mlflow(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "x")
    monkeypatch.setenv("PGPASSWORD", "x")
    monkeypatch.setenv("KEPT", "x")
    found = runner.environment(None)
    assert "MLFLOW_TRACKING_URI" not in found
    assert "PGPASSWORD" not in found
    assert found["KEPT"] == "x"
