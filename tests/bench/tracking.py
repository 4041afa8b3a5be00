# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small MLflow client over its REST interface, and a load of many small runs.

It stands in for MLflow's own client, which takes seconds to import: those would come on top of both sides of a
comparison and make the ratio look better than it is. It is the same for both sides, and it runs on the control
machine.
"""

from __future__ import annotations

import base64
import http.client
import json
import statistics
import threading
import time
import urllib.parse

import harness

THREADS = 8
METRICS = 100
PARAMS = 10
PATIENCE = 60


class Client:
    """One kept connection to an MLflow server."""

    def __init__(self, uri: str, user: str = "", password: str = "") -> None:
        where = urllib.parse.urlsplit(uri)
        self.connection = http.client.HTTPConnection(where.hostname, where.port or 80, timeout=PATIENCE)
        self.headers = {"Content-Type": "application/json"}
        if user:
            self.headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    @classmethod
    def of(cls, variables: dict[str, str]) -> Client:
        """Return the client that a user's environment variables describe."""
        return cls(
            variables["MLFLOW_TRACKING_URI"],
            variables.get("MLFLOW_TRACKING_USERNAME", ""),
            variables.get("MLFLOW_TRACKING_PASSWORD", ""),
        )

    def call(self, method: str, path: str, body: dict | bytes | None = None) -> bytes:
        """Send one request and return the answer's body; anything but success ends the benchmark."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        try:
            self.connection.request(method, path, data, self.headers)
            answer = self.connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise harness.BenchError(f"MLflow did not answer {method} {path}: {error!r}.") from error
        if answer.status != 200:
            raise harness.BenchError(f"MLflow answered {method} {path} with {answer.status}: {content[:300]!r}")
        return content

    def post(self, name: str, body: dict) -> dict:
        """Call one method of the tracking interface."""
        return json.loads(self.call("POST", f"/api/2.0/mlflow/{name}", body))

    def create_run(self, experiment: str) -> dict:
        """Begin a run and return what the server says about it."""
        body = {"experiment_id": experiment, "start_time": int(time.time() * 1000)}
        return self.post("runs/create", body)["run"]["info"]

    def log_first_run(self) -> None:
        """Log a run with a metric and a small artifact, read the artifact back, and end the run."""
        info = self.create_run("0")
        self.post("runs/log-metric", {"run_id": info["run_id"], "key": "loss", "value": 0.5, "timestamp": 1, "step": 0})
        folder = info["artifact_uri"].partition("mlflow-artifacts:")[2].strip("/")
        content = b"the first artifact\n"
        path = f"/api/2.0/mlflow-artifacts/artifacts/{folder}/first.txt"
        self.call("PUT", path, content)
        if self.call("GET", path) != content:
            raise harness.BenchError("MLflow gave back another artifact than was uploaded.")
        self.post("runs/update", {"run_id": info["run_id"], "status": "FINISHED", "end_time": int(time.time() * 1000)})


def wait_until_well(uri: str, limit: float) -> None:
    """Wait until a server says that it is well."""
    deadline = time.monotonic() + limit
    while True:
        try:
            client = Client(uri)
            client.call("GET", "/health")
            client.connection.close()
            return
        except harness.BenchError as failure:
            if time.monotonic() > deadline:
                raise harness.BenchError(f"{uri} was not up within {limit:.0f} s: {failure}") from failure
            time.sleep(0.5)


class Load:
    """Threads that log runs of METRICS metrics and PARAMS params each, as fast as the server takes them."""

    def __init__(self, variables: dict[str, str], experiment: str) -> None:
        self.variables = variables
        self.experiment = experiment
        self.lock = threading.Lock()
        self.done: list[tuple[float, float]] = []
        self.failure: harness.BenchError | None = None

    def __call__(self, warm_up: float, seconds: float) -> float:
        """Return the runs per second within the seconds after the warm-up."""
        begin = time.monotonic() + warm_up
        end = begin + seconds
        threads = [threading.Thread(target=self.work, args=(end,)) for _number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failure:
            raise self.failure
        counted = [took for finished, took in self.done if begin <= finished <= end]
        if not counted:
            raise harness.BenchError(f"Not one run was logged within {seconds:.0f} s.")
        middle = statistics.median(counted) * 1000
        harness.say(f"  {len(counted)} runs in {seconds:.0f} s, median {middle:.0f} ms each")
        return len(counted) / seconds

    def work(self, end: float) -> None:
        """Log runs until the end, or until a thread fails."""
        client = Client.of(self.variables)
        try:
            while time.monotonic() < end and self.failure is None:
                began = time.monotonic()
                run_id = client.create_run(self.experiment)["run_id"]
                metrics = [{"key": f"m{i}", "value": i / 7, "timestamp": 1, "step": 0} for i in range(METRICS)]
                params = [{"key": f"p{i}", "value": str(i)} for i in range(PARAMS)]
                client.post("runs/log-batch", {"run_id": run_id, "metrics": metrics, "params": params})
                finished = time.monotonic()
                with self.lock:
                    self.done.append((finished, finished - began))
        except harness.BenchError as failure:
            self.failure = failure
        finally:
            client.connection.close()
