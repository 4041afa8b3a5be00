# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets in an S3 store: a set is there once its manifest is, which is written last and removed first."""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import random

from ansible_collections.mlops.stack.plugins.module_utils.backup import manifest as manifests
from ansible_collections.mlops.stack.plugins.module_utils.backup import names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.folder import Found
from ansible_collections.mlops.stack.plugins.module_utils.backup.names import MANIFEST
from ansible_collections.mlops.stack.plugins.module_utils.backup.objects import Objects
from ansible_collections.mlops.stack.plugins.module_utils.backup.together import side_by_side
from ansible_collections.mlops.stack.plugins.module_utils.backup.uploads import THREADS, upload_all
from ansible_collections.mlops.stack.plugins.module_utils.s3 import client as s3_client
from ansible_collections.mlops.stack.plugins.module_utils.s3.connection import AWS_ENDPOINT

# Sets that are looked at side by side: one of the client's connections is the lease's.
LOOKS = s3_client.THREADS - 1
# How many files besides each toc.dat are read back after an upload.
SAMPLE = 2


def connect(s3, timeout=None, option="s3"):
    """The Objects under ``s3.prefix``, where s3 has the attributes of the option s3; keys are plain text there."""
    try:
        client = s3_client.connect(s3.endpoint_url, s3.access_key, s3.secret_key, s3.region, s3.ca_bundle)
    except s3_client.StoreError as error:
        raise BackupError(error.message, "options", safe_to_retry=False) from error
    return Objects(
        client,
        s3.bucket,
        s3.prefix or "",
        s3.endpoint_url or AWS_ENDPOINT,
        getattr(s3, "wait_timeout", 60),
        timeout,
        option,
    )


def sample(files, seed):
    """Which files are read back after an upload: each toc.dat, and some others that depend on the seed."""
    tables = [item for item in files if pathlib.PurePosixPath(item["path"]).name.startswith("toc.dat")]
    others = sorted((item for item in files if item not in tables), key=lambda item: item["path"])
    return tables + random.Random(seed).sample(others, min(SAMPLE, len(others)))


def compare(files, sizes):
    """What is wrong with a set, by the sizes of its objects: one sentence for each file."""
    problems = []
    for item in files:
        found = sizes.get(item["path"])
        if found is None:
            problems.append(f"{item['path']} is missing")
        elif found != item["size"]:
            problems.append(f"{item['path']} has {found} bytes instead of {item['size']}")
    return problems


