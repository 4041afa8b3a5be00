# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The acceptance check of a running stack, in three phases, so that services can be restarted in between.

  log    what must be refused is refused; a run, a 64 MB artifact and a model version are logged and read back
  check  all of it is still there, to the byte
  clean  all of it is deleted again

Each phase prints one line for each check and ends with status 1 where one failed. The server and the login come
from MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. The names it uses are made up anew
each time and kept in the state file, so that it never touches what others logged.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path

PARAMS = {"optimizer": "adam", "depth": "3", "note": "a param with spaces, Ünïcode and 100 %"}
STEPS = 10
CHUNK = 1024 * 1024


class Failed(Exception):
    """One sentence about what is wrong."""


class Unreachable(Failed):
    """There is no server to check."""


class State:
    """What this check has made so far, kept in a file."""

    def __init__(self, path):
        self.path = Path(path)
        self.data = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def save(self, **values):
        self.data.update(values)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.data, indent=1), encoding="utf-8")
        partial.replace(self.path)

    def __getitem__(self, key):
        if key not in self.data:
            raise Failed(f"the state file {self.path} does not hold {key}: phase log has to come first")
        return self.data[key]


def loss(step):
    return 1.0 / (step + 1)


def write_payload(path, size_mb):
    digest = hashlib.sha256()
    with open(path, "wb") as stream:
        for _mebibyte in range(size_mb):
            chunk = os.urandom(CHUNK)
            digest.update(chunk)
            stream.write(chunk)
    return digest.hexdigest()


