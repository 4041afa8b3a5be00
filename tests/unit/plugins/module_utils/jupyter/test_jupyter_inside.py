# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP server stands in for Jupyter, and a module made here for mlflow; the real ones meet in the integration
tests."""

from __future__ import annotations

import http.server
import json
import pathlib
import shutil
import sys
import threading
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.jupyter import inside

SETTINGS = {"timeout": 20, "token": None, "mlflow_version": None}


class Client:
    """Keeps the artifacts of one run in a folder."""

    def __init__(self, store):
        self.store = store
        self.experiments = {}

    def create_experiment(self, name):
        assert name.startswith("jupyter-probe-")
        self.experiments["7"] = "active"
        return "7"

    def create_run(self, experiment_id, run_name):
        assert self.experiments[experiment_id] == "active"
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1", artifact_uri="mlflow-artifacts:/7/r1"))

    def log_metric(self, run_id, key, value):
        assert run_id == "r1"

    def log_artifact(self, run_id, path):
        shutil.copy(path, self.store)

    def delete_experiment(self, experiment_id):
        self.experiments[experiment_id] = "deleted"


@pytest.fixture
def jupyter(monkeypatch):
    """The status that each request gets: with the token, and without."""
    answers = {"with": 200, "without": 403}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            secret = self.headers.get("Authorization") == "token t0ken"
            self.send_response(200 if self.path == "/api" else answers["with" if secret else "without"])
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(inside, "JUPYTER", "http://127.0.0.1:%d" % server.server_port)
        yield answers
        server.shutdown()
        thread.join()


@pytest.fixture
def mlflow(monkeypatch, tmp_path):
    """The client that the module made here for mlflow hands out."""
    client = Client(tmp_path)

    def download(run_id, artifact_path, dst_path):
        pathlib.Path(dst_path).mkdir()
        return shutil.copy(tmp_path / artifact_path, dst_path)

    names = ["mlflow", "mlflow.store", "mlflow.store.artifact", "mlflow.store.artifact.artifact_repository_registry"]
    modules = {name: types.ModuleType(name) for name in names}
    modules["mlflow"].__version__ = "3.17.2"
    modules["mlflow"].MlflowClient = lambda: client
    modules["mlflow"].artifacts = types.SimpleNamespace(download_artifacts=download)
    modules[names[-1]].get_artifact_repository = lambda uri: types.SimpleNamespace(
        delete_artifacts=lambda path: (tmp_path / path).unlink()
    )
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return client


def said(**changes):
    lines = []
    inside.main({**SETTINGS, **changes}, lines.append)
    return json.loads(lines[0])


def test_everything_works(jupyter, mlflow, tmp_path):
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    found = said(token=str(token), mlflow_version="3.17.2")
    assert (found["ok"], found["mlflow"]) == (True, "3.17.2"), found
    phases = ["start Jupyter", "check the token", "import mlflow", "compare versions"]
    assert list(found["seconds"]) == [*phases, "log a run", "upload", "download", "delete"]
    assert mlflow.experiments == {"7": "deleted"}
    assert not (tmp_path / "probe.txt").exists()


@pytest.mark.parametrize(
    ("answers", "error"),
    [({"without": 200}, "Jupyter lets in whoever asks"), ({"with": 403}, "Jupyter refuses its own token")],
)
def test_a_token_that_does_not_count(jupyter, tmp_path, answers, error):
    jupyter.update(answers)
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    found = said(token=str(token))
    assert (found["ok"], found["phase"], found["error"]) == (False, "check the token", error)


def test_jupyter_does_not_answer(monkeypatch):
    monkeypatch.setattr(inside, "JUPYTER", "http://127.0.0.1:1")
    found = said(timeout=2)
    assert (found["ok"], found["phase"]) == (False, "start Jupyter")


def test_it_takes_too_long(monkeypatch):
    monkeypatch.setattr(inside, "wait_for_jupyter", lambda limit: inside.time.sleep(20))
    found = said(timeout=1)
    assert (found["kind"], found["error"]) == ("TimeoutError", "it took more than 1 seconds")


def test_no_mlflow(jupyter, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert said()["phase"] == "import mlflow"


@pytest.mark.parametrize(("version", "ok"), [("3.16.1", True), ("3.17.9", True), ("3.18.0", False), ("4.0.0", False)])
def test_an_mlflow_that_is_too_old(jupyter, mlflow, version, ok):
    found = said(mlflow_version=version)
    assert found["ok"] == ok
    assert ok or found["error"] == "mlflow 3.17.2 is older than the server"


def test_an_experiment_that_cannot_be_finished_is_deleted(jupyter, mlflow):
    mlflow.log_artifact = lambda run_id, path: 1 / 0
    assert said()["phase"] == "upload"
    assert mlflow.experiments == {"7": "deleted"}


def test_a_file_that_comes_back_different(jupyter, mlflow, tmp_path):
    mlflow.log_artifact = lambda run_id, path: (tmp_path / "probe.txt").write_text("other")
    assert said()["error"] == "the file came back different"
