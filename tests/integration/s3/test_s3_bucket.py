# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module s3_bucket against a real SeaweedFS, and against stand-ins where SeaweedFS has no such fault."""

from __future__ import annotations

import datetime
import ipaddress
import json
import pathlib
import ssl
import subprocess
import sys
import time

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def names(client):
    return {item["Name"] for item in client.list_buckets()["Buckets"]}


def code(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def policy(bucket, *actions):
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Readers",
                "Effect": "Allow",
                "Principal": "*",
                "Action": list(actions),
                "Resource": f"arn:aws:s3:::{bucket}/*",
            }
        ],
    }


def test_a_bucket_comes_and_goes(module, s3, bucket):
    checked = module(bucket, check=True)
    assert checked["changed"]
    assert checked["created"] == [bucket]
    assert bucket not in names(s3)

    made = module.stages(bucket)
    assert made["created"] == [bucket]
    assert made["owner_verified"]
    assert made["flavor"] == "seaweedfs"
    assert made["diff"] == {"before": {bucket: {"exists": False}}, "after": {bucket: {"exists": True}}}
    assert bucket in names(s3)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)

    gone = module.stages(bucket, state="absent")
    assert gone["deleted"] == [bucket]
    assert bucket not in names(s3)


def test_many_buckets_in_one_call(module, s3, bucket):
    wanted = [f"{bucket}-{index}" for index in range(40)]
    s3.create_bucket(Bucket=wanted[7])
    made = module.stages([*wanted, wanted[0]])
    assert made["created"] == [name for name in wanted if name != wanted[7]]
    assert [item["name"] for item in made["buckets"]] == wanted
    assert set(wanted) <= names(s3)
    assert module.stages(wanted, state="absent")["deleted"] == wanted
    assert not set(wanted) & names(s3)


def test_versioning(module, s3, bucket):
    module.stages(bucket, versioning="enabled")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    suspended = module.stages(bucket, versioning="suspended")
    assert suspended["before"] == {bucket: {"exists": True, "versioning": "enabled"}}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    assert not module(bucket)["changed"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"


def test_policy(module, s3, bucket):
    module.stages(bucket, policy=policy(bucket, "s3:GetObject", "s3:ListBucket"))
    turned = policy(bucket, "s3:ListBucket", "s3:getobject")
    turned["Statement"][0]["Resource"] = [f"arn:aws:s3:::{bucket}/*"]
    turned["Statement"][0]["Principal"] = {"AWS": ["*"]}
    assert not module(bucket, policy=json.dumps(turned))["changed"]
    module.stages(bucket, policy=policy(bucket, "s3:GetObject"))
    held = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert held["Statement"][0]["Action"] in ("s3:GetObject", ["s3:GetObject"])
    assert not module(bucket)["changed"]
    module.stages(bucket, policy={})
    assert code(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"


def test_lifecycle(module, s3, bucket):
    rules = [
        {"ID": "tmp", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}},
        {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}},
        {"ID": "end", "Status": "Disabled", "Prefix": "old/", "Expiration": {"Date": "2040-01-01T00:00:00Z"}},
    ]
    module.stages(bucket, lifecycle=rules)
    held = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert held["TransitionDefaultMinimumObjectSize"]
    assert len(held["Rules"]) == 3
    assert not module(bucket, lifecycle=rules[::-1])["changed"]
    rules[0]["Expiration"]["Days"] = 4
    module.stages(bucket, lifecycle=rules)
    module.stages(bucket, lifecycle=[])
    assert code(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"


def test_tags(module, s3, bucket):
    module.stages(bucket, tags={"service": "mlflow", "tier": 1})
    held = {item["Key"]: item["Value"] for item in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]}
    assert held == {"service": "mlflow", "tier": "1"}
    module.stages(bucket, tags={"service": "backup"})
    assert len(s3.get_bucket_tagging(Bucket=bucket)["TagSet"]) == 1
    assert not module(bucket)["changed"]
    module.stages(bucket, tags={})
    assert code(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"


def test_object_lock_is_settled_at_creation(module, s3, bucket):
    module.stages(bucket, object_lock=True, versioning="enabled")
    held = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    assert held["ObjectLockEnabled"] == "Enabled"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"

    plain = f"{bucket}-plain"
    module.stages(plain, object_lock=False)
    for check in (True, False):
        refused = module(plain, object_lock=True, check=check)
        assert refused["failed"]
        assert "already exists without object lock" in refused["msg"]
        assert refused["phase"] == "features"


def test_all_features_at_once_on_several_buckets(module, s3, bucket):
    wanted = [f"{bucket}-a", f"{bucket}-b"]
    rules = [{"ID": "v", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 9}}]
    module.stages(wanted, versioning="enabled", lifecycle=rules, tags={"a": "b"}, object_lock=True)
    for name in wanted:
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
        assert s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"][0]["ID"] == "v"
        assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "a", "Value": "b"}]
        assert "Versions" not in s3.list_object_versions(Bucket=name)