def hash_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Check:
    def __init__(self, state, size_mb):
        import requests
        from mlflow import MlflowClient

        self.requests = requests
        self.uri = os.environ["MLFLOW_TRACKING_URI"].rstrip("/")
        self.user = os.environ.get("MLFLOW_TRACKING_USERNAME")
        self.client = MlflowClient(self.uri)
        self.state = state
        self.size_mb = size_mb
        self.bundle = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True

    def status(self, login=None, host=None):
        """The status of a plain request for the experiments."""
        try:
            answer = self.requests.post(
                self.uri + "/api/2.0/mlflow/experiments/search",
                json={"max_results": 1},
                auth=login,
                headers={"Host": host} if host else {},
                timeout=60,
                verify=self.bundle,
            )
        except self.requests.exceptions.SSLError:
            raise Unreachable(f"the certificate of {self.uri} is not trusted; name its CA in ca_bundle") from None
        except OSError as error:
            raise Unreachable(f"no MLflow server answers at {self.uri} ({type(error).__name__})") from None
        return answer.status_code

    def expect(self, wanted, what, **request):
        found = self.status(**request)
        if found != wanted:
            raise Failed(f"{what} is answered with status {found} at {self.uri}, and {wanted} was expected")

    # Phase log

    def wrong_host(self):
        self.expect(403, "a request with a foreign Host header", login=self.login(), host="verify.example.org")
        return "a foreign Host header is refused (403)"

    def anonymous(self):
        self.expect(401, "a request without a login")
        return "a request without a login is refused (401)"

    def default_login(self):
        self.expect(401, "the login admin with the published default password", login=("admin", "password1234"))
        return "the published default login is refused (401)"

    def login(self):
        return (self.user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if self.user else None

    def accepted(self):
        self.expect(200, f"the login of {self.user}" if self.user else "a plain request", login=self.login())
        return f"the login of {self.user} is accepted" if self.user else "the server answers"

    def log_run(self):
        from mlflow.entities import Metric, Param

        name = f"verify-{uuid.uuid4().hex}"
        self.state.save(name=name)
        experiment = self.client.create_experiment(name)
        self.state.save(experiment=experiment)
        run = self.client.create_run(experiment, run_name=name, tags={"verify": name})
        self.state.save(run=run.info.run_id)
        now = int(time.time() * 1000)
        metrics = [Metric("loss", loss(step), now, step) for step in range(STEPS)]
        params = [Param(key, value) for key, value in PARAMS.items()]
        self.client.log_batch(run.info.run_id, metrics=metrics, params=params)
        self.read_run()
        return f"a run with {len(PARAMS)} params and {STEPS} values of a metric is logged and read back"

    def read_run(self):
        run = self.client.get_run(self.state["run"])
        if run.data.params != PARAMS:
            raise Failed(f"the params of run {run.info.run_id} came back as {run.data.params}")
        history = self.client.get_metric_history(run.info.run_id, "loss")
        if [(one.step, one.value) for one in history] != [(step, loss(step)) for step in range(STEPS)]:
            raise Failed(f"the metric of run {run.info.run_id} came back with {len(history)} values that differ")

    def upload(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "payload.bin")
            self.state.save(sha256=write_payload(path, self.size_mb))
            begin = time.monotonic()
            self.client.log_artifact(self.state["run"], str(path), "payload")
            speed = self.size_mb / max(time.monotonic() - begin, 0.001)
        self.list_artifact()
        return f"an artifact of {self.size_mb} MB is uploaded ({speed:.0f} MB/s) and listed"

    def list_artifact(self):
        found = [(one.path, one.file_size) for one in self.client.list_artifacts(self.state["run"], "payload")]
        wanted = [("payload/payload.bin", self.size_mb * CHUNK)]
        if found != wanted:
            raise Failed(f"the list of the run's artifacts is {found}, and {wanted} was expected")

    def download(self):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.monotonic()
            path = self.client.download_artifacts(self.state["run"], "payload/payload.bin", folder)
            speed = self.size_mb / max(time.monotonic() - begin, 0.001)
            found = hash_file(path)
        if found != self.state["sha256"]:
            raise Failed(f"the artifact of {self.size_mb} MB came back with other bytes (SHA-256 {found})")
        return f"the artifact is downloaded ({speed:.0f} MB/s) and is the same to the byte"

    def finish_run(self):
        self.client.set_terminated(self.state["run"], "FINISHED")
        self.search()
        return "a search finds the run by its tag, metric and param"

    def search(self):
        found = self.client.search_runs(
            [self.state["experiment"]],
            f"tags.verify = '{self.state['name']}' and metrics.loss < 0.5 and params.depth = '3'",
        )
        if [run.info.run_id for run in found] != [self.state["run"]]:
            raise Failed(f"a search for run {self.state['run']} finds {len(found)} runs, and not it alone")

    def register(self):
        name = self.state["name"]
        self.client.create_registered_model(name)
        self.state.save(model=name)
        source = self.client.get_run(self.state["run"]).info.artifact_uri + "/payload"
        made = self.client.create_model_version(name, source, run_id=self.state["run"], await_creation_for=60)
        self.state.save(version=str(made.version))
        self.read_model()
        return "a model version is registered and read back"

    def read_model(self):
        found = self.client.get_model_version(self.state["model"], self.state["version"])
        if found.status != "READY" or found.run_id != self.state["run"]:
            raise Failed(f"version {found.version} of model {found.name} is {found.status} and of run {found.run_id}")

    # Phase check

    def kept_run(self):
        self.read_run()
        self.search()
        return "the run, its params and its metric are still there"

    def kept_artifact(self):
        self.list_artifact()
        self.download()
        return "the artifact is still there, the same to the byte"

    def kept_model(self):
        self.read_model()
        return "the model version is still there"

    # Phase clean

    def delete_model(self):
        name = self.state["model"]
        if self.client.search_registered_models(f"name = '{name}'"):
            self.client.delete_registered_model(name)
        if self.client.search_registered_models(f"name = '{name}'"):
            raise Failed(f"model {name} is still there after it was deleted")
        return "the model is deleted"

    def delete_artifacts(self):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        run = self.client.get_run(self.state["run"])
        get_artifact_repository(run.info.artifact_uri, tracking_uri=self.uri).delete_artifacts()
        if self.files():
            raise Failed(f"artifacts of run {self.state['run']} are still there after they were deleted")
        return "the artifacts are deleted"

    def files(self, folder=None):
        """Paths of the run's artifacts. An object store may go on listing a folder for a while after it is empty."""
        found = []
        for one in self.client.list_artifacts(self.state["run"], folder):
            found += self.files(one.path) if one.is_dir else [one.path]
        return found

    def delete_experiment(self):
        """MLflow keeps what the API deletes until its garbage collection; the artifacts are gone by then."""
        if "run" in self.state.data:
            self.client.delete_run(self.state["run"])
        found = self.client.get_experiment(self.state["experiment"])
        if found.lifecycle_stage != "deleted":
            self.client.delete_experiment(self.state["experiment"])
        found = self.client.get_experiment(self.state["experiment"])
        if found.lifecycle_stage != "deleted":
            raise Failed(f"experiment {found.name} is still there after it was deleted")
        return "the run and its experiment are deleted"

    # What each phase does: what is independent first, then a chain that ends at its first failure

    def phase_log(self):
        refused = [self.wrong_host]
        if self.user:
            refused += [self.anonymous, self.default_login]
        chain = [self.accepted, self.log_run, self.upload, self.download, self.finish_run, self.register]
        return refused, chain

    def phase_check(self):
        return [self.kept_run, self.kept_artifact, self.kept_model], []

    def phase_clean(self):
        made = self.state.data
        steps = [
            (self.delete_model, "model"),
            (self.delete_artifacts, "run"),
            (self.delete_experiment, "experiment"),
        ]
        return [step for step, key in steps if key in made], []


def say(function):
    """Runs one check and prints its line; whether it passed."""
    try:
        print(f"ok: {function()}", flush=True)
        return True
    except Unreachable:
        raise
    except Failed as error:
        text = str(error)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        text = f"{function.__name__.replace('_', ' ')} fails: {first}"
    print(f"FAILED: {text}", flush=True)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("phase", choices=["log", "check", "clean"])
    parser.add_argument("--state", required=True, help="file that keeps what was made, between the phases")
    parser.add_argument("--size-mb", type=int, default=64, help="size of the artifact in MiB")
    parser.add_argument(
        "--stdin",
        action="store_true",
        help="read the environment variables as a JSON object from standard input, where no other user sees them",
    )
    arguments = parser.parse_args()
    if arguments.stdin:
        os.environ.update(json.load(sys.stdin))
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        print("FAILED: MLFLOW_TRACKING_URI is not set")
        return 1
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    import logging

    import mlflow

    logging.getLogger(mlflow.__name__).setLevel(logging.ERROR)
    try:
        return 0 if run(arguments.phase, State(arguments.state), arguments.size_mb) else 1
    except Failed as error:
        print(f"FAILED: {error}")
        return 1


def run(phase, state, size_mb):
    """Whether all checks of a phase passed."""
    check = Check(state, size_mb)
    if phase == "check":
        state["name"]
    if phase == "log" and state.data:
        # An earlier check was ended before it could clean up.
        if not run("clean", state, size_mb):
            return False
        state = State(state.path)
        check = Check(state, size_mb)
    independent, chain = getattr(check, "phase_" + phase)()
    passed = not [function for function in independent if not say(function)]
    for function in chain:
        if not say(function):
            return False
    if phase == "clean" and passed:
        state.path.unlink(missing_ok=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
