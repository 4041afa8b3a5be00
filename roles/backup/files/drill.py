# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start an MLflow server on a restored database and restored artifacts, and read all of them through it.

Reads one JSON object from standard input: uri (the database's), artifacts (their place), runs (how many there must be).
Writes one JSON object: runs, artifacts, bytes, problems. Needs nothing but the MLflow of the Python that runs it, and
boto3 where the artifacts' place is in a bucket. With remove instead, a place in a bucket, it removes what is there.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

START_SECONDS = 180
PAGE = 1000
SHOWN = 20
CHUNK = 1 << 20
THREADS = 8


class Folder:
    """Artifacts in a folder."""

    def __init__(self, place: dict) -> None:
        self.path = pathlib.Path(place["path"])
        self.destination = place["path"]

    def names(self) -> list[str]:
        """The artifacts' paths."""
        return sorted(path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file())

    def open(self, name: str):
        """One artifact, to be read."""
        return (self.path / name).open("rb")


class Bucket:
    """Artifacts below a prefix of a bucket.

    MLflow has its own client for S3 and takes what that needs from the environment, so this one does the same.
    """

    def __init__(self, place: dict) -> None:
        import boto3

        os.environ.update(
            AWS_ACCESS_KEY_ID=place["access_key"],
            AWS_SECRET_ACCESS_KEY=place["secret_key"],
            AWS_DEFAULT_REGION=place.get("region") or "us-east-1",
            AWS_EC2_METADATA_DISABLED="true",
        )
        # Without one of its own the machine's authorities are trusted, as by the backup itself, and not boto3's.
        system = ssl.get_default_verify_paths().cafile
        trusted = place.get("ca_bundle") or (system if system and pathlib.Path(system).exists() else None)
        if trusted:
            os.environ["AWS_CA_BUNDLE"] = trusted
        if place.get("endpoint_url"):
            os.environ.update(MLFLOW_S3_ENDPOINT_URL=place["endpoint_url"], MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE="path")
        self.client = boto3.client("s3", endpoint_url=place.get("endpoint_url"))
        self.bucket, self.prefix = place["bucket"], place["prefix"] + "/"
        self.destination = f"s3://{place['bucket']}/{place['prefix']}"

    def names(self) -> list[str]:
        """The artifacts' paths."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        return [entry["Key"].removeprefix(self.prefix) for page in pages for entry in page.get("Contents", [])]

    def open(self, name: str):
        """One artifact, to be read."""
        return self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"]

    def remove(self, name: str) -> None:
        """Remove one artifact."""
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + name)


class Server:
    """MLflow on a free port of the loopback, without users: nobody but this program has any business with it."""

    def __init__(self, uri: str, artifacts: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": uri,
            "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
            "MLFLOW_HOST": "127.0.0.1",
            "MLFLOW_PORT": str(self.port),
            "MLFLOW_WORKERS": "1",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def __enter__(self) -> Server:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.read("/health")
                return self
            time.sleep(0.5)
        self.__exit__()
        raise SystemExit("MLflow did not start on the restored database; its last lines are above.")

    def __exit__(self, *_error) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def read(self, path: str, body: dict | None = None):
        """Open one answer of the server."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        return urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=120)

    def pages(self, path: str, body: dict, key: str):
        """All entries of a search, page by page."""
        token = None
        while True:
            asked = {**body, "max_results": PAGE, **({"page_token": token} if token else {})}
            with self.read(path, asked) as answer:
                page = json.load(answer)
            yield from page.get(key, [])
            token = page.get("next_page_token")
            if not token:
                return


def count_runs(server: Server) -> int:
    """Read every run, deleted ones too."""
    search = {"view_type": "ALL"}
    experiments = [
        entry["experiment_id"] for entry in server.pages("/api/2.0/mlflow/experiments/search", search, "experiments")
    ]
    runs = 0
    for experiment in experiments:
        wanted = {"experiment_ids": [experiment], "run_view_type": "ALL"}
        for run in server.pages("/api/2.0/mlflow/runs/search", wanted, "runs"):
            assert run["info"]["run_id"]
            runs += 1
    return runs


def digest(stream) -> tuple[str, int]:
    """The SHA-256 sum and the number of bytes of a stream."""
    found, size = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK):
        found.update(chunk)
        size += len(chunk)
    return found.hexdigest(), size


def read_artifacts(server: Server, artifacts: Folder | Bucket, problems: list[str]) -> tuple[int, int]:
    """Fetch every artifact through the server and compare it with its place's, whose hash the restore compared."""
    number = total = 0
    for name in artifacts.names():
        with contextlib.closing(artifacts.open(name)) as stream:
            wanted = digest(stream)
        try:
            with server.read("/api/2.0/mlflow-artifacts/artifacts/" + urllib.parse.quote(name)) as answer:
                found = digest(answer)
        except OSError as error:
            problems.append(f"The artifact {name} cannot be read: {error}.")
            continue
        if found != wanted:
            problems.append(f"The artifact {name} is another one when it is read through MLflow.")
        number, total = number + 1, total + found[1]
    return number, total


def main() -> None:
    """Read everything, and tell."""
    asked = json.load(sys.stdin)
    if "remove" in asked:
        leftovers = Bucket(asked["remove"])
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(leftovers.remove, leftovers.names()))
        return
    place = asked["artifacts"]
    artifacts = Bucket(place) if "bucket" in place else Folder(place)
    problems: list[str] = []
    with Server(asked["uri"], artifacts.destination) as server:
        runs = count_runs(server)
        if runs != asked["runs"]:
            problems.append(f"MLflow finds {runs} runs, and the set has {asked['runs']}.")
        number, total = read_artifacts(server, artifacts, problems)
    result = {"runs": runs, "artifacts": number, "bytes": total, "problems": problems[:SHOWN]}
    print(json.dumps({**result, "failed": len(problems)}))


if __name__ == "__main__":
    main()