@pytest.mark.parametrize("held", ["object", "version", "marker", "upload"])
def test_a_bucket_that_is_not_empty_stays_without_force(module, s3, bucket, held):
    s3.create_bucket(Bucket=bucket)
    if held in ("version", "marker"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    if held == "upload":
        s3.create_multipart_upload(Bucket=bucket, Key="a/b")
    else:
        version = s3.put_object(Bucket=bucket, Key="a/b", Body=b"kept").get("VersionId")
    if held in ("version", "marker"):
        s3.delete_object(Bucket=bucket, Key="a/b")
    if held == "marker":
        s3.delete_object(Bucket=bucket, Key="a/b", VersionId=version)
    for check in (True, False):
        refused = module(bucket, state="absent", check=check)
        assert refused["failed"]
        assert "is not empty" in refused["msg"]
        assert refused["phase"] == "empty"
        assert not refused["changed"]
        assert bucket in names(s3)
    module.stages(bucket, state="absent", force=True)
    assert bucket not in names(s3)
    s3.create_bucket(Bucket=bucket)
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


def test_force_deletes_more_than_one_page(module, s3, bucket):
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for index in range(1050):
        s3.put_object(Bucket=bucket, Key=f"k/{index}", Body=b"")
    module.stages(bucket, state="absent", force=True)
    assert bucket not in names(s3)


def test_force_does_not_break_a_retention(module, s3, bucket):
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    refused = module(bucket, state="absent", force=True)
    assert refused["failed"]
    assert "'kept'" in refused["msg"]
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"kept"


def test_fault_42_a_store_that_is_still_starting(late_weed, module, bucket):
    process = module.start(bucket, endpoint_url=late_weed.url, wait_timeout=60)
    time.sleep(2)
    late_weed.start()
    result = module.finish(process)
    assert not result.get("failed"), result["msg"]
    assert result["created"] == [bucket]


def test_fault_42_a_store_that_never_comes(late_weed, module, bucket):
    began = time.monotonic()
    result = module(bucket, endpoint_url=late_weed.url, wait_timeout=2)
    assert time.monotonic() - began < 10
    assert result["failed"]
    assert result["phase"] == "connect"
    assert result["safe_to_retry"]
    assert late_weed.url in result["msg"]


def test_fault_43_ten_at_once(module, s3, bucket):
    running = [module.start(bucket, versioning="enabled") for _call in range(10)]
    results = [module.finish(process) for process in running]
    assert [result.get("msg") for result in results if result.get("failed")] == []
    # SeaweedFS looks whether a bucket is there and then makes it, so it may tell several that they made the one.
    made = [result["created"] for result in results if result["created"]]
    assert made
    assert all(one == [bucket] for one in made), made
    assert bucket in names(s3)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert not module(bucket, versioning="enabled")["changed"]


@pytest.mark.parametrize("with_filer", [False, True])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_fault_44_owned_by_another(module, weed, bucket, filer, with_filer, state):
    weed.client("other").create_bucket(Bucket=bucket)
    for check in (True, False):
        refused = module([bucket, f"{bucket}-2"], state=state, check=check, **(filer if with_filer else {}))
        assert refused["failed"]
        assert "belongs to another owner (other)" in refused["msg"]
        assert refused["phase"] == "owner"
    assert bucket in names(weed.client())
    assert f"{bucket}-2" not in names(weed.client())


def test_fault_45_a_bucket_without_an_owner(module, weed, bucket, filer):
    weed.make_folder(bucket)
    for state in ("present", "absent"):
        for check in (True, False):
            refused = module(bucket, state=state, check=check, **filer)
            assert refused["failed"]
            assert "has no owner" in refused["msg"]
            assert "adopt_unowned" in refused["msg"]
    assert weed.client("other").get_bucket_acl(Bucket=bucket)["Owner"]["ID"] == "other"

    adopted = module.stages(bucket, adopt_unowned=True, **filer)
    assert adopted["created"] == []
    assert adopted["owner_verified"]
    assert weed.client("other").get_bucket_acl(Bucket=bucket)["Owner"]["ID"] == "admin"
    assert not module(bucket, **filer)["changed"]
    # Once it has an owner, nobody else gets it.
    assert "another owner" in module(bucket, identity="other", **filer)["msg"]


def test_without_the_filer_an_owner_is_not_called_verified(module, bucket, filer):
    assert module(bucket)["owner_verified"]
    assert not module(bucket)["owner_verified"]
    assert module(bucket, **filer)["owner_verified"]


def test_a_wrong_filer_key(module, weed, bucket, s3):
    s3.create_bucket(Bucket=bucket)
    refused = module(bucket, filer_url=weed.filer_url, filer_key="wrong")
    assert refused["failed"]
    assert refused["phase"] == "owner"
    assert "filer_key" in refused["msg"]


def test_fault_46_a_key_that_may_only_read(module, s3, bucket):
    s3.create_bucket(Bucket=bucket)
    refused = module(bucket, identity="reader")
    assert refused["failed"]
    assert refused["phase"] == "probe"
    assert refused["code"] == "AccessDenied"
    assert not refused["safe_to_retry"]
    assert not refused["changed"]
    assert not module(bucket, identity="reader", probe=False).get("failed")
    absent = module(f"{bucket}-2", identity="reader")
    assert absent["phase"] == "create"


def test_fault_47_a_feature_that_the_store_lacks(module, stand_in, bucket):
    store = stand_in()
    options = {"endpoint_url": store.url, "probe": False}
    refused = module(bucket, policy=policy(bucket, "s3:GetObject"), **options)
    assert refused["failed"]
    assert refused["unsupported"] == ["policy"]
    assert "does not support policy" in refused["msg"]
    assert refused["created"] == [bucket]
    assert refused["changed"]
    assert store.buckets == {bucket}
    for check in (True, False):
        again = module(bucket, check=check, policy=policy(bucket, "s3:GetObject"), **options)
        assert again["unsupported"] == ["policy"]
        assert not again["changed"]
    assert store.buckets == {bucket}
    before = len(store.requests)
    assert not module(bucket, **options)["changed"]
    assert [query for _verb, _path, query in store.requests[before:]] == ["", "acl"]


def test_fault_47_seaweedfs_takes_an_unknown_feature_for_a_creation(s3, bucket):
    """Why such an answer to writing a feature counts as a feature that the store lacks."""
    s3.create_bucket(Bucket=bucket)
    answer = code(s3.put_bucket_website, Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "i"}})
    assert answer in ("BucketAlreadyOwnedByYou", "NotImplemented")


