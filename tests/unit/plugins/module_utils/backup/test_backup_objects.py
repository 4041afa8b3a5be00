# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import email.utils
import io
import time

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import objects as module
from ansible_collections.mlops.stack.plugins.module_utils.backup import uploads
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.objects import Objects, Taken, refusal, seconds_apart
from ansible_collections.mlops.stack.plugins.module_utils.backup.uploads import upload_all
from ansible_collections.mlops.stack.plugins.module_utils.s3.client import AnswerError
from botocore import exceptions as boto_errors
from memory_s3 import START, MemoryS3, failure

AWAY = boto_errors.EndpointConnectionError(endpoint_url="http://store")


@pytest.fixture
def s3():
    return MemoryS3()


@pytest.fixture
def make(s3):
    def make(prefix="sets", **options):
        return Objects(s3, "b", prefix, "http://store", clock=s3.clock, sleep=s3.clock.sleep, **options)

    return make


@pytest.fixture
def there(make):
    return make()


# What is said


def test_seconds_apart():
    date = email.utils.formatdate(START, usegmt=True)
    assert seconds_apart(date, START + 1200) == 1200
    assert seconds_apart(date, START - 60) == -60
    assert seconds_apart(None, START) == 0
    assert seconds_apart("yesterday", START) == 0


@pytest.mark.parametrize(
    ("code", "status", "apart", "says", "again"),
    [
        ("RequestTimeTooSkewed", 403, 1200, "clock is 20 minutes ahead of its own", True),
        ("RequestTimeTooSkewed", 403, -1200, "clock is 20 minutes behind its own", True),
        ("NoSuchBucket", 404, 0, "correct s3.bucket", False),
        ("InvalidAccessKeyId", 403, 0, "s3.access_key", False),
        ("Odd", 401, 0, "s3.secret_key", False),
        ("QuotaExceeded", 403, 0, "s3.secret_key", False),
        ("InsufficientStorage", 507, 0, "no space left", True),
        ("InvalidRequest", 400, 0, "refused writing x in bucket 'b' (InvalidRequest: said so).", False),
        ("Odd", 409, 0, "refused writing x", True),
    ],
)
def test_refusal(code, status, apart, says, again):
    answer = AnswerError(code, status, f"{code}: said so")
    if code == "QuotaExceeded":
        says, again = "no space left", True
        answer.status = 400
    message, safe = refusal(answer, "writing x", "http://store", "b", "s3", apart)
    assert says in message
    assert safe is again


def test_a_clock_that_is_wrong_is_told(there, s3, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: START + 1200)
    s3.errors["head_object"] = [failure("RequestTimeTooSkewed", 403, email.utils.formatdate(START, usegmt=True))]
    with pytest.raises(BackupError, match="20 minutes ahead"):
        there.head("x")


def test_a_store_that_is_away_is_asked_again_for_a_while(there, s3):
    s3.errors["put_object"] = [AWAY] * 2
    there.put("x", b"1")
    assert s3.bodies_of() == {"sets/x": b"1"}
    s3.errors["put_object"] = [AWAY] * 1000
    with pytest.raises(
        BackupError, match=r"writing x at http://store s3://b/sets/ failed: .*within wait_timeout=60"
    ) as caught:
        there.put("x", b"1")
    assert caught.value.safe_to_retry


def test_a_deadline(make, s3):
    there = make(timeout=10)
    there.put("x", b"1")
    s3.clock.sleep(11)
    with pytest.raises(BackupError, match=r"reading x .* did not end within 10 seconds; set a longer timeout\."):
        there.get("x")
    with pytest.raises(BackupError, match="did not end"):
        there.below("deeper").head("x")
    begun = there.anew()
    assert begun.below("deeper").head("x") == {}
    s3.clock.sleep(11)
    with pytest.raises(BackupError, match="did not end"):
        begun.get("x")
    assert there.unlimited().anew().get("x")[0] == b"1"
    assert there.unlimited().get("x")[0] == b"1"
    assert there.unlimited().prefix == there.prefix


