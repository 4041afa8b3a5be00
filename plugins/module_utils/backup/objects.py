# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects under one prefix of a bucket: each call with a deadline, each failure as one clear sentence."""

from __future__ import annotations

import base64
import contextlib
import datetime
import email.utils
import hashlib
import pathlib
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.s3 import client as s3_client

CHUNK = 1024 * 1024
ABSENT = ("NoSuchKey", "NoSuchVersion", "404", "NotFound")
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
WRONG_KEY = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403", "Forbidden")
SKEWED = ("RequestTimeTooSkewed", "RequestExpired")
FULL = ("InsufficientStorage", "QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull")


class Taken(Exception):
    """A conditional write was refused: the object is there already, or is another one by now."""


def content_md5(body):
    """The header by which a store checks that all bytes arrived."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def seconds_apart(date, now):
    """How far a clock is ahead of the one that wrote the HTTP date, in seconds; 0 where there is no such date."""
    with contextlib.suppress(TypeError, ValueError):
        return now - email.utils.parsedate_to_datetime(date).timestamp()
    return 0.0


def refusal(answer, doing, endpoint, bucket, option, apart):
    """The sentence for an answer of the store, and whether the same may succeed later."""
    said = f"({answer.text.strip()})"
    if answer.code in SKEWED:
        way = "ahead of" if apart > 0 else "behind"
        minutes = abs(apart) / 60
        return (
            f"{endpoint} refused {doing} because this host's clock is {minutes:.0f} minutes {way} its own {said}: set "
            "both by NTP (timedatectl status), then repeat.",
            True,
        )
    if answer.code == "NoSuchBucket":
        return f"There is no bucket '{bucket}' at {endpoint}: make it, or correct {option}.bucket.", False
    if answer.code in WRONG_KEY or answer.status in (401, 403):
        return (
            f"{endpoint} refused {doing} in bucket '{bucket}' {said}: check that {option}.access_key and "
            f"{option}.secret_key are valid and that the key has this right.",
            False,
        )
    if answer.code in FULL or answer.status == 507:
        return f"{endpoint} has no space left for {doing} in bucket '{bucket}' {said}: make room there.", True
    return f"{endpoint} refused {doing} in bucket '{bucket}' {said}.", answer.status != 400


class Objects:
    """What lies under a prefix of a bucket, as one key sees it.

    ``wait_timeout`` is how long a store that is away or busy is asked again for one call, in seconds; ``timeout`` is
    the limit for all calls together, from now on or from anew() on. ``option`` names the option of the user that
    describes this store.
    """

    def __init__(
        self,
        client,
        bucket,
        prefix="",
        endpoint="the store",
        wait_timeout=60,
        timeout=None,
        option="s3",
        clock=time.monotonic,
        sleep=time.sleep,
    ):
        self.store = s3_client.Store(client, endpoint, wait_timeout=wait_timeout, clock=clock, sleep=sleep)
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.option = option
        self.timeout = timeout
        self.deadline = self._limit()

    @property
    def where(self):
        """The place in words."""
        return f"{self.store.endpoint} s3://{self.bucket}/{self.prefix}"

    def below(self, name):
        """The same place, one folder deeper, with the same deadline."""
        return self._with(prefix=f"{self.prefix}{name}/")

    def anew(self):
        """The same place, whose time limit begins now."""
        return self._with(deadline=self._limit())

    def unlimited(self):
        """The same place without a deadline."""
        return self._with(timeout=None, deadline=None)

    def _with(self, **changes):
        other = Objects.__new__(Objects)
        other.__dict__.update(self.__dict__, **changes)
        return other

    def _limit(self):
        return None if self.timeout is None else self.store.clock() + self.timeout

    # The one way to call the store

    def _explained(self, answer, doing, phase):
        response = getattr(answer.__cause__, "response", None) or {}
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        apart = seconds_apart(date, time.time())
        message, again = refusal(answer, doing, self.store.endpoint, self.bucket, self.option, apart)
        return BackupError(message, phase, safe_to_retry=again)

    def call(self, operation, doing, phase, absent=None, **arguments):
        """Call the store. ``absent`` is what is given where there is no such object; None lets that be an error."""
        if self.deadline is not None and self.store.clock() >= self.deadline:
            raise BackupError(
                f"{doing} at {self.where} did not end within {self.timeout} seconds; set a longer timeout.", phase
            )
        try:
            return self.store.call(operation, Bucket=self.bucket, **arguments)
        except s3_client.AnswerError as answer:
            if absent is not None and answer.code in ABSENT:
                return absent
            if answer.code in TAKEN:
                raise Taken(answer.text) from answer
            raise self._explained(answer, doing, phase) from answer
        except s3_client.StoreError as error:
            raise BackupError(
                f"{doing} at {self.where} failed: {error.message}", phase, safe_to_retry=error.safe_to_retry
            ) from error

    # Small objects

    def put(self, name, body, phase="upload", metadata=None, **condition):
        """Write a small object whole; the store checks that all bytes arrived. Taken where a condition is not met."""
        return self.call(
            "put_object",
            f"writing {name}",
            phase,
            Key=self.prefix + name,
            Body=body,
            ContentMD5=content_md5(body),
            Metadata=metadata or {},
            **condition,
        )

    def get(self, name, phase="download"):
        """(the bytes of a small object, the store's answer), or (None, {}) where there is no such object."""
        answer = self.call("get_object", f"reading {name}", phase, absent={}, Key=self.prefix + name)
        if not answer:
            return None, {}
        with contextlib.closing(answer["Body"]) as body:
            return body.read(), answer

    def head(self, name, phase="read"):
        """What the store knows of an object; nothing where there is no such object."""
        return self.call("head_object", f"looking for {name}", phase, absent={}, Key=self.prefix + name)

    def delete(self, name, phase="expire"):
        """Delete an object; one that is gone already is fine."""
        self.call("delete_object", f"deleting {name}", phase, absent={}, Key=self.prefix + name)

    # Lists

    def folders(self, phase="read"):
        """The names of the folders right under the prefix."""
        found = []
        token = {}
        while True:
            page = self.call("list_objects_v2", "listing", phase, Prefix=self.prefix, Delimiter="/", **token)
            found += [item["Prefix"][len(self.prefix) : -1] for item in page.get("CommonPrefixes", [])]
            if not page.get("IsTruncated"):
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def list(self, phase="read"):
        """All objects under the prefix, page by page: (name, the store's entry)."""
        token = {}
        while True:
            page = self.call("list_objects_v2", "listing", phase, Prefix=self.prefix, **token)
            for item in page.get("Contents", []):
                yield item["Key"][len(self.prefix) :], item
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def versioned(self, phase="read"):
        """Whether the bucket keeps versions; a key that may not know takes it that it does not."""
        try:
            return self.call("get_bucket_versioning", "reading versioning", phase).get("Status") == "Enabled"
        except BackupError:
            return False

    def list_versions(self, phase="read"):
        """All newest versions under the prefix, page by page: (name, the store's entry)."""
        token = {}
        while True:
            page = self.call("list_object_versions", "listing versions", phase, Prefix=self.prefix, **token)
            for item in page.get("Versions", []):
                if item["IsLatest"]:
                    yield item["Key"][len(self.prefix) :], item
            if not page.get("IsTruncated"):
                return
            token = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    # Files

    def digest(self, name, phase="verify", write=None):
        """Read an object whole: (size, sha256). None where there is no such object. ``write`` takes each piece."""
        found = self.head(name, phase)
        if not found:
            return None
        digest = hashlib.sha256()
        size = 0
        for chunk in self.chunks(name, found, phase):
            digest.update(chunk)
            if write:
                write(chunk)
            size += len(chunk)
        return size, digest.hexdigest()

    def download(self, name, target, phase="download"):
        """Write an object to a file that does not exist yet: (size, sha256). None where there is no such object."""
        with pathlib.Path(target).open("xb") as stream:
            return self.digest(name, phase, stream.write)

    def chunks(self, name, found, phase="download"):
        """The bytes of the object that head() found. A connection that breaks is taken up where it broke."""
        done = 0
        failures = 0
        while done < found["ContentLength"]:
            try:
                answer = self.call(
                    "get_object",
                    f"reading {name}",
                    phase,
                    Key=self.prefix + name,
                    Range=f"bytes={done}-",
                    IfMatch=found["ETag"],
                )
                with contextlib.closing(answer["Body"]) as body:
                    for chunk in body.iter_chunks(CHUNK):
                        yield chunk
                        done += len(chunk)
                        failures = 0
            except Taken as error:
                raise BackupError(f"{name} at {self.where} changed while it was read: repeat.", phase) from error
            except s3_client.boto_errors.BotoCoreError as error:
                failures += 1
                if failures > 5:
                    raise BackupError(f"{name} at {self.where} breaks off at byte {done}: {error}", phase) from error
                self.store.sleep(min(s3_client.FIRST_PAUSE * 2**failures, s3_client.LONGEST_PAUSE))

    def abort_uploads(self, older_than, phase="upload"):
        """Abort unfinished uploads under the prefix that began more than so many seconds ago; gives their number.

        What a killed backup leaves behind takes space that no listing shows.
        """
        aborted = 0
        limit = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=older_than)
        page = self.call("list_multipart_uploads", "listing unfinished uploads", phase, Prefix=self.prefix)
        for item in page.get("Uploads", []):
            if item["Initiated"] < limit:
                self.call(
                    "abort_multipart_upload",
                    "aborting an unfinished upload",
                    phase,
                    absent={},
                    Key=item["Key"],
                    UploadId=item["UploadId"],
                )
                aborted += 1
        return aborted
