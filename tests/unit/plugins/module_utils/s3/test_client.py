# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import builtins
import importlib.util
import json
import pathlib
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.s3 import client as client_module
from ansible_collections.mlops.stack.plugins.module_utils.s3.client import (
    AnswerError,
    StoreError,
    connect,
    flavor_of,
    settings,
    trusted,
)
from ansible_collections.mlops.stack.plugins.module_utils.s3.plan import NOBODY, OTHER, SELF, UNKNOWN
from botocore import config as boto_config
from botocore import exceptions as boto_errors

# Settings of the client


@pytest.mark.parametrize(
    ("server", "flavor"),
    [
        ("SeaweedFS 8000GB 4.48", "seaweedfs"),
        ("MinIO", "minio"),
        ("AmazonS3", "aws"),
        ("nginx", "other"),
        (None, "other"),
    ],
)
def test_flavor_of(server, flavor):
    assert flavor_of(server) == flavor


def test_trusted(tmp_path):
    system = tmp_path / "system.pem"
    paths = types.SimpleNamespace(cafile=str(system))
    assert trusted("/mine.pem") == "/mine.pem"
    assert trusted(None, paths) is None
    system.write_text("PEM")
    assert trusted(None, paths) == str(system)
    assert trusted(None, types.SimpleNamespace(cafile=None)) is None


def test_settings():
    new = settings(boto_config.Config)
    assert new.signature_version == "s3v4"
    assert new.s3 == {"addressing_style": "path"}
    assert new.request_checksum_calculation == "when_required"
    assert new.retries["total_max_attempts"] == 1

    def old(signature_version, s3, retries, connect_timeout, read_timeout, max_pool_connections):
        return "old"

    assert settings(old) == "old"


def test_connect():
    made = connect("http://127.0.0.1:1", "a", "s", "eu-west-1")
    assert made.meta.endpoint_url == "http://127.0.0.1:1"
    assert made.meta.region_name == "eu-west-1"
    assert connect(None, "a", "s").meta.region_name == "us-east-1"
    with pytest.raises(StoreError, match="boto3 cannot use endpoint_url") as caught:
        connect("not a url", "a", "s")
    assert caught.value.phase == "connect"


def test_without_boto3(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("boto"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    spec = importlib.util.spec_from_file_location("without_boto3", pathlib.Path(client_module.__file__))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not module.HAS_BOTO3
    assert "boto3" in module.BOTO3_IMPORT_ERROR
    assert client_module.HAS_BOTO3


# Retries


@pytest.mark.parametrize(
    "trouble",
    [
        boto_errors.EndpointConnectionError(endpoint_url="http://store"),
        boto_errors.ConnectTimeoutError(endpoint_url="http://store"),
        boto_errors.ReadTimeoutError(endpoint_url="http://store"),
        boto_errors.ConnectionClosedError(endpoint_url="http://store"),
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
        ("SlowDown", 429),
    ],
)
def test_a_store_that_is_away_or_busy_is_asked_again(store, s3, clock, error, trouble):
    trouble = error(*trouble) if isinstance(trouble, tuple) else trouble
    s3.errors["list_buckets"] = [trouble] * 3
    assert store.survey(["a"]) == set()
    assert len(clock.sleeps) == 3
    s3.errors["list_buckets"] = [trouble] * 1000
    with pytest.raises(StoreError, match="did not answer list_buckets within wait_timeout=60") as caught:
        store.survey(["a"])
    assert caught.value.safe_to_retry
    assert 60 <= sum(clock.sleeps) < 130


def test_a_wait_of_nothing_asks_once(make_store, s3, error):
    s3.errors["list_buckets"] = [error("SlowDown", 503)] * 9
    with pytest.raises(StoreError, match="SlowDown: said so"):
        make_store(wait_timeout=0).survey(["a"])
    assert len(s3.calls) == 1


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (boto_errors.SSLError(endpoint_url="https://store", error="self-signed"), "ca_bundle"),
        (boto_errors.ProxyConnectionError(proxy_url="http://proxy"), "endpoint_url"),
        (boto_errors.ParamValidationError(report="bad"), "boto3 refused"),
    ],
)
def test_other_trouble_is_told_at_once(store, s3, clock, trouble, says):
    s3.errors["list_buckets"] = [trouble]
    with pytest.raises(StoreError, match=says):
        store.survey(["a"])
    assert clock.sleeps == []


