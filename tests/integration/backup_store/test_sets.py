# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets in a store, and the faults 20 to 29: what was there before stays, and no half set looks whole."""

from __future__ import annotations

import datetime
import threading
import time

import botocore.auth
import faults
import harm
import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import info, names, settings, uploads
from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import Identity
from ansible_collections.mlops.stack.plugins.module_utils.backup.run import Run

LABEL = "20260101T000000Z-0001"
MIB = 1024 * 1024
BIG = (("globals.sql", 1000), ("databases/mlflow/toc.dat", 5000), ("databases/mlflow/4711.dat.zst", 40 * MIB))


def unfinished(client, bucket):
    return client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def failure(call, *arguments):
    with pytest.raises(BackupError) as caught:
        call(*arguments)
    assert "canary" not in caught.value.message
    return caught.value


class Server:
    """It is asked for nothing but what it is: the sets that are here will do."""

    def __init__(self, _login):
        pass

    def identity(self, _allow_replica, _database):
        return Identity(170006, "17.6", "7412", False)


OF_SERVER = {"databases": [{"name": "mlflow"}], "postgres": {"system_identifier": "7412"}}


def backup(place, dest, label):
    """What a backup of this label does, whose set is here; ``place`` is the option s3."""
    sets = settings.Sets(dest, settings.S3(**vars(place)), databases=("mlflow",))
    return Run(settings.Settings(sets, Login("db"), label=label), server_class=Server)()


def test_a_set_goes_and_comes_back(weed, make_bucket, set_store, make_set, tmp_path, tree):
    store = set_store(weed, make_bucket())
    assert store.sets() == []
    folder, manifest = make_set(sizes=BIG)
    told = []
    store.upload_set(folder, manifest, lambda done, total: told.append((done, total)))
    total = sum(size for _name, size in BIG)
    assert told[-1] == (total, total)
    assert len(told) > len(BIG)

    found = store.look(manifest["label"])
    assert found.complete
    assert (found.manifest, found.problems, found.bytes > total) == (manifest, [], True)
    assert store.verify_set(manifest["label"]) == []

    assert store.download_set(manifest["label"], tmp_path / "back") == manifest
    assert tree(tmp_path / "back") == tree(folder)
    assert (tmp_path / "back" / "globals.sql").stat().st_mode & 0o777 == 0o600

    store.upload_set(folder, manifest)
    (folder / "manifest.json").write_text("{}")
    assert not failure(store.upload_set, folder, manifest).safe_to_retry
    store.remove_set(manifest["label"])
    assert store.sets() == []
    assert "no complete set" in failure(store.download_set, manifest["label"], tmp_path / "none").message


@pytest.mark.fault(20)
def test_fault_20_a_store_killed_in_the_middle(own_weed, make_bucket, set_store, make_set, monkeypatch):
    weed = own_weed()
    bucket = make_bucket(weed)
    monkeypatch.setattr(uploads, "PART", 5 * MIB)
    first, first_manifest = make_set(LABEL)
    set_store(weed, bucket).upload_set(first, first_manifest)
    folder, manifest = make_set(sizes=BIG)
    killed = threading.Event()

    def kill(_method, path):
        if "partNumber=4" in path and not killed.is_set():
            killed.set()
            weed.stop()

    with faults.proxy(weed.url, before=kill) as proxy:
        store = set_store(weed, bucket, endpoint_url=proxy.url, wait_timeout=2)
        began = time.monotonic()
        error = failure(store.upload_set, folder, manifest)
    assert time.monotonic() - began < 60
    assert error.safe_to_retry
    harm.check_sets((folder / "globals.sql").exists(), True)

    weed.start()
    weed.wait()
    store = set_store(weed, bucket)
    harm.check_sets([found.label for found in store.sets() if found.complete], [LABEL])
    harm.check_sets(store.verify_set(LABEL), [])
    assert len(unfinished(weed.client(), bucket)) == 1
    assert store.sweep(0) == 1
    assert unfinished(weed.client(), bucket) == []
    store.upload_set(folder, manifest)
    assert store.verify_set(manifest["label"]) == []