# Small objects


def test_names_and_places(make, s3):
    assert make("").where == "http://store s3://b/"
    assert make("a/b").where == "http://store s3://b/a/b/"
    make("a").below("b").put("c", b"")
    assert list(s3.objects) == ["a/b/c"]


def test_small_objects(there, s3):
    assert there.get("x") == (None, {})
    assert there.head("x") == {}
    there.put("x", b"1", metadata={"k": "v"})
    body, answer = there.get("x")
    assert (body, answer["ETag"]) == (b"1", s3.objects["sets/x"].etag)
    assert there.head("x")["Metadata"] == {"k": "v"}
    with pytest.raises(Taken):
        there.put("x", b"2", IfNoneMatch="*")
    uploads.copy(there, "x", "y")
    there.delete("x")
    there.delete("x")
    assert s3.bodies_of() == {"sets/y": b"1"}
    s3.errors["delete_object"] = [failure("AccessDenied", 403)]
    with pytest.raises(BackupError, match="this right") as caught:
        there.delete("y")
    assert (caught.value.phase, caught.value.safe_to_retry) == ("expire", False)


# Lists


def test_lists(there, s3, make):
    assert list(there.list()) == []
    for number in range(8):
        there.put(f"f{number}/x", b"1" * number)
    make("elsewhere").put("y", b"")
    assert there.folders() == [f"f{number}" for number in range(8)]
    assert [(name, item["Size"]) for name, item in there.list()] == [(f"f{number}/x", number) for number in range(8)]
    assert [name for name, _item in there.list_versions()] == [f"f{number}/x" for number in range(8)]


def test_versioned(there, s3):
    assert not there.versioned()
    s3.versioning = "Enabled"
    assert there.versioned()
    s3.errors["get_bucket_versioning"] = [failure("AccessDenied", 403)]
    assert not there.versioned()


# Reading


class Broken(io.RawIOBase):
    """A body that breaks off."""

    def __init__(self, data):
        self.data = data

    def read(self, amount=-1):
        if not self.data:
            raise boto_errors.ReadTimeoutError(endpoint_url="http://store")
        data, self.data = self.data, b""
        return data


def test_a_connection_that_breaks_is_taken_up(there, s3, tmp_path):
    there.put("x", b"0123456789")
    s3.bodies = [lambda body: Broken(body[:4]), lambda body: Broken(b""), io.BytesIO]
    size, _sha256 = there.download("x", tmp_path / "x")
    assert size == 10
    assert (tmp_path / "x").read_bytes() == b"0123456789"
    assert [call["Range"] for call in s3.named("get_object")] == ["bytes=0-", "bytes=4-", "bytes=4-"]


def test_a_connection_that_keeps_breaking(there, s3):
    there.put("x", b"0123456789")
    s3.bodies = [lambda body: Broken(b"")] * 6
    with pytest.raises(BackupError, match="breaks off at byte 0"):
        there.digest("x")
    assert len(s3.clock.sleeps) == 5


def test_an_object_that_changes_while_it_is_read(there, s3):
    there.put("x", b"0123456789")

    def change(body):
        there.put("x", b"9876543210")
        return Broken(body[:4])

    s3.bodies = [change]
    with pytest.raises(BackupError, match="changed while it was read"):
        there.digest("x")


def test_what_is_not_there_is_not_read(there, tmp_path):
    assert there.digest("x") is None
    assert there.download("x", tmp_path / "x") is None


# Uploads


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "PART", 4)
    made = []
    for name, body in (("small", b"123"), ("big", b"0123456789"), ("empty", b""), ("exact", b"1234")):
        (tmp_path / name).write_bytes(body)
        made.append((name, tmp_path / name, name + "-sha256"))
    return made


