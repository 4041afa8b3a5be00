# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An S3 client that keeps its buckets in memory, and a filer that knows their owners."""

from __future__ import annotations

import collections
import contextlib
import io
import json

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.s3.client import Store
from ansible_collections.mlops.stack.plugins.module_utils.s3.filer import FilerError
from memory_s3 import Client, Clock, failure


class FakeS3(Client):
    """boto3's S3 client, as far as the store uses it."""

    def __init__(self, server="SeaweedFS 4.48", caller="me"):
        super().__init__()
        self.server = server
        self.caller = caller
        self.owners = {}
        self.features = collections.defaultdict(dict)
        self.versions = collections.defaultdict(list)
        self.uploads = collections.defaultdict(list)
        self.bodies = {}

    def _known(self, bucket):
        if bucket not in self.owners:
            raise failure("NoSuchBucket", 404)

    def _feature(self, bucket, feature, missing):
        self._known(bucket)
        if feature not in self.features[bucket]:
            raise failure(missing, 404)
        return self.features[bucket][feature]

    def on_list_buckets(self, continuation_token=None):
        names = sorted(self.owners)
        answer = {
            "Owner": {"ID": self.caller},
            "Buckets": [{"Name": name} for name in (names[1:] if continuation_token else names[:1])],
            "ResponseMetadata": {"HTTPHeaders": {"server": self.server}},
        }
        if len(names) > 1 and not continuation_token:
            answer["ContinuationToken"] = "more"
        return answer

    def on_head_bucket(self, bucket):
        if bucket not in self.owners:
            raise failure("404", 404)

    def on_get_bucket_acl(self, bucket):
        self._known(bucket)
        return {"Owner": {"ID": self.owners[bucket] or self.caller}}

    def on_put_bucket_acl(self, bucket, acl):
        self.owners[bucket] = self.caller

    def on_create_bucket(self, bucket, create_bucket_configuration=None, object_lock_enabled_for_bucket=False):
        if bucket in self.owners:
            mine = self.owners[bucket] in (self.caller, None)
            raise failure("BucketAlreadyOwnedByYou" if mine else "BucketAlreadyExists", 409)
        self.owners[bucket] = self.caller
        if object_lock_enabled_for_bucket:
            self.features[bucket]["object_lock"] = "Enabled"

    def on_delete_bucket(self, bucket):
        self._known(bucket)
        if self.versions[bucket]:
            raise failure("BucketNotEmpty", 409)
        del self.owners[bucket]

    def on_put_object(self, bucket, key, body):
        self._known(bucket)
        self.bodies[bucket, key] = body
        return {"VersionId": "v1"} if "versioning" in self.features[bucket] else {}

    def on_get_object(self, bucket, key):
        return {"Body": contextlib.closing(io.BytesIO(self.bodies[bucket, key]))}

    def on_delete_object(self, bucket, key, version_id=None):
        del self.bodies[bucket, key]

    def on_list_object_versions(self, bucket, max_keys=3):
        found = self.versions[bucket][:max_keys]
        return {
            "Versions": [{"Key": key, "VersionId": version} for key, version, marker in found if not marker],
            "DeleteMarkers": [{"Key": key, "VersionId": version} for key, version, marker in found if marker],
        }

    def on_delete_objects(self, bucket, delete):
        gone = {(item["Key"], item["VersionId"]) for item in delete["Objects"]}
        self.versions[bucket] = [item for item in self.versions[bucket] if item[:2] not in gone]
        return {}

    def on_list_multipart_uploads(self, bucket, max_uploads=2, key_marker="", upload_id_marker=""):
        left = [item for item in self.uploads[bucket] if item > (key_marker, upload_id_marker)]
        answer = {"Uploads": [{"Key": key, "UploadId": upload} for key, upload in left[:max_uploads]]}
        if len(left) > max_uploads:
            key, upload = left[max_uploads - 1]
            answer.update(IsTruncated=True, NextKeyMarker=key, NextUploadIdMarker=upload)
        return answer

    def on_abort_multipart_upload(self, bucket, key, upload_id):
        self.uploads[bucket].remove((key, upload_id))

    def on_get_bucket_versioning(self, bucket):
        status = self.features[bucket].get("versioning")
        return {"Status": status} if status else {}

    def on_put_bucket_versioning(self, bucket, versioning_configuration):
        self.features[bucket]["versioning"] = versioning_configuration["Status"]

    def on_get_bucket_policy(self, bucket):
        return {"Policy": self._feature(bucket, "policy", "NoSuchBucketPolicy")}

    def on_put_bucket_policy(self, bucket, policy):
        self.features[bucket]["policy"] = policy

    def on_delete_bucket_policy(self, bucket):
        del self.features[bucket]["policy"]

    def on_get_bucket_lifecycle_configuration(self, bucket):
        rules = self._feature(bucket, "lifecycle", "NoSuchLifecycleConfiguration")
        return {"Rules": rules, "TransitionDefaultMinimumObjectSize": "all_storage_classes_128K"}

    def on_put_bucket_lifecycle_configuration(self, bucket, lifecycle_configuration):
        self.features[bucket]["lifecycle"] = json.loads(json.dumps(lifecycle_configuration["Rules"]))

    def on_delete_bucket_lifecycle(self, bucket):
        del self.features[bucket]["lifecycle"]

    def on_get_bucket_tagging(self, bucket):
        return {"TagSet": self._feature(bucket, "tags", "NoSuchTagSet")}

    def on_put_bucket_tagging(self, bucket, tagging):
        self.features[bucket]["tags"] = tagging["TagSet"]

    def on_delete_bucket_tagging(self, bucket):
        del self.features[bucket]["tags"]

    def on_get_object_lock_configuration(self, bucket):
        found = self._feature(bucket, "object_lock", "ObjectLockConfigurationNotFoundError")
        return {"ObjectLockConfiguration": {"ObjectLockEnabled": found}}


class FakeFiler:
    url = "http://filer"

    def __init__(self, s3, broken=False):
        self.s3 = s3
        self.broken = broken
        self.asked = []

    def owners(self):
        self.asked.append("all")
        if self.broken:
            raise FilerError("answered 500")
        return {name: {owner} if owner else set() for name, owner in self.s3.owners.items()}

    def owner(self, name):
        self.asked.append(name)
        if self.broken:
            raise FilerError("answered 500")
        return {self.s3.owners[name]} if self.s3.owners[name] else set()


@pytest.fixture
def error():
    return failure


@pytest.fixture
def s3():
    return FakeS3()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_store(s3, clock):
    """A store on the fake client."""

    def make(client=s3, with_filer=False, broken_filer=False, **options):
        filer = FakeFiler(client, broken_filer) if with_filer else None
        options.setdefault("endpoint", "http://store")
        return Store(client, filer=filer, clock=clock, sleep=clock.sleep, **options)

    return make


@pytest.fixture
def store(make_store):
    return make_store()
