# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside the container: does what a notebook does, and prints one line of JSON about how far it came.

It is sent there as text, so it knows nothing of the collection; the image brings mlflow.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request

JUPYTER = "http://127.0.0.1:8888"
CONTENT = b"mlops.stack probe\n"


def ask(path, token=None):
    """The status with which Jupyter answers."""
    request = urllib.request.Request(JUPYTER + path, headers={"Authorization": "token " + token} if token else {})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def wait_for_jupyter(limit):
    """Wait until Jupyter answers."""
    deadline = time.monotonic() + limit
    while True:
        try:
            return ask("/api")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def check_token(path):
    """Jupyter lets in who has the token, and nobody else."""
    with open(path, encoding="utf-8") as file:
        token = file.read().strip()
    if ask("/api/contents") != 403:
        raise AssertionError("Jupyter lets in whoever asks")
    if ask("/api/contents", token) != 200:
        raise AssertionError("Jupyter refuses its own token")


def track(client, download, delete_artifacts, folder):
    """Log a run, upload a file, download it, compare, and delete it all; yields the name of each phase before it.

    The experiment is its own: only who made one may delete there.
    """
    yield "log a run"
    experiment = client.create_experiment("jupyter-probe-" + os.urandom(6).hex())
    try:
        run = client.create_run(experiment, run_name="probe")
        client.log_metric(run.info.run_id, "probe", 1.0)
        yield "upload"
        source = os.path.join(folder, "probe.txt")
        with open(source, "wb") as file:
            file.write(CONTENT)
        client.log_artifact(run.info.run_id, source)
        yield "download"
        with open(download(run_id=run.info.run_id, artifact_path="probe.txt", dst_path=folder + "/back"), "rb") as file:
            if file.read() != CONTENT:
                raise AssertionError("the file came back different")
        yield "delete"
        delete_artifacts(run.info.artifact_uri, "probe.txt")
    finally:
        client.delete_experiment(experiment)


def phases(settings, folder):
    """All phases in their order, each done before the next one is named."""
    yield "start Jupyter"
    wait_for_jupyter(settings["timeout"] / 2)
    if settings["token"]:
        yield "check the token"
        check_token(settings["token"])
    yield "import mlflow"
    os.environ.update(
        {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15", "TQDM_DISABLE": "1"}
    )
    import mlflow
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    settings["told"]["mlflow"] = mlflow.__version__
    if settings["mlflow_version"]:
        yield "compare versions"
        wanted, got = (
            tuple(map(int, text.split(".")[:2])) for text in (settings["mlflow_version"], mlflow.__version__)
        )
        if got < wanted:
            raise AssertionError("mlflow %s is older than the server" % mlflow.__version__)
    yield from track(
        mlflow.MlflowClient(),
        mlflow.artifacts.download_artifacts,
        lambda uri, path: get_artifact_repository(uri).delete_artifacts(path),
        folder,
    )


def main(settings, out=sys.stdout.write):
    """Print how far it came: the phase, and what went wrong in it, if anything did."""
    import tempfile

    def give_up(number, frame):
        raise TimeoutError("it took more than %d seconds" % settings["timeout"])

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(settings["timeout"])
    settings["told"] = {}
    said = {"ok": True, "phase": None, "seconds": {}}
    try:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            for phase in phases(settings, folder):
                if said["phase"]:
                    said["seconds"][said["phase"]] = round(time.monotonic() - began, 2)
                said["phase"], began = phase, time.monotonic()
            said["seconds"][said["phase"]] = round(time.monotonic() - began, 2)
    except Exception as error:
        said.update(ok=False, kind=type(error).__name__, error=str(error)[:2000])
    finally:
        signal.alarm(0)
    out(json.dumps({**said, **settings["told"]}) + "\n")
