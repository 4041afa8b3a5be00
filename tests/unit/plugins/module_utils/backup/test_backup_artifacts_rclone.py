# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib
import time
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import rclone
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result

FINE = Result(0, "", "", False, 0.1)


def place(is_folder=False, ca_bundle=None):
    return types.SimpleNamespace(is_folder=is_folder, ca_bundle=ca_bundle)


def line(level="error", **fields):
    return json.dumps({"level": level, **fields}) + "\n"


def test_argv():
    argv = rclone.copy_argv("SRC:a", "DST:b", "/names", "/log")
    assert argv[:5] == ["rclone", "copy", "SRC:a", "DST:b", "--files-from-raw=/names"]
    assert "--log-file=/log" in argv
    argv = rclone.hash_argv("SRC:a", "/names", "/log", "/out")
    assert argv[:5] == ["rclone", "hashsum", "sha256", "SRC:a", "--download"]
    assert "--output-file=/out" in argv


def test_environment(monkeypatch):
    monkeypatch.setenv("RCLONE_BWLIMIT", "1")
    monkeypatch.setenv("AWS_CA_BUNDLE", "x")
    monkeypatch.setenv("KEPT", "y")
    env = rclone.environment([{"RCLONE_CONFIG_SRC_TYPE": "s3"}, {"RCLONE_CONFIG_DST_TYPE": "local"}], None)
    assert "AWS_CA_BUNDLE" not in env
    assert {name for name in env if name.startswith("RCLONE_")} == {
        *("RCLONE_CONFIG", "RCLONE_CONFIG_SRC_TYPE", "RCLONE_CONFIG_DST_TYPE")
    }
    assert (env["KEPT"], env["LC_ALL"]) == ("y", "C")
    assert rclone.environment([], pathlib.Path("/ca"))["RCLONE_CA_CERT"] == "/ca"


def test_write_bundle(tmp_path):
    for name in ("one", "two", "system"):
        (tmp_path / name).write_text(name.upper())
    one, two = place(ca_bundle=tmp_path / "one"), place(ca_bundle=tmp_path / "two")
    target = tmp_path / "bundle"
    assert rclone.write_bundle([place(), place(True)], target) is None
    assert rclone.write_bundle([one, place(True)], target) == target
    assert target.read_text() == "ONE"
    rclone.write_bundle([two, one], target)
    assert target.read_text() == "ONE\nTWO"
    rclone.write_bundle([one, place()], target, str(tmp_path / "system"))
    assert target.read_text() == "ONE\nSYSTEM"
    rclone.write_bundle([one, place()], target, str(tmp_path / "none"))
    assert target.read_text() == "ONE"
    rclone.write_bundle([one, place()], target)
    assert target.read_text().startswith("ONE")


def test_read_log():
    text = (
        line("notice", msg="begun")
        + line(object="a", msg="no space")
        + line(msg="failed")
        + line("notice", stats={"bytes": 1})
        + line("notice", stats={"bytes": 2})
        + '{"level": "err'
    )
    assert rclone.read_log(text) == ([("a", "no space"), ("", "failed")], {"bytes": 2})
    assert rclone.read_log("") == ([], {})


@pytest.mark.parametrize("name", ["a\u0085b", "a\u2028b", "a\u2029b"])
def test_a_name_with_a_line_separator_is_read_from_the_log(name):
    text = json.dumps({"level": "error", "object": name, "msg": "no space"}, ensure_ascii=False) + "\n"
    assert rclone.read_log(text)[0] == [(name, "no space")]


def test_scrub():
    assert rclone.scrub("key hunter2 and hunter2", ["hunter2", "", None]) == "key *** and ***"


@pytest.mark.parametrize(
    ("result", "errors", "says", "tail"),
    [
        (Result(127, "", "rclone: none", False, 0), [], "install the Debian package rclone", "rclone: none"),
        (Result(-9, "", "", True, 0), [], "did not end in time", ""),
        (Result(1, "", "one\ntwo s3cret\n", False, 0), [], "Copying failed: two ***", "one\ntwo ***"),
        (Result(1, "", "x", False, 0), [("a", "m"), ("", "s3cret")], "Copying failed: ***", "a: m\n***"),
        (Result(1, "", "", False, 0), [], "rclone ended with 1", ""),
    ],
)
def test_failure(result, errors, says, tail):
    error = rclone.failure(result, errors, "Copying", ["s3cret"])
    assert says in error.message
    assert (error.rc, error.stderr_tail, error.phase) == (result.rc, tail, "artifacts")


def test_run(tmp_path):
    log = tmp_path / "log"
    log.write_text("old")

    def runner(argv, timeout, env):
        assert (argv, timeout, env) == (["rclone"], 5, {"A": "b"})
        assert not log.exists()
        return FINE

    assert rclone.run(["rclone"], {"A": "b"}, 5, log, runner=runner) == (FINE, [])


def test_run_tells_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(rclone, "POLL_SECONDS", 0.01)
    log = tmp_path / "log"
    told = []

    def runner(argv, timeout, env):
        time.sleep(0.1)
        log.write_text(line("notice", msg="begun"))
        time.sleep(0.1)
        log.write_text(line("notice", stats={"transfers": 2, "bytes": 30}) + line(msg="failed"))
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
        return FINE

    result, errors = rclone.run(["rclone"], {}, 5, log, lambda *far: told.append(far), runner)
    assert (result, errors) == (FINE, [("", "failed")])
    assert set(told) == {(2, 30)}