def test_uploads(there, s3, files):
    told = []
    upload_all(there, files, progress=lambda done, total: told.append((done, total)))
    assert s3.bodies_of() == {"sets/small": b"123", "sets/big": b"0123456789", "sets/empty": b"", "sets/exact": b"1234"}
    assert s3.objects["sets/big"].metadata == {"sha256": "big-sha256"}
    assert told[-1] == (17, 17)
    assert len(s3.named("upload_part")) == 3
    assert s3.uploads == {}
    upload_all(there, [("plain", files[0][1], None)])
    assert s3.objects["sets/plain"].metadata == {}


def test_a_big_file_has_bigger_parts(there, files, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_PARTS", 2)
    assert uploads.Upload(there, *files[1]).part_size == 5


def test_an_upload_that_fails_is_aborted(there, s3, files):
    s3.errors["upload_part"] = [None, failure("AccessDenied", 403)]
    with pytest.raises(BackupError, match="writing big"):
        upload_all(there, files)
    assert s3.uploads == {}
    assert "sets/big" not in s3.objects


def test_an_upload_that_cannot_begin(there, s3, files):
    s3.errors["create_multipart_upload"] = [failure("AccessDenied", 403)]
    with pytest.raises(BackupError, match="writing big"):
        upload_all(there, files)
    assert s3.uploads == {}


@pytest.mark.parametrize(
    ("errors", "left"),
    [([failure("NoSuchUpload", 404)], 1), ([failure("AccessDenied", 403)], 1), ([AWAY] * 9999, 1), ([None], 0)],
)
def test_an_abort_that_fails_hides_nothing(there, s3, files, errors, left):
    s3.errors["upload_part"] = [failure("InvalidRequest", 400)] * 3
    s3.errors["abort_multipart_upload"] = errors
    with pytest.raises(BackupError, match="InvalidRequest"):
        upload_all(there, files)
    assert len(s3.uploads) == left


# Copies inside the store


@pytest.mark.parametrize("size", [0, 3, 4, 5, 8, 10])
def test_a_big_object_is_copied_in_parts(there, s3, monkeypatch, size):
    monkeypatch.setattr(uploads, "COPY_PART", 4)
    there.put("x", b"0123456789"[:size], metadata={"k": "v"})
    uploads.copy(there, "x", "y")
    assert there.get("y")[0] == b"0123456789"[:size]
    assert there.head("y")["Metadata"] == {"k": "v"}
    parts = 0 if size <= 4 else -(-size // 4)
    assert [len(s3.named(name)) for name in ("copy_object", "upload_part_copy")] == [not parts, parts]
    assert s3.uploads == {}


def test_a_copy_that_fails_is_aborted(there, s3, monkeypatch):
    monkeypatch.setattr(uploads, "COPY_PART", 4)
    there.put("x", b"0123456789")
    s3.errors["upload_part_copy"] = [failure("SlowDown", 503), None, failure("AccessDenied", 403)]
    with pytest.raises(BackupError, match=r"refused copying x in bucket 'b' .* has this right"):
        uploads.copy(there, "x", "y", "artifacts")
    assert s3.uploads == {}
    with pytest.raises(BackupError, match="refused copying none"):
        uploads.copy(there, "none", "y")
    assert list(s3.objects) == ["sets/x"]


def test_abort_uploads(there, s3, make, monkeypatch):
    class Now(module.datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(START + int(s3.clock()), tz)

    monkeypatch.setattr(module.datetime, "datetime", Now)
    there.call("create_multipart_upload", "x", "x", Key="sets/old", Metadata={})
    make("other").call("create_multipart_upload", "x", "x", Key="other/old", Metadata={})
    s3.clock.sleep(100)
    there.call("create_multipart_upload", "x", "x", Key="sets/new", Metadata={})
    assert there.abort_uploads(60) == 1
    assert sorted(upload.key for upload in s3.uploads.values()) == ["other/old", "sets/new"]
