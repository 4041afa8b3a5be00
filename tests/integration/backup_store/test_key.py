# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups by a key that puts, gets and lists under a prefix and does nothing else, and leases among such keys."""

from __future__ import annotations

import concurrent.futures
import os
import threading

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import bucket as buckets
from ansible_collections.mlops.stack.plugins.module_utils.backup import uploads
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import run
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.store import Store
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.lease import Lease
from ansible_collections.mlops.stack.plugins.module_utils.backup.remote import Remote
from botocore.exceptions import ClientError
from seaweedfs import IDENTITIES, no_delete_policy, running

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def weed(tmp_path_factory):
    with running(tmp_path_factory.mktemp("weed"), identities={**IDENTITIES, "backup": []}) as store:
        yield store


@pytest.fixture
def guarded(weed, make_bucket):
    """A versioned bucket that the key backup may use under backups/."""
    name = make_bucket(weed)
    admin = weed.client()
    admin.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    admin.put_bucket_policy(Bucket=name, Policy=no_delete_policy(name, "backup", "backups"))
    return name


def refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"] in ("AccessDenied", "403")


def test_what_the_key_may_not(weed, guarded):
    admin, backup = weed.client(), weed.client("backup")
    key = "backups/x"
    first = backup.put_object(Bucket=guarded, Key=key, Body=b"first")["VersionId"]
    backup.put_object(Bucket=guarded, Key=key, Body=b"second")
    assert refused(backup.delete_object, Bucket=guarded, Key=key)
    assert refused(backup.delete_object, Bucket=guarded, Key=key, VersionId=first)
    errors = backup.delete_objects(Bucket=guarded, Delete={"Objects": [{"Key": key}]})["Errors"]
    assert errors[0]["Code"] == "AccessDenied"
    assert refused(backup.put_object, Bucket=guarded, Key="elsewhere/x", Body=b"")
    suspended = {"Status": "Suspended"}
    assert refused(backup.put_bucket_versioning, Bucket=guarded, VersioningConfiguration=suspended)
    rule = {"ID": "all", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    lifecycle = {"Rules": [rule]}
    assert refused(backup.put_bucket_lifecycle_configuration, Bucket=guarded, LifecycleConfiguration=lifecycle)
    assert refused(backup.put_bucket_policy, Bucket=guarded, Policy="{}")
    assert refused(backup.delete_bucket_policy, Bucket=guarded)
    assert refused(backup.put_object_acl, Bucket=guarded, Key=key, ACL="public-read")
    assert refused(backup.delete_bucket, Bucket=guarded)
    assert backup.get_object(Bucket=guarded, Key=key)["Body"].read() == b"second"
    assert admin.get_object(Bucket=guarded, Key=key, VersionId=first)["Body"].read() == b"first"


def test_a_set_by_such_a_key(weed, guarded, set_store, make_set, tmp_path):
    store = set_store(weed, guarded, identity="backup")
    folder, manifest = make_set(sizes=(("globals.sql", 100), ("big.dat", 40 * 1024 * 1024)))
    assert store.sweep() == 0
    store.upload_set(folder, manifest)
    assert store.verify_set(manifest["label"]) == []
    store.download_set(manifest["label"], tmp_path / "back")
    with pytest.raises(BackupError, match=r"s3.access_key .* has this right") as caught:
        store.remove_set(manifest["label"])
    assert not caught.value.safe_to_retry
    assert store.look(manifest["label"]).complete


def test_artifacts_by_such_a_key(weed, guarded, make_bucket, options, tmp_path):
    source = Store(options(weed, make_bucket(weed)))
    destination = Store(options(weed, guarded, "backups/artifacts", "backup"))
    admin = weed.client()
    for name, body in (("1/a", b"one"), ("1/odd\nname", b"two"), ("big", b"x" * (6 * 1024 * 1024))):
        admin.put_object(Bucket=source.objects.bucket, Key=name, Body=body)
    numbers = []
    for label in ("first", "second"):
        partial = tmp_path / label
        partial.mkdir()
        made = run.work(run.Job(run.COPY, source, destination, partial, label, 60))
        numbers.append((made["number"], made["copied"], made["kept"], made["replaced"]))
        admin.put_object(Bucket=source.objects.bucket, Key="1/a", Body=b"another one")
    assert numbers == [(1, 3, 0, 0), (2, 1, 2, 1)]
    aside = "backups/artifacts/replaced/000002-second/1/a"
    assert admin.get_object(Bucket=guarded, Key=aside)["Body"].read() == b"one"
    assert admin.get_object(Bucket=guarded, Key="backups/artifacts/current/1/a")["Body"].read() == b"another one"


def test_a_big_artifact_is_set_aside_in_parts_by_such_a_key(weed, guarded, make_bucket, options, tmp_path, monkeypatch):
    """Parts of 5 MiB instead of many more: a store copies no more than 5 GiB at once."""
    monkeypatch.setattr(uploads, "COPY_PART", 5 * MIB)
    source = Store(options(weed, make_bucket(weed)))
    destination = Store(options(weed, guarded, "backups/artifacts", "backup"))
    admin = weed.client()
    bodies = {label: os.urandom(12 * MIB + 1) for label in ("first", "second")}
    for label, body in bodies.items():
        admin.put_object(Bucket=source.objects.bucket, Key="big", Body=body)
        (tmp_path / label).mkdir()
        made = run.work(run.Job(run.COPY, source, destination, tmp_path / label, label, 120))
    assert (made["copied"], made["replaced"]) == (1, 1)
    aside = admin.get_object(Bucket=guarded, Key="backups/artifacts/replaced/000002-second/big")
    assert (aside["ETag"][-3:], aside["Body"].read() == bodies["first"]) == ('-3"', True)
    current = admin.get_object(Bucket=guarded, Key="backups/artifacts/current/big")["Body"].read()
    assert current == bodies["second"]
    assert admin.list_multipart_uploads(Bucket=guarded).get("Uploads", []) == []


# Leases


@pytest.fixture
def lease(weed, guarded, options):
    made = []

    def make(**given):
        objects = buckets.connect(options(weed, guarded, "backups", "backup", wait_timeout=5))
        made.append(Lease(objects, **given))
        return made[-1]

    yield make
    for item in made:
        item.release()


def test_a_lease_is_held_by_one(lease):
    contenders = [lease(holder=f"host{number}") for number in range(10)]

    def attempt(contender):
        try:
            contender.acquire()
        except BackupError as error:
            return error
        return None

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        errors = list(pool.map(attempt, contenders))
    assert errors.count(None) == 1
    winner = contenders[errors.index(None)]
    winner.check()
    with pytest.raises(BackupError, match=f"{winner.holder}.*lock_timeout") as caught:
        contenders[errors.index(None) - 1].acquire()
    assert (caught.value.phase, caught.value.safe_to_retry) == ("lock", True)

    winner.release()
    later = lease(holder="later")
    later.acquire()
    later.check()


def test_a_lease_is_waited_for(lease):
    first, second = lease(), lease()
    first.acquire()
    timer = threading.Timer(1.5, first.release)
    timer.start()
    second.acquire(timeout=20)
    timer.join()
    second.check()
    with pytest.raises(BackupError, match="was lost"):
        first.check()


@pytest.mark.fault(11)
def test_fault_11_the_lease_of_a_dead_holder_runs_out(lease):
    dead = lease(seconds=3, holder="dead")
    dead.acquire()
    dead.ending.set()
    dead.thread.join()
    second = lease()
    with pytest.raises(BackupError, match="dead"):
        second.acquire()
    second.acquire(timeout=10)
    # It comes back to life, and finds out before it publishes anything.
    dead.renew()
    with pytest.raises(BackupError, match="was lost"):
        dead.check()
    second.check()


def test_a_lease_lasts_while_it_is_renewed(lease):
    first = lease(seconds=3)
    first.acquire()
    with pytest.raises(BackupError, match="Another backup holds"):
        lease().acquire(timeout=5)
    first.check()


def test_a_key_that_only_reads_sees_who_holds_the_lease(weed, guarded, lease, options):
    """So a restore by such a key waits for a backup, and goes on without the lease where there is none."""
    reading = Remote(options(weed, guarded, "backups", "reader", wait_timeout=5), 20)
    with pytest.raises(BackupError, match="has this right") as caught:
        reading.hold(0)
    assert caught.value.phase == "lease"
    assert reading.sets() == []
    lease(holder="a backup").acquire()
    with pytest.raises(BackupError, match="Another backup holds .*: a backup") as caught:
        reading.hold(0)
    assert caught.value.phase == "lock"
