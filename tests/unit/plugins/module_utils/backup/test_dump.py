# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import dump
from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.dump import Tool
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result

OLD = Tool("/pg15", 15, "15.14")
NEW = Tool("/pg17", 17, "17.6")
LOGIN = Login("db.example.org", 5433, "mlops_backup", "secret")


def result(rc=1, err="", timed_out=False):
    return Result(rc, "", err, timed_out, 12.4)


def test_tools_are_found_in_packages_and_in_the_path(tmp_path):
    for name in ("a/17/bin", "a/16/bin"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "pg_dump").write_text("")
    (tmp_path / "a/empty/bin").mkdir(parents=True)
    found = dump.candidates((f"{tmp_path}/a/*/bin", f"{tmp_path}/b/*/bin"), lambda _name: "/usr/bin/pg_dump")
    assert found == [f"{tmp_path}/a/16/bin", f"{tmp_path}/a/17/bin", "/usr/bin"]
    assert dump.candidates((f"{tmp_path}/b/*/bin",), lambda _name: None) == []


def test_each_tool_tells_its_version():
    said = {
        "/a": "pg_dump (PostgreSQL) 17.6 (Debian 17.6-1)",
        "/b": "pg_dump (PostgreSQL) 18beta1",
        "/c": "",
    }
    asked = []

    def runner(argv, _timeout):
        asked.append(argv)
        return Result(0, said[argv[0].removesuffix("/pg_dump")], "", False, 0.1)

    assert dump.find_tools(["/a", "/b", "/c"], runner) == [Tool("/a", 17, "17.6"), Tool("/b", 18, "18beta1")]
    assert asked[0] == ["/a/pg_dump", "--version"]


@pytest.mark.parametrize(("server", "chosen"), [(15, OLD), (16, NEW), (17, NEW), (9, OLD)])
def test_the_nearest_tool_that_is_no_older_than_the_server(server, chosen):
    assert dump.choose([NEW, OLD], server) is chosen


@pytest.mark.parametrize(
    ("tools", "message"),
    [([], "there is no pg_dump here: install the package postgresql-client-18"), ([NEW, OLD], "pg_dump 17 is too old")],
)
def test_no_tool_that_can(tools, message):
    with pytest.raises(BackupError, match=message):
        dump.choose(tools, 18)


@pytest.mark.parametrize(
    ("wanted", "tool", "found"),
    [
        ("auto", NEW, ("zstd:1", "--compress=zstd:1")),
        ("auto", OLD, ("gzip:1", "--compress=1")),
        ("gzip", OLD, ("gzip", "--compress=6")),
        ("gzip:9", OLD, ("gzip:9", "--compress=9")),
        ("none", OLD, ("none", "--compress=0")),
        ("none", NEW, ("none", "--compress=none")),
        ("lz4", NEW, ("lz4", "--compress=lz4")),
        ("zstd:3", NEW, ("zstd:3", "--compress=zstd:3")),
    ],
)
def test_compression(wanted, tool, found):
    assert dump.compression(wanted, tool) == found


@pytest.mark.parametrize(("wanted", "message"), [("bzip2", "must be auto"), ("zstd", "pg_dump 15 cannot do")])
def test_compression_that_cannot_be(wanted, message):
    with pytest.raises(BackupError, match=message):
        dump.compression(wanted, OLD)


def test_arguments_hold_no_secret_and_no_shell():
    connection = dump.connection_string("it's\\odd", {"keepalives": 1})
    assert connection == "dbname='it\\'s\\\\odd' keepalives='1'"
    argv = dump.dump_argv(
        NEW, connection, "/sets/x", jobs=3, compress="--compress=zstd:1", snapshot="0003-1", lock_timeout=60
    )
    assert argv == [
        "/pg17/pg_dump",
        f"--dbname={connection}",
        "--format=directory",
        "--jobs=3",
        "--compress=zstd:1",
        "--snapshot=0003-1",
        "--lock-wait-timeout=60000",
        "--no-password",
        "--no-sync",
        "--file=/sets/x",
    ]
    globals_ = dump.globals_argv(NEW, dump.connection_string("a=b", {}), "/sets/g", lock_timeout=2)
    assert globals_[0] == "/pg17/pg_dumpall"
    assert {"--globals-only", "--no-role-passwords", "--lock-wait-timeout=2000"} <= set(globals_)
    # As the name alone, it would be taken for the value b of an option a.
    assert "--database=dbname='a=b'" in globals_


