# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An S3 client that keeps one bucket's objects in memory, and a clock whose time passes only in sleep."""

from __future__ import annotations

import base64
import collections
import datetime
import email.utils
import hashlib
import io
import re
import threading
import types

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

PAGE = 3
START = 1_800_000_000


def failure(code, status=400, date=None):
    """An error as boto3 raises it."""
    headers = {"date": date} if date else {}
    return ClientError(
        {
            "Error": {"Code": code, "Message": "said so"},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
        },
        "x",
    )


def snake(name):
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("content_md5", "md5")


class Clock:
    """Time that passes only in sleep."""

    def __init__(self):
        self.now = 0.0
        self.sleeps = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += max(seconds, 0.001)


class Client:
    """boto3's S3 client: an operation is answered by the method of its name with C(on_) before it.

    Errors in ``errors[operation]`` come first, one for each call; None lets one pass.
    """

    def __init__(self):
        self.errors = collections.defaultdict(list)
        self.calls = []
        self.lock = threading.RLock()

    def __getattr__(self, operation):
        method = getattr(type(self), f"on_{operation}")

        def call(**arguments):
            with self.lock:
                self.calls.append((operation, arguments))
                if self.errors[operation]:
                    error = self.errors[operation].pop(0)
                    if error is not None:
                        raise error
                return self.answer(method, {snake(name): value for name, value in arguments.items()})

        return call

    def answer(self, method, arguments):
        return method(self, **arguments)

    def named(self, operation):
        return [arguments for name, arguments in self.calls if name == operation]


class MemoryS3(Client):
    """Objects of one bucket."""

    def __init__(self, clock=None):
        super().__init__()
        self.clock = clock or Clock()
        self.objects = {}
        self.uploads = {}
        self.versioning = None
        self.bodies = []
        self.deaf = False

    def answer(self, method, arguments):
        arguments.pop("bucket")
        answer = method(self, **arguments) or {}
        now = email.utils.formatdate(START + int(self.clock()), usegmt=True)
        return {**answer, "ResponseMetadata": {"HTTPHeaders": {"date": now}}}

    def bodies_of(self):
        return {key: item.body for key, item in self.objects.items()}

    def _store(self, key, body, metadata):
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        stamp = datetime.datetime.fromtimestamp(START + int(self.clock()), datetime.timezone.utc)
        self.objects[key] = types.SimpleNamespace(body=body, etag=etag, metadata=metadata or {}, modified=stamp)
        return {"ETag": etag}

    def _found(self, key):
        if key not in self.objects:
            raise failure("NoSuchKey", 404)
        return self.objects[key]

    def on_put_object(self, key, body, md5, metadata, if_none_match=None, if_match=None):
        assert base64.b64decode(md5) == hashlib.md5(body).digest()
        there = self.objects.get(key)
        conflict = (if_none_match and there) or (if_match and (not there or there.etag != if_match))
        if conflict and not self.deaf:
            raise failure("PreconditionFailed", 412)
        return self._store(key, body, metadata)

    def on_get_object(self, key, range="bytes=0-", if_match=None):
        found = self._found(key)
        if if_match and found.etag != if_match:
            raise failure("PreconditionFailed", 412)
        body = found.body[int(range[6:-1]) :]
        stream = self.bodies.pop(0)(body) if self.bodies else io.BytesIO(body)
        return {
            "Body": StreamingBody(stream, len(body)),
            "ETag": found.etag,
            "LastModified": found.modified,
        }

    def on_head_object(self, key):
        found = self._found(key)
        return {
            "ContentLength": len(found.body),
            "ETag": found.etag,
            "Metadata": found.metadata,
            "LastModified": found.modified,
        }

    def on_delete_object(self, key):
        self._found(key)
        del self.objects[key]

    def on_copy_object(self, key, copy_source):
        found = self._found(copy_source["Key"])
        self._store(key, found.body, found.metadata)

    def on_list_objects_v2(self, prefix="", delimiter=None, continuation_token="", max_keys=PAGE):
        names = sorted(name for name in self.objects if name.startswith(prefix))
        if delimiter:
            folders = sorted({name[: name.index("/", len(prefix)) + 1] for name in names if "/" in name[len(prefix) :]})
            left = [name for name in folders if name > continuation_token]
            answer = {"CommonPrefixes": [{"Prefix": name} for name in left[:max_keys]]}
        else:
            left = [name for name in names if name > continuation_token]
            answer = {
                "Contents": [
                    {
                        "Key": name,
                        "Size": len(self.objects[name].body),
                        "ETag": self.objects[name].etag,
                        "LastModified": self.objects[name].modified,
                    }
                    for name in left[:max_keys]
                ]
            }
        if len(left) > max_keys:
            answer.update(IsTruncated=True, NextContinuationToken=left[max_keys - 1])
        return answer

    def on_get_bucket_versioning(self):
        return {"Status": self.versioning} if self.versioning else {}

    def on_list_object_versions(self, prefix, key_marker="", version_id_marker=""):
        listed = self.on_list_objects_v2(prefix, continuation_token=key_marker)
        versions = [{**item, "IsLatest": True, "VersionId": "v2"} for item in listed["Contents"]]
        answer = {"Versions": [entry for item in versions for entry in (item, {**item, "IsLatest": False})]}
        if listed.get("IsTruncated"):
            answer.update(IsTruncated=True, NextKeyMarker=listed["NextContinuationToken"], NextVersionIdMarker="v1")
        return answer

    def on_create_multipart_upload(self, key, metadata):
        upload_id = f"upload{len(self.calls)}"
        stamp = datetime.datetime.fromtimestamp(START + int(self.clock()), datetime.timezone.utc)
        self.uploads[upload_id] = types.SimpleNamespace(key=key, metadata=metadata, parts={}, stamp=stamp)
        return {"UploadId": upload_id}

    def _upload(self, upload_id):
        if upload_id not in self.uploads:
            raise failure("NoSuchUpload", 404)
        return self.uploads[upload_id]

    def on_upload_part(self, key, upload_id, part_number, body, md5):
        assert base64.b64decode(md5) == hashlib.md5(body).digest()
        self._upload(upload_id).parts[part_number] = body
        return {"ETag": f'"{part_number}"'}

    def on_upload_part_copy(self, key, upload_id, part_number, copy_source, copy_source_range):
        first, last = map(int, copy_source_range.removeprefix("bytes=").split("-"))
        body = self._found(copy_source["Key"]).body
        assert first <= last < len(body)
        self._upload(upload_id).parts[part_number] = body[first : last + 1]
        return {"CopyPartResult": {"ETag": f'"{part_number}"'}}

    def on_complete_multipart_upload(self, key, upload_id, multipart_upload):
        upload = self._upload(upload_id)
        numbers = sorted(upload.parts)
        assert [part["ETag"] for part in multipart_upload["Parts"]] == [f'"{number}"' for number in numbers]
        self._store(key, b"".join(upload.parts[number] for number in numbers), upload.metadata)
        del self.uploads[upload_id]

    def on_abort_multipart_upload(self, key, upload_id):
        self._upload(upload_id)
        del self.uploads[upload_id]

    def on_list_multipart_uploads(self, prefix):
        return {
            "Uploads": [
                {"Key": upload.key, "UploadId": upload_id, "Initiated": upload.stamp}
                for upload_id, upload in self.uploads.items()
                if upload.key.startswith(prefix)
            ]
        }
