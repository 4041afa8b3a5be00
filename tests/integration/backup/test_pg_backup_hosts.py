# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts that keep their sets in one store.

Stand-in: they are two folders and two processes of one node. What they share is the store, a real SeaweedFS, which
they reach through SSH.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import uuid

import faults
import harm
import pytest
from seaweedfs import running, secret

from .conftest import WORK


@pytest.fixture
def weed(tmp_path):
    with running(tmp_path) as store:
        yield store


@pytest.fixture
def tunnel(host):
    """A function that lets the node reach a port of this machine as its own."""
    with contextlib.ExitStack() as stack:

        def dig(url):
            port = url.rpartition(":")[2]
            forward = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:{port}:127.0.0.1:{port}"]
            process = stack.enter_context(subprocess.Popen([*host.ssh[:-1], *forward, host.ssh[-1]]))
            stack.callback(process.kill)
            host.until(f"timeout 1 bash -c '</dev/tcp/127.0.0.1/{port}' 2>/dev/null")
            return url

        yield dig


class Hold:
    """Holds a request of a backup back, as Proxy's C(before), until open is set."""

    def __init__(self, method, ending):
        self.wanted = (method, ending)
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, method, path):
        if method == self.wanted[0] and path.partition("?")[0].endswith(self.wanted[1]):
            self.reached.set()
            self.open.wait(120)


# Where the running backup is: it has copied nothing yet, its copies, or all but its manifest.
MOMENTS = {
    "nothing": ("PUT", "/artifacts/current/new"),
    "copies": ("PUT", "/globals.sql"),
    "files": ("PUT", "/manifest.json"),
}


@pytest.mark.fault(12)
@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_host_expires_sets_while_another_makes_one(host, weed, tunnel, moment):
    bucket = f"t-{uuid.uuid4().hex[:16]}"
    weed.client().create_bucket(Bucket=bucket)
    keys = {"bucket": bucket, "access_key": "admin-key", "secret_key": secret("admin"), "expire": True}

    def options(name, url):
        place = {**keys, "endpoint_url": url}
        return {
            "dest": f"{WORK}/{name}",
            "databases": ["mlflow"],
            "s3": {**place, "prefix": "sets"},
            "artifacts": {
                "source": {"path": f"{WORK}/artifacts"},
                "destination": {**place, "prefix": "sets/artifacts"},
            },
            "minimum_redundancy": 1,
        }

    def held():
        """What is in the store, but for the lease."""
        listed = weed.client().list_objects_v2(Bucket=bucket, Prefix="sets/").get("Contents", [])
        return {item["Key"]: item["ETag"] for item in listed if "lease" not in item["Key"]}

    second = {**options("second", tunnel(weed.url)), "retention": {"keep_last": 1}}
    host.shell(f"mkdir {WORK}/artifacts; cd {WORK}/artifacts; echo old >changed; echo same >same")
    older = host.run(**second).result["label"]
    host.shell(f"cd {WORK}/artifacts; echo new >new; echo newer >changed")
    hold = Hold(*MOMENTS[moment])
    with faults.proxy(weed.url, before=hold) as proxy:
        running = host.start(**options("first", tunnel(proxy.url)))
        assert hold.reached.wait(60)
        before = held()
        refused = host.run("expire", **second, lock_timeout=0)
        assert refused.status == 75
        assert "Another backup holds" in refused.err
        assert held() == before
        waiting = host.start("expire", **second, lock_timeout=60)
        hold.open.set()
        made = host.end(running).result["label"]
        # By itself the older set is the newest of its own folder.
        assert host.end(waiting).result["expired"] == [older]
    harm.check_sets(host.labels_in(f"{WORK}/second"), [older])
    left = held()
    assert {key.split("/")[1] for key in left} == {"artifacts", made}
    for name, text in (("changed", "newer\n"), ("new", "new\n"), ("same", "same\n")):
        key = f"sets/artifacts/current/{name}"
        assert weed.client().get_object(Bucket=bucket, Key=key)["Body"].read().decode() == text
    # The older set, which is still in its folder, keeps its copy, too.
    assert [key for key in left if "/replaced/" in key and key.endswith("/changed")] != []
    told = host.node.module(
        "pg_backup_info",
        {"dest": f"{WORK}/first", "s3": second["s3"], "deep": True, "minimum_redundancy": 1},
    )
    assert (told["healthy"], told["latest"]) == (True, made), told