@pytest.mark.fault(20)
def test_fault_20_a_store_that_comes_back(own_weed, make_bucket, set_store, make_set, monkeypatch):
    weed = own_weed()
    bucket = make_bucket(weed)
    monkeypatch.setattr(uploads, "PART", 5 * MIB)
    killed = threading.Event()

    def kill(_method, path):
        if "partNumber=4" in path and not killed.is_set():
            killed.set()
            weed.stop()
            threading.Thread(target=weed.start).start()

    folder, manifest = make_set(sizes=BIG)
    with faults.proxy(weed.url, before=kill) as proxy:
        set_store(weed, bucket, endpoint_url=proxy.url, wait_timeout=60).upload_set(folder, manifest)
    assert killed.is_set()
    assert set_store(weed, bucket).verify_set(manifest["label"]) == []
    assert unfinished(weed.client(), bucket) == []


@pytest.mark.fault(20)
def test_fault_20_an_upload_that_is_interrupted_leaves_nothing(weed, make_bucket, set_store, make_set, monkeypatch):
    bucket = make_bucket()
    monkeypatch.setattr(uploads, "PART", 5 * MIB)
    folder, manifest = make_set(sizes=BIG)

    def interrupt(done, _total):
        if done > 10 * MIB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        set_store(weed, bucket).upload_set(folder, manifest, interrupt)
    assert unfinished(weed.client(), bucket) == []
    assert set_store(weed, bucket).look(manifest["label"]).manifest is None


@pytest.mark.fault(20)
def test_fault_20_the_next_backup_ends_an_upload_that_did_not(weed, make_bucket, options, set_store, make_set):
    bucket = make_bucket()
    store = set_store(weed, bucket)
    now = datetime.datetime.now(datetime.timezone.utc)
    created = names.format_time(now)
    folder, _manifest = make_set(LABEL, created=created, **OF_SERVER)
    weed.client().put_object(Bucket=bucket, Key=f"backups/{LABEL}/globals.sql", Body=b"cut")
    weed.client().put_object(Bucket=bucket, Key="backups/gone/globals.sql", Body=b"of a set that no host has")
    _folder, new = make_set(created=created, **OF_SERVER)
    place = options(weed, bucket, "backups")
    result = backup(place, folder.parent, new["label"])
    assert (result["action"], result["label"], result["uploaded"]) == ("upload", new["label"], [LABEL])
    assert store.verify_set(LABEL) == store.verify_set(new["label"]) == []
    sets = settings.Sets(folder.parent, settings.S3(**vars(place)), databases=("mlflow",))
    told = info.gather(sets, now)
    assert (told["healthy"], told["problems"]) == (True, [])
    assert [one["label"] for one in told["sets"] if one["orphan"]] == ["gone"]


@pytest.mark.fault(21)
def test_fault_21_a_full_store(own_weed, make_bucket, set_store, make_set, monkeypatch):
    weed = own_weed(volumes=8, volume_size_mb=8)
    bucket = make_bucket(weed)
    monkeypatch.setattr(uploads, "PART", 5 * MIB)
    first, first_manifest = make_set(LABEL)
    store = set_store(weed, bucket, wait_timeout=5)
    store.upload_set(first, first_manifest)
    folder, manifest = make_set(sizes=(("toc.dat", 100), *((f"{number}.dat", 40 * MIB) for number in range(6))))
    began = time.monotonic()
    error = failure(store.upload_set, folder, manifest)
    assert time.monotonic() - began < 90
    assert weed.url in error.message
    harm.check_sets([found.label for found in store.sets() if found.complete], [LABEL])
    harm.check_sets(store.verify_set(LABEL), [])
    assert unfinished(weed.client(), bucket) == []


@pytest.mark.fault(21)
def test_fault_21_a_deadline_ends_an_upload(weed, make_bucket, set_store, make_set, monkeypatch):
    bucket = make_bucket()
    monkeypatch.setattr(uploads, "PART", 5 * MIB)
    folder, manifest = make_set(sizes=BIG)
    with faults.proxy(weed.url, delay=0.5) as proxy:
        store = set_store(weed, bucket, timeout=1.5, endpoint_url=proxy.url)
        error = failure(store.upload_set, folder, manifest)
    assert "did not end within 1.5 seconds; set a longer timeout." in error.message
    assert unfinished(weed.client(), bucket) == []
    assert set_store(weed, bucket).look(manifest["label"]).manifest is None