class SetStore:
    """The sets under a prefix of a bucket; ``objects`` is an Objects there."""

    def __init__(self, objects):
        self.objects = objects

    def anew(self):
        """The same sets, whose time limit begins now."""
        return SetStore(self.objects.anew())

    def labels(self):
        """The labels of what looks like sets, complete or not."""
        return [name for name in self.objects.folders() if names.is_label(name)]

    def manifest(self, label):
        """A set's manifest, None where the set is not complete. A BackupError where it cannot be read."""
        return self._read(label)[0]

    def _read(self, label):
        body, _answer = self.objects.get(f"{label}/{MANIFEST}", "read")
        if body is None:
            return None, None
        where = f"{self.objects.where}{label}/{MANIFEST}"
        try:
            found = json.loads(body)
        except ValueError:
            raise manifests.damaged(where, "is not JSON") from None
        manifests.validate(found, where)
        if found["label"] != label:
            raise manifests.damaged(where, f"is that of the set {found['label']}")
        return found, body

    def look(self, label):
        """A set as a listing shows it; what is wrong with it is told, never raised."""
        return self._judged(label, self._sizes(label))

    def _sizes(self, label):
        return {name: item["Size"] for name, item in self.objects.below(label).list()}

    def _judged(self, label, sizes):
        where = f"{self.objects.where}{label}"
        total = sum(sizes.values())
        try:
            manifest = self.manifest(label) if MANIFEST in sizes else None
        except BackupError as error:
            return Found(label, where, None, [error.message], total)
        if manifest is None:
            return Found(label, where, None, ["it has no manifest: its upload did not end"], total, unfinished=True)
        return Found(label, where, manifest, compare(manifest["files"], sizes), total)

    def sets(self):
        """All sets, complete or not, by label."""
        labels = sorted(self.labels())
        sizes = dict(zip(labels, side_by_side(self._sizes, labels, LOOKS, only_reads=True)))
        # SeaweedFS goes on listing the folder of a set that was removed.
        there = [label for label in labels if sizes[label]]
        return side_by_side(lambda label: self._judged(label, sizes[label]), there, LOOKS, only_reads=True)

    # Into the store

    def upload_set(self, folder, manifest, progress=None):
        """Upload a finished set from its folder, read a sample of it back, and write its manifest last.

        What an earlier try has uploaded stays as it is, and a set that lost objects in the store gets them back. A
        BackupError leaves no manifest that was not there.
        """
        label = manifest["label"]
        there = self.objects.below(label)
        held = {name: item["Size"] for name, item in there.list("upload")}
        body = pathlib.Path(folder, MANIFEST).read_bytes()
        if MANIFEST in held and there.get(MANIFEST, "upload")[0] != body:
            raise BackupError(
                f"{self.objects.where}{label} is there already: choose another label.", "upload", safe_to_retry=False
            )
        files = [
            (item["path"], pathlib.Path(folder, item["path"]), item["sha256"])
            for item in manifest["files"]
            if not self._same(there, item, held)
        ]
        upload_all(there, files, "upload", progress)
        problems = compare(manifest["files"], {name: item["Size"] for name, item in there.list("upload")})
        for item in sample(manifest["files"], label):
            problems += self._verify(there, item, "upload")
        if problems:
            raise BackupError(
                f"{self.objects.where}{label} does not hold what was uploaded: {'; '.join(problems[:5])}.", "upload"
            )
        if MANIFEST not in held:
            there.put(MANIFEST, body, "upload")
        if there.get(MANIFEST, "upload")[0] != body:
            raise BackupError(f"{self.objects.where}{label}/{MANIFEST} reads back as something else.", "upload")

    @staticmethod
    def _same(there, item, held):
        if held.get(item["path"]) != item["size"]:
            return False
        return there.head(item["path"], "upload").get("Metadata", {}).get("sha256") == item["sha256"]

    @staticmethod
    def _verify(there, item, phase):
        found = there.digest(item["path"], phase)
        if found is None:
            return [f"{item['path']} is missing"]
        if found != (item["size"], item["sha256"]):
            return [f"{item['path']} is damaged: its sha256 is {found[1]} instead of {item['sha256']}"]
        return []

    def sweep(self, older_than=86400):
        """Abort the unfinished uploads that killed backups left, begun more than so many seconds ago."""
        return self.objects.abort_uploads(older_than)

    # Out of the store

    def download_set(self, label, folder, progress=None):
        """Download a set into a new folder, several files at once, and check each file's hash: the manifest.

        ``progress`` is called with the bytes done and the bytes in all. A BackupError names the first file that is
        missing or damaged.
        """
        manifest, body = self._read(label)
        if manifest is None:
            raise BackupError(
                f"There is no complete set {label} at {self.objects.where}.", "download", safe_to_retry=False
            )
        folder = pathlib.Path(folder)
        folder.mkdir(mode=0o700)
        there = self.objects.below(label)
        files = [(item, folder / item["path"]) for item in manifest["files"]]
        total = sum(item["size"] for item in manifest["files"])
        done = 0
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            try:
                for size in pool.map(lambda file: self._fetch(there, *file), files):
                    done += size
                    if progress:
                        progress(done, total)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        (folder / MANIFEST).write_bytes(body)
        (folder / MANIFEST).chmod(0o600)
        return manifest

    def download_file(self, label, item, target):
        """Download one of a set's files, as its manifest names it, and check its hash."""
        self._fetch(self.objects.below(label), item, target)

    @staticmethod
    def _fetch(there, item, target):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = there.download(item["path"], target)
        if found != (item["size"], item["sha256"]):
            target.unlink()
            wrong = "is missing" if found is None else "is damaged: it is not what its hash in the manifest says"
            raise BackupError(
                f"{there.where}{item['path']} {wrong}; restore another set.", "download", safe_to_retry=False
            )
        target.chmod(0o600)
        return item["size"]

    def verify_set(self, label):
        """Read a whole set and compare hashes: what is wrong, one sentence for each file."""
        found = self.look(label)
        if found.manifest is None:
            return found.problems
        there = self.objects.below(label)
        problems = []
        for item in found.manifest["files"]:
            try:
                problems += self._verify(there, item, "verify")
            except BackupError as error:
                # Only this file, or the whole store?
                self.objects.get(f"{label}/{MANIFEST}", "verify")
                problems.append(f"{item['path']} cannot be read: {error.message}")
        return problems

    def remove_set(self, label):
        """Remove a set, its manifest first, so that no half-removed set looks complete."""
        there = self.objects.below(label)
        there.delete(MANIFEST)
        for name, _item in list(there.list("expire")):
            there.delete(name)
