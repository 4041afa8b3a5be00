# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real MLflow on this machine, from the lock that the role installs, and the modules run by Ansible."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

CLONE = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_LOCALHOST_WARNING": "false"}
ADMIN = 'Adm: p@ss/w%rd#"1'
SECRET_KEY = "0123456789abcdef"


@pytest.fixture(scope="session", name="mlflow_env")
def fixture_mlflow_env():
    """The path of a virtual environment with MLflow, made once."""
    if os.environ.get("MLOPS_STACK_MLFLOW_ENV"):
        return pathlib.Path(os.environ["MLOPS_STACK_MLFLOW_ENV"])
    path = CLONE / ".build" / "mlflow-env"
    locks = sorted((CLONE / "roles" / "mlflow_server" / "files").glob("requirements-*.txt"))
    lock = locks[-1].read_bytes()
    marker = path / "lock"
    if not marker.exists() or marker.read_bytes() != lock:
        uv = str(BIN / "uv")
        environ = {**os.environ, "UV_SYSTEM_CERTS": "true", "VIRTUAL_ENV": str(path)}
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(path)], check=True)
        command = [uv, "pip", "sync", "--quiet", "--require-hashes", str(locks[-1])]
        subprocess.run(command, check=True, env=environ, timeout=900)
        marker.write_bytes(lock)
    return path


@pytest.fixture(scope="session", name="module")
def fixture_module(mlflow_env):
    """A function that runs one of the modules as Ansible does and gives its result."""

    def run(name, arguments, check=False):
        command = start(name, arguments, check)
        said = command.communicate(timeout=300)[0]
        assert "=> {" in said, said
        return json.loads("{" + said.partition("=> {")[2])

    def start(name, arguments, check=False):
        if name == "mlflow_database":
            arguments = {"env": str(mlflow_env), **arguments}
        argv = [BIN / "ansible", "localhost", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
        argv += ["-m", f"mlops.stack.{name}", "-a", json.dumps(arguments), *(["--check"] if check else [])]
        return subprocess.Popen(
            argv, cwd=CLONE, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    run.start = start
    return run


class Server:
    """MLflow with basic authentication, on SQLite and a folder."""

    def __init__(self, env, folder):
        self.env = env
        self.folder = folder
        self.process = None
        self.admin = ADMIN
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.auth_uri = f"sqlite:///{folder}/auth.db"

    def start(self):
        ini = self.folder / "auth.ini"
        ini.write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {self.auth_uri.replace('%', '%%')}\n"
            "admin_username = admin\nauth_cache_ttl_seconds = 60\n"
        )
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environ.update(
            MLFLOW_BACKEND_STORE_URI=self.uri,
            MLFLOW_ARTIFACTS_DESTINATION=str(self.folder / "artifacts"),
            MLFLOW_HOST="127.0.0.1",
            MLFLOW_PORT=str(self.port),
            MLFLOW_WORKERS="1",
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
            MLFLOW_DISABLE_TELEMETRY="true",
            MLFLOW_FLASK_SERVER_SECRET_KEY=SECRET_KEY,
            MLFLOW_AUTH_CONFIG_PATH=str(ini),
            MLFLOW_AUTH_ADMIN_USERNAME="admin",
            MLFLOW_AUTH_ADMIN_PASSWORD=ADMIN,
        )
        argv = [str(self.env / "bin" / "python"), "-m", "mlflow", "server", "--app-name", "basic-auth"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                argv, cwd=self.folder, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
        pytest.fail("MLflow does not start:\n" + (self.folder / "log").read_text()[-3000:], pytrace=False)

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)


@pytest.fixture(scope="session", name="server")
def fixture_server(mlflow_env, module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    server = Server(mlflow_env, folder)
    made = module("mlflow_database", {"uri": server.uri, "auth_uri": server.auth_uri})
    assert made["changed"] is True, made
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)