def test_a_refusal_is_not_retried(store, s3, clock, error):
    s3.errors["get_bucket_policy"] = [error("AccessDenied", 403)]
    with pytest.raises(StoreError, match="refused to read the policy of bucket 'a'") as caught:
        store.read_feature("policy", "a")
    assert (caught.value.code, caught.value.safe_to_retry, clock.sleeps) == ("AccessDenied", False, [])


# What there is


def test_survey_reads_all_pages(store, s3):
    s3.owners = dict.fromkeys("abc", "me")
    assert store.survey(["a", "c", "x"]) == {"a", "c"}
    assert (store.caller, store.flavor, store.lists) == ("me", "seaweedfs", True)
    assert len(s3.calls) == 2


def test_a_flavor_that_was_chosen_stays(make_store):
    store = make_store(flavor="minio")
    store.survey([])
    assert store.flavor == "minio"


def test_a_key_that_may_not_list_looks_for_each_name(store, s3, error):
    s3.owners = {"a": "me"}
    s3.errors["list_buckets"] = [error("AccessDenied", 403)] * 2
    s3.errors["head_bucket"] = [None, None, error("403", 403)]
    assert store.survey(["a", "b", "c"]) == {"a"}
    assert not store.lists
    s3.errors["head_bucket"] = [error("400", 400)]
    with pytest.raises(StoreError, match="refused to look for bucket 'a'"):
        store.survey(["a"])


def test_wrong_keys(store, s3, error):
    s3.errors["list_buckets"] = [error("SignatureDoesNotMatch", 403)]
    with pytest.raises(StoreError, match="check access_key and secret_key") as caught:
        store.survey(["a"])
    assert not caught.value.safe_to_retry


def test_owner_by_access_list(store, s3, error):
    s3.owners = {"mine": "me", "theirs": "ann", "nobodys": None}
    store.survey([])
    assert store.owners() is None
    assert store.owner("mine") == (SELF, "me")
    assert store.owner("theirs") == (OTHER, "ann")
    # Asked through S3, a bucket without an owner claims to be the asker's: no proof.
    assert store.owner("nobodys") == (SELF, "me")
    assert not store.proves_owner()
    s3.errors["get_bucket_acl"] = [error("AccessDenied", 403), error("NotImplemented", 501), error("Odd", 400)]
    assert store.owner("mine") == (UNKNOWN, "")
    assert store.owner("mine") == (UNKNOWN, "")
    with pytest.raises(StoreError, match="tell the owner"):
        store.owner("mine")


def test_owner_that_no_one_names(make_store, s3):
    store = make_store(flavor="other")
    s3.caller = ""
    s3.owners = {"a": "", "b": "ann"}
    store.survey([])
    assert store.owner("a") == (UNKNOWN, "")
    assert store.owner("b") == (UNKNOWN, "")


@pytest.mark.parametrize(
    ("flavor", "listed", "asked"), [("minio", False, 0), ("aws", True, 0), ("aws", False, 1), ("other", True, 1)]
)
def test_owner_where_the_store_tells_it_otherwise(make_store, s3, flavor, listed, asked):
    s3.owners = {"a": "me"}
    store = make_store(flavor=flavor)
    store.survey([])
    assert store.owner("a", listed=listed) == (SELF, "me")
    assert len(s3.named("get_bucket_acl")) == asked
    assert store.proves_owner()


def test_owner_by_the_filer(make_store, s3):
    s3.owners = {"mine": "me", "theirs": "ann", "nobodys": None}
    store = make_store(with_filer=True)
    store.survey([])
    owners = store.owners()
    assert store.owner("mine", owners) == (SELF, "me")
    assert store.owner("theirs", owners) == (OTHER, "ann")
    assert store.owner("nobodys", owners) == (NOBODY, "")
    s3.owners["late"] = "me"
    assert store.owner("late", owners) == (SELF, "me")
    assert store.filer.asked == ["all", "late"]
    assert store.proves_owner()


def test_a_broken_filer(make_store):
    store = make_store(with_filer=True, broken_filer=True)
    with pytest.raises(StoreError, match="The filer at http://filer answered 500"):
        store.owners()
    with pytest.raises(StoreError, match="The filer at"):
        store.owner("a")


