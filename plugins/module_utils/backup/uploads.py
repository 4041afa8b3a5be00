# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects that are written, of files and of other objects: big ones in parts, and no unfinished upload left behind."""

from __future__ import annotations

import concurrent.futures
import pathlib

from ansible_collections.mlops.stack.plugins.module_utils.backup.objects import content_md5
from ansible_collections.mlops.stack.plugins.module_utils.s3 import client as s3_client

PART = 16 * 1024 * 1024
# What a store copies in one request, within the time that its answer may take. S3 itself refuses more than 5 GiB.
COPY_PART = 256 * 1024 * 1024
MOST_PARTS = 10_000
THREADS = 4


class Writing:
    """One object on its way, in parts where it has more bytes than ``part_size``. ``doing`` is what an error says."""

    def __init__(self, objects, name, doing, size, part_size, metadata, phase):
        self.objects = objects
        self.name = name
        self.doing = doing
        self.metadata = metadata
        self.phase = phase
        self.size = size
        self.part_size = max(part_size, -(-size // MOST_PARTS))
        self.upload_id = None
        self.etags = {}

    def parts(self):
        """The numbers of the parts, from 1."""
        if self.size > self.part_size:
            self.upload_id = self._call("create_multipart_upload", Metadata=self.metadata)["UploadId"]
        return range(1, max(1, -(-self.size // self.part_size)) + 1)

    def _call(self, operation, **arguments):
        return self.objects.call(operation, self.doing, self.phase, Key=self.objects.prefix + self.name, **arguments)

    def finish(self):
        """Make one object of the parts."""
        if self.upload_id is not None:
            parts = [{"PartNumber": number, "ETag": self.etags[number]} for number in sorted(self.etags)]
            self._call("complete_multipart_upload", UploadId=self.upload_id, MultipartUpload={"Parts": parts})
            self.upload_id = None

    def abort(self):
        """Leave nothing unfinished behind; False where the store does not let us, so that a later run has to."""
        if self.upload_id is None:
            return True
        store = self.objects.store
        try:
            # Past the deadline too, which Objects.call() would not allow.
            store.call(
                "abort_multipart_upload",
                Bucket=self.objects.bucket,
                Key=self.objects.prefix + self.name,
                UploadId=self.upload_id,
            )
        except s3_client.AnswerError as answer:
            return answer.code == "NoSuchUpload"
        except s3_client.StoreError:
            return False
        return True


class Upload(Writing):
    """One file on its way to one object, which carries the sha256, where one is given, in its metadata."""

    def __init__(self, objects, name, source, sha256, phase="upload"):
        self.source = pathlib.Path(source)
        metadata = {"sha256": sha256} if sha256 else {}
        super().__init__(objects, name, f"writing {name}", self.source.stat().st_size, PART, metadata, phase)

    def send(self, number):
        """Send one part: the number of its bytes. Read here, so that only parts under way are in memory."""
        with self.source.open("rb") as stream:
            stream.seek((number - 1) * self.part_size)
            body = stream.read(self.part_size)
        if self.upload_id is None:
            self.objects.put(self.name, body, self.phase, self.metadata)
        else:
            self.etags[number] = self._call(
                "upload_part", UploadId=self.upload_id, PartNumber=number, Body=body, ContentMD5=content_md5(body)
            )["ETag"]
        return len(body)


class Copy(Writing):
    """One object on its way to another name inside the store. ``found`` is what head() told of it."""

    def __init__(self, objects, source, name, found, phase):
        self.source = {"Bucket": objects.bucket, "Key": objects.prefix + source}
        size, metadata = found.get("ContentLength", 0), found.get("Metadata", {})
        super().__init__(objects, name, f"copying {source}", size, COPY_PART, metadata, phase)

    def send(self, number):
        """Have one part copied: the number of its bytes."""
        first = (number - 1) * self.part_size
        end = min(first + self.part_size, self.size)
        if self.upload_id is None:
            self._call("copy_object", CopySource=self.source)
        else:
            self.etags[number] = self._call(
                "upload_part_copy",
                UploadId=self.upload_id,
                PartNumber=number,
                CopySource=self.source,
                CopySourceRange=f"bytes={first}-{end - 1}",
            )["CopyPartResult"]["ETag"]
        return end - first


def upload_all(objects, files, phase="upload", progress=None):
    """Write files, (name, path, sha256) each. ``progress`` is called with the bytes done and the bytes in all."""
    _write([Upload(objects, name, source, sha256, phase) for name, source, sha256 in files], progress)


def copy(objects, source, name, phase="upload"):
    """Copy an object to another name under the prefix, inside the store."""
    _write([Copy(objects, source, name, objects.head(source, phase), phase)])


def _write(uploads, progress=None):
    total = sum(upload.size for upload in uploads)
    done = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            try:
                pending = [pool.submit(upload.send, part) for upload in uploads for part in upload.parts()]
                for future in concurrent.futures.as_completed(pending):
                    done += future.result()
                    if progress:
                        progress(done, total)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for upload in uploads:
            upload.finish()
    except BaseException:
        # A store that is away would let each of them wait: the first that fails ends it.
        all(upload.abort() for upload in uploads)
        raise
