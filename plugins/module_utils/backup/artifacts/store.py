# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Artifacts, or copies of them, in an S3 store."""

from __future__ import annotations

import datetime
import pathlib
import tempfile

from ansible_collections.mlops.stack.plugins.module_utils.backup import bucket, uploads
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Gone
from ansible_collections.mlops.stack.plugins.module_utils.s3 import client as s3_client


def moment(stamp):
    """An object's time."""
    return stamp.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Objects under a prefix; ``s3`` has the attributes of the option s3, with keys as plain text."""

    is_folder = False

    def __init__(self, s3, objects=None, timeout=None, option="s3"):
        self.s3 = s3
        self.objects = objects or bucket.connect(s3, timeout, option)
        self.ca_bundle = s3.ca_bundle
        self.skipped = []

    @property
    def where(self):
        """The place in words."""
        return self.objects.where

    def below(self, name):
        """A folder in it."""
        return Store(self.s3, self.objects.below(name))

    def anew(self):
        """The same place, whose time limit begins now."""
        return Store(self.s3, self.objects.anew())

    def unlimited(self):
        """The same place without a time limit."""
        return Store(self.s3, self.objects.unlimited())

    def holds(self, other):
        """Whether another place is this one or lies in it."""
        if other.is_folder:
            return False
        same = (self.s3.endpoint_url, self.objects.bucket) == (other.s3.endpoint_url, other.objects.bucket)
        return same and other.objects.prefix.startswith(self.objects.prefix)

    def remote(self, tag):
        """(rclone's settings, as environment variables, and its name for this place)."""
        prefix = f"RCLONE_CONFIG_{tag}_"
        settings = {
            "TYPE": "s3",
            "PROVIDER": "Other",
            "ENDPOINT": self.s3.endpoint_url or bucket.AWS_ENDPOINT,
            "ACCESS_KEY_ID": self.s3.access_key,
            "SECRET_ACCESS_KEY": self.s3.secret_key,
            "REGION": self.s3.region or s3_client.SIGNING_REGION,
            "FORCE_PATH_STYLE": "true",
            "NO_CHECK_BUCKET": "true",
            # What is copied is read back whole.
            "NO_HEAD": "true",
            "ENCODING": "None",
        }
        place = f"{self.objects.bucket}/{self.objects.prefix}".rstrip("/")
        return {prefix + name: value for name, value in settings.items()}, f"{tag}:{place}"

    # Looking

    def check(self):
        """Raise a BackupError where the bucket is not there, or may not be listed."""
        self.objects.call("list_objects_v2", "listing", "artifacts", Prefix=self.objects.prefix, MaxKeys=1)

    def list(self):
        """All objects: (name, size, etag, modified, version_id)."""
        listed = self.objects.list_versions if self.objects.versioned() else self.objects.list
        for name, item in listed():
            version = item.get("VersionId")
            yield name, item["Size"], item["ETag"].strip('"'), moment(item["LastModified"]), version

    def names(self, under):
        """The names of the folders right under a folder."""
        return sorted(self.objects.below(under).folders())

    def find(self, name):
        """(size, etag, modified) of an object, None where it is not there."""
        found = self.objects.head(name)
        if not found:
            return None
        return found["ContentLength"], found["ETag"].strip('"'), moment(found["LastModified"])

    def read(self, name):
        """An object's bytes, piece by piece. Gone where it is not there."""
        found = self.objects.head(name, "artifacts")
        if not found:
            raise Gone(name)
        yield from self.objects.chunks(name, found, "artifacts")

    def digests(self, name):
        """(size, sha256, ETag) of an object, None where it is not there."""
        found = self.find(name)
        read = self.objects.digest(name, "artifacts") if found else None
        return (*read, found[1]) if read else None

    # Changing

    def write(self, name, chunks):
        """Write an object, which is there only when it is whole."""
        with tempfile.TemporaryDirectory(prefix="mlops-stack-object-") as folder:
            file = pathlib.Path(folder, "object")
            with file.open("xb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
            uploads.upload_all(self.objects, [(name, file, None)], "artifacts")

    def set_aside(self, name, target):
        """Copy an object within the store. It stays until it is written over, for a key that cannot delete."""
        uploads.copy(self.objects, name, target, "artifacts")

    def clear(self, name):
        """Nothing to do: a store has no folders."""

    def delete(self, name):
        """Delete an object."""
        self.objects.delete(name)

    def settle(self):
        """Nothing to do: the store answers when it has it."""