def test_content(store, s3, error):
    s3.owners = {"a": "me"}
    assert store.content("a") == ""
    s3.uploads["a"] = [("k", "u")]
    assert store.content("a") == "unfinished multipart uploads"
    s3.versions["a"] = [("k", "1", True)]
    assert store.content("a") == "delete markers"
    s3.versions["a"] = [("k", "1", False)]
    assert store.content("a") == "objects"
    s3.errors["list_object_versions"] = [error("AccessDenied", 403)]
    with pytest.raises(StoreError, match="refused to list bucket 'a'"):
        store.content("a")


# What is changed


def test_create(make_store, s3):
    assert make_store().create("a")
    assert make_store(region="eu-west-1").create("b", object_lock=True)
    assert make_store(region="us-east-1").create("c")
    assert s3.named("create_bucket") == [
        {"Bucket": "a"},
        {
            "Bucket": "b",
            "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"},
            "ObjectLockEnabledForBucket": True,
        },
        {"Bucket": "c"},
    ]


def test_create_what_is_there(store, s3, error):
    s3.owners = {"mine": "me", "theirs": "ann"}
    assert store.create("mine") is False
    assert store.create("theirs") is False
    # After an answer that was lost, the bucket is the one that this call made.
    s3.errors["create_bucket"] = [error("InternalError", 500)]
    assert store.create("mine") is True
    s3.errors["create_bucket"] = [boto_errors.EndpointConnectionError(endpoint_url="x")]
    assert store.create("mine") is False


def test_create_refused(store, s3, error):
    s3.errors["create_bucket"] = [
        error("AccessDenied", 403),
        error("NotImplemented", 501),
        error("NotImplemented", 501),
    ]
    with pytest.raises(StoreError, match="refused to create bucket 'a'"):
        store.create("a", object_lock=True)
    with pytest.raises(StoreError, match="does not support object lock") as caught:
        store.create("a", object_lock=True)
    assert caught.value.unsupported == ["object_lock"]
    with pytest.raises(StoreError, match="refused to create"):
        store.create("a")


def test_adopt(store, s3, error):
    s3.owners = {"a": None}
    store.adopt("a")
    assert s3.owners == {"a": "me"}
    s3.errors["put_bucket_acl"] = [error("AccessDenied", 403)]
    with pytest.raises(StoreError, match="take over"):
        store.adopt("a")


def test_prove_leaves_nothing(store, s3):
    s3.owners = {"a": "me", "b": "me"}
    s3.features["b"]["versioning"] = "Enabled"
    store.prove("a")
    store.prove("b")
    assert s3.bodies == {}
    assert ["VersionId" in arguments for arguments in s3.named("delete_object")] == [False, True]


@pytest.mark.parametrize(
    ("operation", "step"), [("put_object", "writing"), ("get_object", "reading"), ("delete_object", "deleting")]
)
def test_prove_fails(store, s3, error, operation, step):
    s3.owners = {"a": "me"}
    s3.errors[operation] = [error("AccessDenied", 403)]
    with pytest.raises(StoreError, match=f"no full access to bucket 'a'.*{step}") as caught:
        store.prove("a")
    assert (caught.value.phase, caught.value.safe_to_retry) == ("probe", False)


def test_prove_other_bytes(store, s3, monkeypatch):
    s3.owners = {"a": "me"}
    monkeypatch.setattr(
        type(s3), "on_put_object", lambda self, bucket, key, body: self.bodies.update({(bucket, key): b"x"}) or {}
    )
    with pytest.raises(StoreError, match="other bytes"):
        store.prove("a")


def test_empty(store, s3, monkeypatch):
    monkeypatch.setattr(client_module, "BATCH", 2)
    s3.owners = {"a": "me"}
    s3.versions["a"] = [(f"k{index}", "1", index % 2 == 0) for index in range(7)]
    s3.uploads["a"] = [(f"k{index}", "u") for index in range(5)]
    store.empty("a")
    assert s3.versions["a"] == []
    assert s3.uploads["a"] == []
    assert {len(arguments["Delete"]["Objects"]) for arguments in s3.named("delete_objects")} == {1, 2}


def test_empty_that_does_not_end(store, s3, monkeypatch):
    s3.versions["a"] = [("k", "1", False)]
    monkeypatch.setattr(type(s3), "on_delete_objects", lambda self, bucket, delete: {})
    with pytest.raises(StoreError, match="still lists it"):
        store.empty("a")