@pytest.mark.fault(22)
def test_fault_22_a_busy_store(weed, make_bucket, set_store, make_set, monkeypatch, tmp_path):
    monkeypatch.setattr(uploads, "PART", 5 * MIB)
    sizes = [("toc.dat", 100), *((f"{number}.dat", 2 * MIB) for number in range(20)), ("big.dat", 30 * MIB)]
    folder, manifest = make_set(sizes=sizes)
    seconds = []
    for busy in (0.0, 0.3):
        with faults.proxy(weed.url, busy=busy) as proxy:
            store = set_store(weed, make_bucket(), endpoint_url=proxy.url)
            began = time.monotonic()
            store.upload_set(folder, manifest)
            seconds.append(time.monotonic() - began)
            assert store.verify_set(manifest["label"]) == []
            store.download_set(manifest["label"], tmp_path / f"busy{busy}")
    # Bounds the pauses between tries: a second is the noise of a busy machine.
    assert seconds[1] <= 3 * seconds[0] + 5, seconds


@pytest.mark.fault(23)
def test_fault_23_a_slow_store_that_loses_connections(weed, make_bucket, set_store, make_set, tmp_path, tree):
    folder, manifest = make_set(sizes=(("toc.dat", 100), *((f"{number}.dat", MIB) for number in range(8))))
    with faults.proxy(weed.url, delay=0.4, loss=0.1) as proxy:
        store = set_store(weed, make_bucket(), endpoint_url=proxy.url)
        store.upload_set(folder, manifest)
        store.download_set(manifest["label"], tmp_path / "back")
    assert tree(tmp_path / "back") == tree(folder)


@pytest.mark.parametrize("kind", ["none", "wrong", "expired"])
@pytest.mark.fault(24)
def test_fault_24_a_certificate_that_is_not_trusted(weed, make_bucket, set_store, make_set, tmp_path, kind):
    file, context = faults.certificate(tmp_path, days=-1 if kind == "expired" else 1)
    other, _context = faults.certificate(tmp_path, days=9)
    bundle = {"none": None, "wrong": str(other), "expired": str(file)}[kind]
    folder, manifest = make_set()
    with faults.proxy(weed.url, context=context) as proxy:
        store = set_store(weed, make_bucket(), endpoint_url=proxy.url, ca_bundle=bundle)
        error = failure(store.upload_set, folder, manifest)
    assert "ca_bundle" in error.message
    harm.check_sets((folder / "globals.sql").exists(), True)


@pytest.mark.fault(24)
def test_fault_24_a_certificate_that_is_trusted(weed, make_bucket, set_store, make_set, tmp_path):
    file, context = faults.certificate(tmp_path)
    folder, manifest = make_set()
    with faults.proxy(weed.url, context=context) as proxy:
        store = set_store(weed, make_bucket(), endpoint_url=proxy.url, ca_bundle=str(file))
        store.upload_set(folder, manifest)
        assert store.verify_set(manifest["label"]) == []


@pytest.mark.fault(25)
def test_fault_25_a_revoked_key(own_weed, make_bucket, set_store, make_set):
    weed = own_weed()
    bucket = make_bucket(weed)
    store = set_store(weed, bucket, identity="other")
    first, first_manifest = make_set(LABEL)
    store.upload_set(first, first_manifest)
    weed.revoke("other")
    time.sleep(1)
    folder, manifest = make_set()
    error = failure(store.upload_set, folder, manifest)
    assert "s3.access_key" in error.message
    assert not error.safe_to_retry
    harm.check_sets(set_store(weed, bucket).verify_set(LABEL), [])


@pytest.mark.parametrize(("minutes", "way"), [(-20, "behind"), (20, "ahead of")])
@pytest.mark.fault(26)
def test_fault_26_a_clock_that_is_wrong(weed, make_bucket, set_store, make_set, monkeypatch, minutes, way):
    apart = datetime.timedelta(minutes=minutes)
    signing, wall = botocore.auth.get_current_datetime, time.time
    folder, manifest = make_set()
    store = set_store(weed, make_bucket())
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *given: signing(*given) + apart)
    monkeypatch.setattr(time, "time", lambda: wall() + apart.total_seconds())
    error = failure(store.upload_set, folder, manifest)
    assert f"clock is 20 minutes {way} its own" in error.message
    assert "NTP" in error.message


