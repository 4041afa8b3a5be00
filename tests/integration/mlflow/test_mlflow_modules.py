# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mlflow_database, mlflow_users and the acceptance check's script against a real MLflow."""

from __future__ import annotations

import base64
import contextlib
import os
import pathlib
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "roles" / "verify" / "files" / "verify_stack.py"
CLIENT = "p@ss/w%rd:#+& $\"'\\x"
HELPER = "import json, sys; exec"


def query(path, text):
    connection = sqlite3.connect(path)
    rows = connection.execute(text).fetchall()
    connection.commit()
    connection.close()
    return rows


def helpers(folder):
    """The processes of the modules' helper that hold a file in this folder."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        # A process may end, and a file be closed, while this looks.
        with contextlib.suppress(OSError):
            if HELPER.encode() in (process / "cmdline").read_bytes() and holds(process, folder):
                found.append(int(process.name))
    return found


def holds(process, folder):
    """Whether a process, by its folder in /proc, holds a file in this folder."""
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(descriptor).startswith(str(folder)):
                return True
    return False


def test_database_check_apply_repeat(module, tmp_path):
    options = {"uri": f"sqlite:///{tmp_path}/m.db", "auth_uri": f"sqlite:///{tmp_path}/a.db"}
    predicted = module("mlflow_database", options, check=True)
    assert predicted["changed"] is True
    assert list(tmp_path.iterdir()) == []
    made = module("mlflow_database", options)
    assert made["changed"] is True
    assert made["stores"] == predicted["stores"]
    head = made["stores"]["tracking"]["to"]
    assert query(tmp_path / "m.db", "SELECT version_num FROM alembic_version") == [(head,)]
    # The Default experiment is there, so that servers started together do not race for it
    rows = query(tmp_path / "m.db", "SELECT name, artifact_location FROM experiments")
    assert rows == [("Default", "mlflow-artifacts:/0")]
    again = module("mlflow_database", options)
    assert (again["changed"], again["msg"]) == (False, "the schema is up to date")

    query(tmp_path / "m.db", "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    refused = module("mlflow_database", options)
    assert (refused["phase"], refused["changed"]) == ("plan", False)
    assert "was written by a newer MLflow (revision ffffffffffff" in refused["msg"]
    assert "nothing was changed" in refused["msg"]


def test_database_that_is_somebody_elses(module, tmp_path):
    query(tmp_path / "m.db", "CREATE TABLE invoices (number INTEGER)")
    refused = module("mlflow_database", {"uri": f"sqlite:///{tmp_path}/m.db"})
    assert "not empty and not MLflow's" in refused["msg"]
    assert query(tmp_path / "m.db", "SELECT name FROM sqlite_master") == [("invoices",)]


def test_two_at_once_and_one_that_is_killed(module, tmp_path):
    options = {"uri": f"sqlite:///{tmp_path}/m.db"}
    killed = module.start("mlflow_database", options)
    deadline = time.monotonic() + 60
    while not (tmp_path / "m.db.migrating").exists():
        assert time.monotonic() < deadline, "the migration has not begun"
        time.sleep(0.05)
    for process in helpers(tmp_path):
        os.kill(process, signal.SIGKILL)
    assert "ended without an answer" in killed.communicate(timeout=60)[0]
    assert not (tmp_path / "m.db").exists()

    both = [module.start("mlflow_database", options) for _count in range(2)]
    said = [one.communicate(timeout=120)[0] for one in both]
    assert sorted('"changed": true' in text for text in said) == [False, True], said
    assert not any("FAILED" in text for text in said), said
    assert not (tmp_path / "m.db.migrating").exists()


def user(**options):
    return {"name": "client", "password": CLIENT, **options}


def login(server, name, password):
    """The status of a request for the users, with this login."""
    request = urllib.request.Request(server.url + "/api/2.0/mlflow/users/current")
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_users_check_apply_repeat_absent(module, server):
    def run(*users, check=False, **options):
        base = {"url": server.url, "admin_password": server.admin, "users": list(users)}
        return module("mlflow_users", {**base, **options}, check)

    wanted = user(admin=False, permissions=[{"experiment": "Default", "permission": "EDIT"}])
    predicted = run(wanted, check=True)
    assert predicted["actions"] == ["create user client", "grant client EDIT on experiment 0"]
    assert login(server, "client", CLIENT) == 401
    assert run(wanted)["actions"] == predicted["actions"]
    assert login(server, "client", CLIENT) == 200
    assert run(wanted)["changed"] is False
    assert run(user(password="another password"))["actions"] == ["set the password of client"]
    assert login(server, "client", "another password") == 200
    # Back again: the one worker of this server forgot the old password at once
    assert run(wanted)["changed"] is True

    refused = run(admin_password="a new admin password")
    assert "does not accept the password of the administrator admin" in refused["msg"]
    keys = {"env": str(server.env), "auth_uri": server.auth_uri}
    changed = run(wanted, admin_password="a new admin password", **keys)
    assert changed["actions"] == ["set the password of admin"]
    server.admin = "a new admin password"
    assert run(wanted, **keys)["changed"] is False

    assert run({"name": "client", "state": "absent"})["actions"] == ["delete user client"]
    assert run({"name": "client", "state": "absent"})["changed"] is False


def test_acceptance_check(module, server, tmp_path):
    module("mlflow_users", {"url": server.url, "admin_password": server.admin, "users": [user(name="checker")]})
    environ = {
        **os.environ,
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_TRACKING_USERNAME": "checker",
        "MLFLOW_TRACKING_PASSWORD": CLIENT,
    }
    state = tmp_path / "state.json"

    def phase(name, **more):
        argv = [server.env / "bin" / "python", SCRIPT, name, "--state", state]
        return subprocess.run(
            argv, env={**environ, **more}, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path
        )

    wrong = phase("log", MLFLOW_TRACKING_PASSWORD="not the password")
    assert wrong.returncode == 1
    assert "FAILED: the login of checker is answered with status 401" in wrong.stdout
    done = phase("log")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 9
    server.stop()
    server.start()
    for name in ("check", "clean"):
        done = phase(name)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not state.exists()
    assert not list((server.folder / "artifacts").rglob("payload.bin"))