def test_empty_refused(store, s3, error, monkeypatch):
    s3.versions["a"] = [("k", "1", False)]
    s3.errors["delete_objects"] = [error("AccessDenied", 403)]
    with pytest.raises(StoreError, match="refused to delete objects of bucket 'a'"):
        store.empty("a")
    errors = {"Errors": [{"Key": "k", "Code": "AccessDenied", "Message": "locked"}]}
    monkeypatch.setattr(type(s3), "on_delete_objects", lambda self, bucket, delete: errors)
    with pytest.raises(StoreError, match="'k' of bucket 'a' cannot be deleted"):
        store.empty("a")


def test_empty_uploads_that_are_gone_already(store, s3, error):
    s3.uploads["a"] = [("k", "u"), ("l", "u")]
    s3.errors["abort_multipart_upload"] = [error("NoSuchUpload", 404), error("AccessDenied", 403)]
    with pytest.raises(StoreError, match="abort an upload"):
        store.empty("a")


def test_delete(store, s3, error):
    s3.owners = {"a": "me"}
    store.delete("a")
    store.delete("a")
    assert s3.owners == {}
    s3.errors["delete_bucket"] = [error("BucketNotEmpty", 409)]
    with pytest.raises(StoreError, match="refused to delete bucket 'a'") as caught:
        store.delete("a")
    assert caught.value.safe_to_retry


# Features

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject"}]}


@pytest.mark.parametrize(
    ("feature", "value", "held", "nothing"),
    [
        ("versioning", "enabled", "enabled", None),
        (
            "policy",
            POLICY,
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:getobject"]}]},
            {},
        ),
        (
            "lifecycle",
            [{"Status": "Enabled"}, {"ID": "p", "Status": "Enabled", "Prefix": "x"}],
            [
                {"Filter": {"Prefix": "x"}, "ID": "p", "Status": "Enabled"},
                {"Filter": {}, "Status": "Enabled"},
            ],
            [],
        ),
        ("tags", {"a": 1}, {"a": "1"}, {}),
    ],
)
def test_features_are_written_and_read_back(store, s3, feature, value, held, nothing):
    s3.owners = {"a": "me"}
    assert store.read_feature(feature, "a") is None
    store.write_feature(feature, "a", value)
    assert store.read_feature(feature, "a") == held
    if nothing is not None:
        store.write_feature(feature, "a", nothing)
        assert store.read_feature(feature, "a") is None


def test_a_lifecycle_rule_is_sent_with_a_filter(store, s3):
    store.write_feature("lifecycle", "a", [{"Status": "Enabled"}, {"Status": "Enabled", "Filter": {}}])
    sent = s3.named("put_bucket_lifecycle_configuration")[0]["LifecycleConfiguration"]["Rules"]
    assert [rule["Filter"] for rule in sent] == [{"Prefix": ""}, {}]


def test_a_policy_is_sent_as_it_is(store, s3):
    store.write_feature("policy", "a", POLICY)
    assert json.loads(s3.named("put_bucket_policy")[0]["Policy"]) == POLICY


def test_object_lock_is_read(store, s3):
    s3.owners = {"a": "me"}
    assert store.read_feature("object_lock", "a") is None
    s3.features["a"]["object_lock"] = "Enabled"
    assert store.read_feature("object_lock", "a") is True


@pytest.mark.parametrize(("code", "status"), [("NotImplemented", 501), ("MethodNotAllowed", 405), ("Odd", 501)])
def test_features_that_the_store_lacks(store, s3, error, code, status):
    s3.errors["get_bucket_tagging"] = [error(code, status)]
    with pytest.raises(AnswerError):
        store.read_feature("tags", "a")
    s3.errors["put_bucket_tagging"] = [error(code, status)]
    with pytest.raises(StoreError, match="does not support tags.*the bucket was kept") as caught:
        store.write_feature("tags", "a", {"a": "b"})
    assert caught.value.unsupported == ["tags"]


def test_a_creation_in_answer_to_a_feature_is_a_feature_that_is_lacking(store, s3, error):
    s3.errors["put_bucket_tagging"] = [error("BucketAlreadyOwnedByYou", 409), error("MalformedXML", 400)]
    with pytest.raises(StoreError, match="does not support tags"):
        store.write_feature("tags", "a", {"a": "b"})
    with pytest.raises(StoreError, match="refused to set the tags of bucket 'a'") as caught:
        store.write_feature("tags", "a", {"a": "b"})
    assert not caught.value.safe_to_retry
