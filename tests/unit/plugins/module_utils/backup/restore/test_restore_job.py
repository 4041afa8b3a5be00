# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import options
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import job as jobs
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import plan

S3 = {"bucket": "b", "access_key": "k", "secret_key": "s3cret"}
LIVE = {"path": "/srv/artifacts"}


def make(**given):
    return jobs.job(options.complete(jobs.spec(), given))


def test_what_is_not_said():
    job = make(source="/sets")
    assert job.options == plan.Options()
    assert (job.wanted, job.source, job.work_dir, job.jobs) == ("latest", "/sets", "/sets", 2)
    assert (job.login.user, job.login.host, job.login.sslmode) == ("mlops_restore", "localhost", "require")
    assert (job.secrets, job.stores, job.absent) == ([], [], False)


def test_all_of_it(tmp_path):
    (tmp_path / "password").write_text("pa ss\n")
    job = make(
        login_user="me",
        login_password_file=str(tmp_path / "password"),
        s3=S3,
        mode="swap",
        databases=["a", "b", "a"],
        artifacts={"live": {**S3, "secret_key": "other"}, "copies": {"path": "/copies"}},
        owner="o",
        target_db="t",
        keep_old=False,
        force=True,
        stop_units=["mlflow.service"],
        check_artifacts="hash",
    )
    assert job.options == plan.Options(
        mode="swap",
        databases=("a", "b"),
        target_db="t",
        owner="o",
        keep_old=False,
        restore_artifacts=True,
        force=True,
    )
    assert job.login.password == "pa ss"
    assert sorted(job.secrets) == ["other", "pa ss", "s3cret"]
    assert (job.copies.path, job.live.s3.bucket, job.stop_units) == ("/copies", "b", ("mlflow.service",))
    assert (job.work_dir, job.check_artifacts) == ("/var/tmp", "hash")
    assert len(job.stores) == 2


@pytest.mark.parametrize(
    "more, restores",
    [
        ({"mode": "swap"}, False),
        ({"mode": "swap", "artifacts": {"live": LIVE}}, True),
        ({"mode": "swap", "artifacts": {"live": LIVE, "restore": False}}, False),
        ({"artifacts": {"live": LIVE}}, False),
        ({"artifacts": {"live": LIVE, "restore": True}}, True),
        ({"mode": "swap", "check_artifacts": "none", "artifacts": {"live": LIVE, "restore": False}}, False),
    ],
)
def test_whether_artifacts_come_back(more, restores):
    assert make(source="/sets", **more).options.restore_artifacts is restores


@pytest.mark.parametrize(
    "given, message",
    [
        ({}, "Set source to the folder with the sets"),
        ({"source": "/sets", "s3": S3}, "source and s3 are both set"),
        ({"s3": S3, "set": "/sets/a"}, "set is a path, which does not go with s3"),
        ({"source": "/sets", "jobs": 0}, "jobs must be 1 at least"),
        ({"source": "/sets", "timeout": 0}, "timeout must be 1 at least"),
        ({"source": "/sets", "stop_units": ["a"]}, "stop_units goes with mode=swap only"),
        ({"source": "/sets", "artifacts": {"restore": True}}, "artifacts.restore needs artifacts.live"),
        (
            {"source": "/sets", "check_artifacts": "none", "artifacts": {"live": LIVE, "restore": True}},
            "artifacts.restore needs artifacts.live, and check_artifacts other than none",
        ),
        ({"state": "absent", "set": "a", "mode": "swap"}, "state=absent drops scratch restores only"),
        ({"state": "absent"}, "set set to a label"),
        ({"s3": {**S3, "prefix": "a//b"}}, "s3.prefix is 'a//b'"),
        ({"source": "/sets", "artifacts": {"live": {**S3, "prefix": ".."}}}, "artifacts.live.prefix is '..'"),
        ({"source": "/sets", "artifacts": {"copies": {**S3, "prefix": "a/./b"}}}, "artifacts.copies.prefix is 'a/./b'"),
    ],
)
def test_options_that_do_not_fit(given, message):
    with pytest.raises(BackupError, match=message) as caught:
        make(**given)
    assert caught.value.phase == "options"


def test_places_that_need_no_source():
    assert make(set="/sets/a").work_dir == "/var/tmp"
    assert make(state="absent", set="a").absent is True
    assert make(source="/sets", work_dir="/work").work_dir == "/work"