def test_the_environment_names_the_server_and_nothing_else_does(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "other")
    monkeypatch.setenv("PGSERVICE", "other")
    monkeypatch.setenv("KEPT", "yes")
    found = dump.environment(LOGIN, "/pass")
    assert {name: value for name, value in found.items() if name.startswith("PG")} == {
        "PGHOST": "db.example.org",
        "PGPORT": "5433",
        "PGUSER": "mlops_backup",
        "PGSSLMODE": "require",
        "PGPASSFILE": "/pass",
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": "mlops.stack backup",
    }
    assert (found["KEPT"], found["LC_ALL"]) == ("yes", "C")
    assert dump.environment(Login("db", ca_cert="/ca.pem"), "/pass")["PGSSLROOTCERT"] == "/ca.pem"


def test_the_password_file_is_private_escaped_and_gone():
    with dump.passfile("a:b\\c") as path:
        with open(path, encoding="utf-8") as stream:
            assert stream.read() == "*:*:*:*:a\\:b\\\\c\n"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_ISREG(os.stat(path).st_mode)
    assert not os.path.exists(path)
    with dump.passfile(None) as path:
        assert path == "/dev/null"
    with pytest.raises(BackupError, match="holds a line break"), dump.passfile("a\nb"):
        pytest.fail("it cannot be written")


def test_warnings_are_no_failure():
    said = "pg_dump: warning: there are circular foreign-key constraints\npg_dump: detail: x\n"
    assert dump.check(result(0, said), "pg_dump", "dump", LOGIN, "/sets") == [said.splitlines()[0]]


@pytest.mark.parametrize(
    ("err", "why"),
    [
        ("pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout", "longer than lock_timeout"),
        ("pg_dump: error: could not write to file: No space left on device", "there is no space left in /sets"),
        ("pg_dump: error: could not write to file: Disk quota exceeded", "the disk quota of /sets is used up"),
        ("pg_dump: error: could not create directory: Read-only file system", "/sets is on a read-only file system"),
        ("pg_dump: error: connection failed: password authentication failed", "refuses the password of user mlops_ba"),
        ("pg_dump: error: connection failed: fe_sendauth: no password supplied", "refuses the password"),
        ("pg_dump: error: query failed: ERROR:  permission denied for table runs", "GRANT pg_read_all_data TO mlops_"),
        ("pg_dump: error: this build does not support compression with ZSTD", "set compress to gzip"),
        ("pg_dump: error: server closed the connection unexpectedly", "the server went away"),
        ("pg_dump: detail: Error message from server: SSL SYSCALL error: EOF detected", "the server went away"),
        ("pg_dump: error: something else.", "failed: pg_dump: error: something else."),
        ("", "failed: it ended with status 1."),
    ],
)
def test_what_is_behind_a_failure(err, why):
    with pytest.raises(BackupError) as caught:
        dump.check(result(1, err), "pg_dump of mlflow", "dump", LOGIN, "/sets")
    assert caught.value.message.startswith("pg_dump of mlflow at db.example.org:5433 failed: ")
    assert why in caught.value.message
    assert not caught.value.message.endswith("..")
    assert (caught.value.rc, caught.value.phase, caught.value.stderr_tail) == (1, "dump", err)


def test_killed_and_too_slow_are_told():
    with pytest.raises(BackupError, match="ended by signal 9"):
        dump.check(result(-9), "pg_dump", "dump", LOGIN, "/sets")
    with pytest.raises(BackupError, match="did not end within 12 seconds"):
        dump.check(result(-9, timed_out=True), "pg_dump", "dump", LOGIN, "/sets")


def test_the_tail_is_the_last_twenty_lines():
    assert dump.tail("\n".join(str(number) for number in range(30))).splitlines() == [str(n) for n in range(10, 30)]
