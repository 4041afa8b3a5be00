# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import options, settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.retention import Policy

STORE = {"bucket": "b", "access_key": "k", "secret_key": "canary-store", "endpoint_url": "http://s3:8333"}


def made(**given):
    params = options.complete(options.backup_spec(), {"dest": "/sets", "databases": ["mlflow"], **given})
    return settings.settings(params)


def test_the_least():
    found = made(login_password="canary-login")
    assert found.sets == settings.Sets(pathlib.Path("/sets"), databases=("mlflow",), timeout=21600)
    # A look at sets has a limit of its own.
    assert settings.sets(options.complete(options.sets_spec(), {"dest": "/sets"})).timeout == 1800
    assert (found.login.user, found.login.password, found.databases) == ("mlops_backup", "canary-login", ("mlflow",))
    assert (found.artifacts.mode, found.restore_login, found.stores) == ("none", None, [])
    assert found.secrets == ["canary-login"]
    assert "canary" not in repr(found)


def test_everything(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("canary-file\n")
    found = made(
        databases=["a", "b", "a"],
        login_user="other",
        login_password_file=str(secret),
        verify="restore",
        restore_password="canary-restore",
        s3={**STORE, "prefix": "x", "expire": True},
        max_age="1h",
        min_size="1K",
        retention={"keep_last": 3, "monthly": 1},
        artifacts={"source": {"path": "/artifacts"}, "destination": {**STORE, "secret_key": "canary-copies"}},
        encrypt_to=["age1x"],
        versions={"mlflow": "3.17.2"},
    )
    assert found.databases == ("a", "b")
    assert (found.sets.max_age, found.sets.min_size) == (3600, 1024)
    assert found.sets.policy == Policy(keep_last=3, monthly=1)
    assert (found.sets.s3.expire, found.sets.s3.prefix) == (True, "x")
    assert (found.restore_login.user, found.restore_login.host) == ("mlops_restore", "localhost")
    assert (found.artifacts.mode, found.artifacts.source.path) == ("copy", "/artifacts")
    assert set(found.secrets) == {"canary-file", "canary-restore", "canary-store", "canary-copies"}
    assert len(found.stores) == 2
    assert "canary" not in repr(found)


def test_where_copies_of_artifacts_go():
    source = {"path": "/artifacts"}
    assert made(artifacts={"source": source}).artifacts.destination.path == "/sets/artifacts"
    assert made(artifacts={"source": source, "mode": "inventory"}).artifacts.destination is None
    assert made(artifacts={"source": source, "mode": "none"}).artifacts == settings.Artifacts()
    assert made(artifacts={"source": STORE}).artifacts.source.s3.bucket == "b"
    assert made(artifacts={"source": source}).sets.copies is None
    assert made(artifacts={"source": source, "destination": {"path": "/copies"}}).sets.copies.path == "/copies"


def test_the_sets_alone():
    given = {"dest": "/sets", "s3": STORE, "artifacts": {"destination": {**STORE, "bucket": "c"}}}
    found = settings.sets(options.complete(options.sets_spec(), given))
    assert [place.bucket for place in found.stores] == ["b", "c"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dest": "sets"}, "dest is sets and must be an absolute path"),
        ({"databases": []}, "databases is empty"),
        ({"state": "absent"}, "label is missing"),
        ({"label": "a/b"}, "is no label"),
        ({"jobs": 0}, "jobs must be 1 at least"),
        ({"timeout": 0}, "timeout must be 1 at least"),
        ({"lock_timeout": -1}, "lock_timeout cannot be negative"),
        ({"free_space_factor": -0.1}, "free_space_factor cannot be negative"),
        ({"minimum_redundancy": 0}, "minimum_redundancy must be 1 at least"),
        ({"retention": {"weekly": -1}}, "retention.weekly cannot be negative"),
        ({"login_password": "a", "login_password_file": "/b"}, "login_password and login_password_file are both set"),
        ({"login_password_file": "/nowhere"}, "file /nowhere that login_password_file names cannot be read: No such"),
        ({"s3": {"bucket": "b", "secret_key": "x"}}, "s3.access_key is missing"),
        ({"s3": {"bucket": "b", "access_key": "x"}}, "s3.secret_key is missing"),
        ({"s3": {**STORE, "endpoint_url": "s3:8333"}}, "s3.endpoint_url must be a URL"),
        ({"s3": {**STORE, "endpoint_url": "http://u:p@s3"}}, "must not hold a user or a password"),
        ({"s3": {**STORE, "prefix": "a//b"}}, "s3.prefix is 'a//b' and must be names with one slash between them"),
        ({"s3": {**STORE, "prefix": "./a"}}, "s3.prefix is './a'"),
        ({"artifacts": {"source": {**STORE, "prefix": "a/../b"}}}, "artifacts.source.prefix is 'a/../b'"),
        ({"artifacts": {"destination": {**STORE, "prefix": "/a/."}}}, "artifacts.destination.prefix is '/a/.'"),
        ({"artifacts": {"mode": "copy"}}, "artifacts.source is missing"),
        ({"artifacts": {"source": {"path": "/a", **STORE}}}, "artifacts.source needs a path or a bucket, and not both"),
        ({"artifacts": {"source": {"prefix": "a"}}}, "artifacts.source needs a path or a bucket"),
    ],
)
def test_what_cannot_be(given, message):
    with pytest.raises(BackupError, match=message) as caught:
        made(**given)
    assert caught.value.phase == "options"


@pytest.mark.parametrize(
    ("given", "prefix"), [("", ""), ("/", ""), ("a", "a"), ("a/", "a"), ("//a/b.c//", "a/b.c"), ("..a/.b", "..a/.b")]
)
def test_the_prefix_of_a_store(given, prefix):
    assert made(s3={**STORE, "prefix": given}).sets.s3.prefix == prefix


def test_a_prefix_that_is_null():
    assert settings.s3({**options.complete(options.s3_spec(), STORE), "prefix": None}, "s3").prefix == ""


def test_secret_files_that_cannot_be_used(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(BackupError, match="is empty"):
        made(login_password_file=str(tmp_path / "empty"))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(BackupError, match="it is no text"):
        made(login_password_file=str(tmp_path / "bytes"))


def test_other_states_need_no_databases():
    assert made(state="expired", databases=[]).state == "expired"
    assert made(state="absent", databases=[], label="x").label == "x"
    without_endpoint = made(s3={**STORE, "endpoint_url": None})
    assert without_endpoint.sets.s3.endpoint_url is None