@pytest.mark.fault(27)
def test_fault_27_a_flipped_bit(weed, make_bucket, set_store, make_set, tmp_path):
    bucket = make_bucket()
    store = set_store(weed, bucket)
    folder, manifest = make_set()
    store.upload_set(folder, manifest)
    name = "databases/mlflow/toc.dat"
    data = bytearray((folder / name).read_bytes())
    data[1234] ^= 1
    weed.client().put_object(Bucket=bucket, Key=f"backups/{manifest['label']}/{name}", Body=bytes(data))
    assert store.look(manifest["label"]).problems == []
    problems = store.verify_set(manifest["label"])
    assert len(problems) == 1
    assert problems[0].startswith(f"{name} is damaged")
    error = failure(store.download_set, manifest["label"], tmp_path / "back")
    assert name in error.message
    assert not (tmp_path / "back" / name).exists()
    assert not (tmp_path / "back" / "manifest.json").exists()


@pytest.mark.fault(27)
def test_fault_27_a_flipped_bit_on_the_stores_disk(own_weed, make_bucket, set_store, make_set):
    weed = own_weed()
    store = set_store(weed, make_bucket(weed), wait_timeout=2)
    folder, manifest = make_set()
    store.upload_set(folder, manifest)
    name = "databases/mlflow/toc.dat"
    data = (folder / name).read_bytes()
    hit = 0
    for file in weed.folder.glob("*.dat"):
        held = file.read_bytes()
        at = held.find(data)
        if at >= 0:
            with file.open("r+b") as stream:
                stream.seek(at + 1000)
                stream.write(bytes([held[at + 1000] ^ 4]))
            hit += 1
    assert hit == 1
    problems = store.verify_set(manifest["label"])
    assert len(problems) == 1
    assert problems[0].startswith(f"{name} ")


@pytest.mark.fault(28)
def test_fault_28_an_object_that_was_deleted(weed, make_bucket, set_store, make_set):
    bucket = make_bucket()
    store = set_store(weed, bucket)
    folder, manifest = make_set()
    store.upload_set(folder, manifest)
    weed.client().delete_object(Bucket=bucket, Key=f"backups/{manifest['label']}/globals.sql")
    found = store.look(manifest["label"])
    assert not found.complete
    assert found.problems == ["globals.sql is missing"]
    weed.client().delete_object(Bucket=bucket, Key=f"backups/{manifest['label']}/manifest.json")
    assert store.look(manifest["label"]).problems == ["it has no manifest: its upload did not end"]


@pytest.mark.fault(28)
def test_fault_28_the_next_backup_repairs_the_set(weed, make_bucket, options, set_store, make_set):
    bucket = make_bucket()
    store = set_store(weed, bucket)
    folder, manifest = make_set(**OF_SERVER)
    store.upload_set(folder, manifest)
    label = manifest["label"]
    weed.client().delete_object(Bucket=bucket, Key=f"backups/{label}/globals.sql")
    assert not store.look(label).complete

    place = options(weed, bucket, "backups")
    result = backup(place, folder.parent, label)
    assert (result["action"], result["label"]) == ("upload", label)
    assert store.verify_set(label) == []
    assert backup(place, folder.parent, label)["changed"] is False


@pytest.mark.slow
@pytest.mark.fault(29)
def test_fault_29_a_store_killed_right_after_its_answer(own_weed, make_bucket, set_store, make_set, tmp_path, tree):
    weed = own_weed()
    bucket = make_bucket(weed)
    folder, manifest = make_set(sizes=BIG)
    set_store(weed, bucket).upload_set(folder, manifest)
    weed.stop()
    weed.start()
    weed.wait()
    store = set_store(weed, bucket)
    assert store.verify_set(manifest["label"]) == []
    store.download_set(manifest["label"], tmp_path / "back")
    assert tree(tmp_path / "back") == tree(folder)

    # And one that lost what it acknowledged: a power cut takes the ends of files that were not synced.
    weed.stop()
    largest = max(weed.folder.glob("*.dat"), key=lambda file: file.stat().st_size)
    with largest.open("r+b") as stream:
        stream.truncate(largest.stat().st_size // 2)
    weed.start()
    weed.wait()
    problems = set_store(weed, bucket, wait_timeout=3).verify_set(manifest["label"])
    assert problems
    # The store spreads the objects over its files: the manifest may be among the lost ones.
    assert all(any(name in problem for name in ("manifest.json", *dict(BIG))) for problem in problems)
