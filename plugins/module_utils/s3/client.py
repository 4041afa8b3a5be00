# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that talks to the store: one boto3 client with bounded retries, and the calls that the module needs."""

from __future__ import annotations

import json
import pathlib
import random
import ssl
import time
import traceback
import uuid

from ansible_collections.mlops.stack.plugins.module_utils.s3 import canonical
from ansible_collections.mlops.stack.plugins.module_utils.s3.filer import FilerError
from ansible_collections.mlops.stack.plugins.module_utils.s3.plan import NOBODY, OTHER, SELF, UNKNOWN

try:
    import boto3
    from botocore import config as boto_config
    from botocore import exceptions as boto_errors
except ImportError:
    HAS_BOTO3 = False
    BOTO3_IMPORT_ERROR = traceback.format_exc()
else:
    HAS_BOTO3 = True
    BOTO3_IMPORT_ERROR = None

THREADS = 8
SIGNING_REGION = "us-east-1"
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
CONNECT_SECONDS = 5
READ_SECONDS = 60
BATCH = 1000
JITTER = random.SystemRandom()
PROBE_BODY = b"mlops.stack access probe"
PROBE_PREFIX = ".mlops-stack-probe-"

RETRY_STATUS = (500, 503)
RETRY_CODES = ("SlowDown", "InternalError", "ServiceUnavailable")
NOT_SET = {
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
    "NoSuchTagSet",
    "NoSuchTagSetError",
    "ObjectLockConfigurationNotFoundError",
}
UNSUPPORTED_CODES = {"NotImplemented", "XNotImplemented", "MethodNotAllowed", "UnsupportedOperation"}
UNSUPPORTED_STATUS = (405, 501)
EXISTS_CODES = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
ABSENT_CODES = ("NoSuchBucket", "404", "NotFound")


class StoreError(Exception):
    """One clear sentence about what the store refused or could not do."""

    def __init__(self, message, phase, code="", bucket="", safe_to_retry=True, unsupported=()):
        super().__init__(message)
        self.message = message
        self.phase = phase
        self.code = code
        self.bucket = bucket
        self.safe_to_retry = safe_to_retry
        self.unsupported = list(unsupported)


class AnswerError(Exception):
    """The store answered a call with an error."""

    def __init__(self, code, status, text, resent=False):
        super().__init__(text)
        self.code = code
        self.status = status
        self.text = text
        self.resent = resent

    @property
    def unsupported(self):
        return self.code in UNSUPPORTED_CODES or self.status in UNSUPPORTED_STATUS


def flavor_of(server):
    """Which store it is, by the Server header of its answers."""
    lowered = (server or "").lower()
    for flavor, mark in (("seaweedfs", "seaweedfs"), ("minio", "minio"), ("aws", "amazons3")):
        if mark in lowered:
            return flavor
    return "other"


def trusted(ca_bundle, paths=None):
    """The file with the certificates to trust: the one asked for, else the machine's own, else boto3's."""
    if ca_bundle:
        return ca_bundle
    system = (paths or ssl.get_default_verify_paths()).cafile
    return system if system and pathlib.Path(system).exists() else None


def settings(make):
    """boto3's settings; a boto3 too old to know the checksum settings needs none, its default is the same."""
    options = {
        "signature_version": "s3v4",
        "s3": {"addressing_style": "path"},
        "retries": {"total_max_attempts": 1},
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "max_pool_connections": THREADS,
    }
    try:
        return make(
            request_checksum_calculation="when_required", response_checksum_validation="when_required", **options
        )
    except TypeError:
        return make(**options)


def connect(endpoint_url, access_key, secret_key, region=None, ca_bundle=None):
    """A boto3 client that leaves all retries to Store."""
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint_url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=region or SIGNING_REGION,
            verify=trusted(ca_bundle),
            config=settings(boto_config.Config),
        )
    except (ValueError, boto_errors.BotoCoreError) as error:
        raise StoreError(
            f"boto3 cannot use endpoint_url={endpoint_url}: {error}", "connect", safe_to_retry=False
        ) from error