def test_a_busy_store_is_asked_again(module, stand_in, bucket):
    store = stand_in(busy=3)
    result = module(bucket, endpoint_url=store.url, probe=False)
    assert result["created"] == [bucket]
    store.busy = 10**6
    began = time.monotonic()
    refused = module(bucket, endpoint_url=store.url, probe=False, wait_timeout=1)
    assert time.monotonic() - began < 8
    assert "SlowDown" in refused["msg"]


def test_certificates_are_checked(module, stand_in, bucket, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = tmp_path / "key.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    store = stand_in(context=context)
    assert module(bucket, endpoint_url=store.url, ca_bundle=str(authority), probe=False)["created"] == [bucket]
    refused = module(bucket, endpoint_url=store.url)
    assert refused["failed"]
    assert refused["phase"] == "connect"
    assert "ca_bundle" in refused["msg"]
    missing = module(bucket, endpoint_url=store.url, ca_bundle=str(tmp_path / "none.pem"))
    assert missing["phase"] == "options"


@pytest.mark.parametrize("bad", ["Bad_Name", "ab", "x" * 64, "192.168.1.1", "a..b", "-abc", "xn--abc"])
def test_a_bad_name_is_refused_before_anything_is_changed(module, s3, bucket, bad):
    refused = module([bucket, bad])
    assert refused["failed"]
    assert refused["phase"] == "options"
    assert f"'{bad}'" in refused["msg"]
    assert bucket not in names(s3)


def test_wrong_keys(module, bucket):
    refused = module(bucket, secret_key="wrong-canary")
    assert refused["failed"]
    assert "secret_key" in refused["msg"]
    nobody = module(bucket, access_key="nobody")
    assert nobody["code"] == "InvalidAccessKeyId"
    none = module(bucket, secret_key=None)
    assert none["phase"] == "options"


def test_keys_from_files_through_ansible_stay_secret(weed, bucket, tmp_path, s3):
    key = tmp_path / "secret"
    key.write_text("admin-secret-canary-0123456789\n")
    options = {
        "name": [bucket],
        "endpoint_url": weed.url,
        "access_key": "admin-key",
        "secret_key_file": str(key),
        "filer_url": weed.filer_url,
        "filer_key": "filer-read-key-canary",
        "tags": {"a": "b"},
    }
    command = [
        str(pathlib.Path(sys.executable).parent / "ansible"),
        "localhost",
        "-vvvv",
        "--diff",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
        "-m",
        "mlops.stack.s3_bucket",
        "-a",
        json.dumps(options),
    ]
    checked = subprocess.run([*command, "--check"], capture_output=True, text=True, timeout=120, check=True)
    assert bucket not in names(s3)
    applied = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert bucket in names(s3)
    repeated = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "localhost | CHANGED" in checked.stdout
    assert "localhost | CHANGED" in applied.stdout
    assert "localhost | SUCCESS" in repeated.stdout
    assert "+++ after" in applied.stdout
    assert "+++ after" not in repeated.stdout
    for result in (checked, applied, repeated):
        assert "canary" not in (result.stdout + result.stderr).replace(json.dumps(options), "")


def test_deleting_what_does_not_exist_changes_nothing(module, bucket):
    assert not module(bucket, state="absent")["changed"]
    assert not module([bucket, f"{bucket}-2"], state="absent", force=True)["changed"]
