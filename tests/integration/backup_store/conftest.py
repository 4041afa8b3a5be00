# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real SeaweedFS on loopback, and the real rclone and age."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
import types
import uuid

import host
import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import bucket
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.store import Store
from seaweedfs import running, secret


@pytest.fixture(scope="session", autouse=True)
def _programs():
    with host.lock("packages"):
        host.install_missing({"rclone": ["rclone"], "age": ["age"]})


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def weed():
    with tempfile.TemporaryDirectory(prefix="mlops-stack-backup-") as folder, running(folder) as store:
        yield store


@pytest.fixture
def own_weed():
    """A store that a test may ill-treat: a function that starts it."""
    with contextlib.ExitStack() as stack:

        def start(**options):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mlops-stack-backup-"))
            return stack.enter_context(running(folder, **options))

        yield start


def options(weed, name, prefix="", identity="admin", **more):
    """The option s3, resolved."""
    return types.SimpleNamespace(
        **{
            "bucket": name,
            "prefix": prefix,
            "endpoint_url": weed.url,
            "access_key": f"{identity}-key",
            "secret_key": secret(identity),
            "ca_bundle": None,
            "region": None,
            "wait_timeout": 20,
            **more,
        }
    )


@pytest.fixture(name="options")
def _options():
    return options


@pytest.fixture
def make_bucket(weed):
    made = []

    def make(store=weed):
        name = f"t-{uuid.uuid4().hex[:16]}"
        store.client().create_bucket(Bucket=name)
        if store is weed:
            made.append(name)
        return name

    yield make
    for name in made:
        weed.free(name)


@pytest.fixture
def place(weed, make_bucket):
    """A Store in a new bucket, and a client that may do all there."""

    def make(prefix=""):
        store = Store(options(weed, make_bucket(), prefix))
        store.client = weed.client()
        return store

    return make


@pytest.fixture
def set_store():
    """The sets in a bucket, as a key sees them."""

    def make(weed, name, prefix="backups", timeout=None, **more):
        return bucket.SetStore(bucket.connect(options(weed, name, prefix, **more), timeout))

    return make


@pytest.fixture
def make_set(tmp_path):
    """A finished set in a folder: (the folder, its manifest)."""

    def make(
        label="20261121T131500Z-9f3a", sizes=(("globals.sql", 100), ("databases/mlflow/toc.dat", 5000)), **changes
    ):
        folder = tmp_path / label
        folder.mkdir(mode=0o700)
        files = []
        for name, size in sizes:
            data = os.urandom(size)
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            files.append({"path": name, "size": size, "sha256": hashlib.sha256(data).hexdigest()})
        manifest = {
            "schema": 1,
            "label": label,
            "created": "2026-11-21T13:15:00Z",
            "finished": "2026-11-21T13:16:00Z",
            "host": "db1",
            "postgres": {},
            "databases": [],
            "files": files,
            "artifacts": None,
            "verified": {"level": "read"},
            "encrypted": False,
            **changes,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder, manifest

    return make


def tree(folder):
    """All files below a folder: {name: bytes}."""
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(name="tree")
def _tree():
    return tree