class Store:
    """The store behind one endpoint, as one key sees it."""

    def __init__(
        self,
        client,
        endpoint="the store",
        region=None,
        flavor="auto",
        wait_timeout=60,
        filer=None,
        clock=time.monotonic,
        sleep=time.sleep,
    ):
        self.client = client
        self.endpoint = endpoint
        self.region = region
        self.flavor = flavor
        self.wait_timeout = wait_timeout
        self.filer = filer
        self.clock = clock
        self.sleep = sleep
        self.caller = ""
        self.lists = True

    # The one way to call the store

    def call(self, operation, **arguments):
        """Call the store. Only a store that is away or busy is asked again, for wait_timeout seconds at most."""
        deadline = self.clock() + self.wait_timeout
        pause = FIRST_PAUSE
        resent = False
        while True:
            try:
                return getattr(self.client, operation)(**arguments)
            except boto_errors.ClientError as error:
                details = error.response.get("Error", {})
                code = str(details.get("Code", ""))
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                answer = AnswerError(code, status, f"{code}: {details.get('Message', '')}", resent)
                if status not in RETRY_STATUS and code not in RETRY_CODES:
                    raise answer from error
                resent = True
                last = answer.text
            except (boto_errors.SSLError, boto_errors.ProxyConnectionError) as error:
                raise StoreError(
                    f"The connection to {self.endpoint} failed: {error}. Check endpoint_url, and set ca_bundle to the "
                    "certificate of the authority that signed the store's.",
                    "connect",
                ) from error
            except (boto_errors.EndpointConnectionError, boto_errors.ConnectTimeoutError) as error:
                last = str(error)
            except boto_errors.HTTPClientError as error:
                resent = True
                last = str(error)
            except boto_errors.BotoCoreError as error:
                raise StoreError(f"boto3 refused the call {operation}: {error}", "connect") from error
            remaining = deadline - self.clock()
            if remaining <= 0:
                raise StoreError(
                    f"{self.endpoint} did not answer {operation} within wait_timeout={self.wait_timeout} seconds; "
                    f"its last answer: {last.strip()}",
                    "connect",
                    bucket=arguments.get("Bucket", ""),
                )
            self.sleep(min(pause * (0.5 + JITTER.random()), remaining))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _fail(self, answer, doing, bucket, phase):
        return StoreError(
            f"{self.endpoint} refused {doing} bucket '{bucket}' ({answer.text}).",
            phase,
            answer.code,
            bucket,
            safe_to_retry=answer.status not in (400, 401, 403),
        )

    # What there is

    def survey(self, names):
        """The names that exist. Learns who is asking and which store it is."""
        try:
            page = self.call("list_buckets")
            buckets = list(page.get("Buckets", []))
            while page.get("ContinuationToken"):
                page = self.call("list_buckets", ContinuationToken=page["ContinuationToken"])
                buckets += page.get("Buckets", [])
        except AnswerError as answer:
            if answer.code != "AccessDenied":
                raise StoreError(
                    f"{self.endpoint} refused to list its buckets ({answer.text}): check access_key and secret_key, "
                    "and that endpoint_url is an S3 endpoint.",
                    "connect",
                    answer.code,
                    safe_to_retry=False,
                ) from answer
            self.lists = False
            return {name for name in names if self._head(name)}
        self.caller = str(page.get("Owner", {}).get("ID", ""))
        if self.flavor == "auto":
            headers = page.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            self.flavor = flavor_of(headers.get("server"))
        return {bucket["Name"] for bucket in buckets} & set(names)

    def _head(self, name):
        # 403 is also what a key without rights gets for a bucket that is absent, so only 200 means that it exists.
        try:
            self.call("head_bucket", Bucket=name)
        except AnswerError as answer:
            if answer.status in (403, 404):
                return False
            raise self._fail(answer, "to look for", name, "read") from answer
        return True

    def owners(self):
        """All owners in one call where the store has such a call, else None."""
        if self.filer is None:
            return None
        try:
            return self.filer.owners()
        except FilerError as error:
            raise self._filer_failed(error) from error

    def _filer_failed(self, error):
        return StoreError(f"The filer at {self.filer.url} {error}.", "owner")

    def _judge(self, owners):
        if not owners:
            return NOBODY, ""
        if not self.caller:
            return UNKNOWN, ""
        if self.caller in owners:
            return SELF, self.caller
        return OTHER, sorted(owners)[0]

    def owner(self, name, owners=None, listed=False):
        """Whose bucket it is: (self, other, nobody or unknown; the owner's name)."""
        if owners is not None and name in owners:
            return self._judge(owners[name])
        if self.filer is not None:
            try:
                return self._judge(self.filer.owner(name))
            except FilerError as error:
                raise self._filer_failed(error) from error
        # MinIO's buckets have no owners of their own, and AWS lists nobody else's buckets.
        if self.flavor == "minio" or (self.flavor == "aws" and listed):
            return SELF, self.caller
        try:
            found = str(self.call("get_bucket_acl", Bucket=name).get("Owner", {}).get("ID", ""))
        except AnswerError as answer:
            if answer.status == 403 or answer.unsupported:
                return UNKNOWN, ""
            raise self._fail(answer, "to tell the owner of", name, "owner") from answer
        return self._judge({found}) if found else (UNKNOWN, "")

    def proves_owner(self):
        """Whether the owner that the store tells for an existing bucket is a proof."""
        return self.filer is not None or self.flavor != "seaweedfs"

    def content(self, name):
        """What keeps the bucket from being empty, in words; an empty text where nothing does."""
        found = self._read(name, "list_object_versions", MaxKeys=1)
        if found.get("Versions"):
            return "objects"
        if found.get("DeleteMarkers"):
            return "delete markers"
        if self._read(name, "list_multipart_uploads", MaxUploads=1).get("Uploads"):
            return "unfinished multipart uploads"
        return ""

    def _read(self, name, operation, **arguments):
        try:
            return self.call(operation, Bucket=name, **arguments)
        except AnswerError as answer:
            raise self._fail(answer, "to list", name, "read") from answer

    # What is changed

    def create(self, name, object_lock=False):
        """Create the bucket. False where it is there already."""
        arguments = {}
        if self.region and self.region != SIGNING_REGION:
            arguments["CreateBucketConfiguration"] = {"LocationConstraint": self.region}
        if object_lock:
            arguments["ObjectLockEnabledForBucket"] = True
        try:
            self.call("create_bucket", Bucket=name, **arguments)
        except AnswerError as answer:
            if answer.code == "BucketAlreadyOwnedByYou" and answer.resent:
                return True
            if answer.code in EXISTS_CODES:
                return False
            if answer.unsupported and object_lock:
                raise StoreError(
                    f"{self.endpoint} does not support object lock, which was asked for on bucket '{name}'; "
                    "the bucket was not made.",
                    "create",
                    answer.code,
                    name,
                    safe_to_retry=False,
                    unsupported=["object_lock"],
                ) from answer
            raise self._fail(answer, "to create", name, "create") from answer
        return True

    def adopt(self, name):
        """Take over a bucket that has no owner: writing its access list makes the writer its owner."""
        try:
            self.call("put_bucket_acl", Bucket=name, ACL="private")
        except AnswerError as answer:
            raise self._fail(answer, "to take over", name, "owner") from answer

    def prove(self, name):
        """Write, read and delete one small object."""
        key = PROBE_PREFIX + uuid.uuid4().hex
        step = "writing"
        try:
            written = self.call("put_object", Bucket=name, Key=key, Body=PROBE_BODY)
            step = "reading"
            with self.call("get_object", Bucket=name, Key=key)["Body"] as body:
                same = body.read() == PROBE_BODY
            step = "deleting"
            version = {"VersionId": written["VersionId"]} if written.get("VersionId") else {}
            self.call("delete_object", Bucket=name, Key=key, **version)
        except AnswerError as answer:
            raise StoreError(
                f"The key has no full access to bucket '{name}' at {self.endpoint}: {step} the object {key} failed "
                f"({answer.text}). Give the key read and write access, or set probe to false.",
                "probe",
                answer.code,
                name,
                safe_to_retry=answer.status != 403,
            ) from answer
        if not same:
            raise StoreError(
                f"Bucket '{name}' at {self.endpoint} gave back other bytes than were written to the object {key}.",
                "probe",
                bucket=name,
            )

    def empty(self, name):
        """Delete all versions and delete markers, and abort unfinished uploads."""
        deleted = set()
        while True:
            page = self._read(name, "list_object_versions")
            found = [(entry["Key"], entry["VersionId"]) for entry in page.get("Versions", [])]
            found += [(entry["Key"], entry["VersionId"]) for entry in page.get("DeleteMarkers", [])]
            if not found:
                break
            if deleted.issuperset(found):
                raise StoreError(
                    f"{self.endpoint} said that it deleted object '{found[0][0]}' of bucket '{name}', "
                    "and still lists it.",
                    "empty",
                    bucket=name,
                )
            deleted.update(found)
            for start in range(0, len(found), BATCH):
                self._delete_batch(name, found[start : start + BATCH])
        for upload in self._uploads(name):
            try:
                self.call("abort_multipart_upload", Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
            except AnswerError as answer:
                if answer.code != "NoSuchUpload":
                    raise self._fail(answer, "to abort an upload of", name, "empty") from answer

    def _uploads(self, name):
        page = self._read(name, "list_multipart_uploads")
        uploads = list(page.get("Uploads", []))
        while page.get("IsTruncated"):
            page = self._read(
                name,
                "list_multipart_uploads",
                KeyMarker=page["NextKeyMarker"],
                UploadIdMarker=page["NextUploadIdMarker"],
            )
            uploads += page.get("Uploads", [])
        return uploads

    def _delete_batch(self, name, found):
        objects = [{"Key": key, "VersionId": version} for key, version in found]
        try:
            answer = self.call("delete_objects", Bucket=name, Delete={"Objects": objects, "Quiet": True})
        except AnswerError as refused:
            raise self._fail(refused, "to delete objects of", name, "empty") from refused
        failed = answer.get("Errors")
        if failed:
            raise StoreError(
                f"Object '{failed[0].get('Key')}' of bucket '{name}' cannot be deleted ({failed[0].get('Code')}: "
                f"{failed[0].get('Message')}); {len(failed)} objects of this batch are kept.",
                "empty",
                str(failed[0].get("Code", "")),
                name,
                safe_to_retry=False,
            )

    def delete(self, name):
        """Delete the empty bucket. One that is gone already is no error."""
        try:
            self.call("delete_bucket", Bucket=name)
        except AnswerError as answer:
            if answer.code not in ABSENT_CODES:
                raise self._fail(answer, "to delete", name, "delete") from answer

    # Features: one handler each, below

    def read_feature(self, feature, name):
        """The feature in its comparable form, None where it is not set. AnswerError.unsupported where there is none."""
        try:
            return READERS[feature](self, name)
        except AnswerError as answer:
            if answer.code in NOT_SET:
                return None
            if answer.unsupported:
                raise
            raise self._fail(answer, f"to read the {feature} of", name, "features") from answer

    def write_feature(self, feature, name, value):
        """Write a feature; an empty one is removed. The bucket is kept where the store cannot do it."""
        try:
            WRITERS[feature](self, name, value)
        except AnswerError as answer:
            # SeaweedFS takes a request for a feature that it does not know for one that creates the bucket.
            if answer.unsupported or answer.code in EXISTS_CODES:
                raise self.lacks([feature], name, answer.code) from answer
            raise self._fail(answer, f"to set the {feature} of", name, "features") from answer

    def lacks(self, features, name, code="NotImplemented"):
        """The error for a feature that the store does not have."""
        return StoreError(
            f"{self.endpoint} does not support {' and '.join(features)}, which was asked for on bucket '{name}'; "
            "the bucket was kept.",
            "features",
            code,
            name,
            safe_to_retry=False,
            unsupported=features,
        )


def _read_versioning(store, name):
    status = store.call("get_bucket_versioning", Bucket=name).get("Status")
    return status.lower() if status else None


def _write_versioning(store, name, value):
    store.call("put_bucket_versioning", Bucket=name, VersioningConfiguration={"Status": value.capitalize()})


def _read_policy(store, name):
    return canonical.policy(json.loads(store.call("get_bucket_policy", Bucket=name)["Policy"]))


def _write_policy(store, name, value):
    if value:
        store.call("put_bucket_policy", Bucket=name, Policy=json.dumps(value))
    else:
        store.call("delete_bucket_policy", Bucket=name)


def _read_lifecycle(store, name):
    return canonical.lifecycle(store.call("get_bucket_lifecycle_configuration", Bucket=name).get("Rules", []))


def _write_lifecycle(store, name, value):
    if value:
        rules = [rule if "Filter" in rule or "Prefix" in rule else dict(rule, Filter={"Prefix": ""}) for rule in value]
        store.call("put_bucket_lifecycle_configuration", Bucket=name, LifecycleConfiguration={"Rules": rules})
    else:
        store.call("delete_bucket_lifecycle", Bucket=name)


def _read_tags(store, name):
    found = store.call("get_bucket_tagging", Bucket=name).get("TagSet", [])
    return canonical.tags({tag["Key"]: tag["Value"] for tag in found})


def _write_tags(store, name, value):
    wanted = canonical.tags(value)
    if wanted:
        pairs = [{"Key": key, "Value": text} for key, text in sorted(wanted.items())]
        store.call("put_bucket_tagging", Bucket=name, Tagging={"TagSet": pairs})
    else:
        store.call("delete_bucket_tagging", Bucket=name)


def _read_object_lock(store, name):
    found = store.call("get_object_lock_configuration", Bucket=name).get("ObjectLockConfiguration", {})
    return found.get("ObjectLockEnabled") == "Enabled"


READERS = {
    "versioning": _read_versioning,
    "policy": _read_policy,
    "lifecycle": _read_lifecycle,
    "tags": _read_tags,
    "object_lock": _read_object_lock,
}
WRITERS = {
    "versioning": _write_versioning,
    "policy": _write_policy,
    "lifecycle": _write_lifecycle,
    "tags": _write_tags,
}
