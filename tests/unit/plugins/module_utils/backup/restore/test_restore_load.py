# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.dump import Tool
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import load
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Result

OLD, NEW = Tool("/15", 15, "15.18"), Tool("/17", 17, "17.12")
UNKNOWN = (
    'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"'
)


@pytest.fixture(name="archive")
def fixture_archive(tmp_path):
    """A function that makes an archive of a kind under a name that says nothing."""

    def make(kind):
        path = tmp_path / "dump.sql.gz"
        if kind == "directory":
            path.mkdir()
            (path / "toc.dat").write_bytes(b"PGDMP\1\2")
        elif kind == "custom":
            path.write_bytes(b"PGDMP\1\2")
        elif kind == "tar":
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as stream:
                info = tarfile.TarInfo("toc.dat")
                info.size = 7
                stream.addfile(info, io.BytesIO(b"PGDMP\1\2"))
        else:
            path.write_bytes(kind)
        return path

    return make


@pytest.mark.parametrize("kind", ["directory", "custom", "tar"])
def test_archives_are_known_by_their_content(archive, kind):
    assert load.archive_format(archive(kind)) == kind


@pytest.mark.parametrize("content", [b"", b"PGDM", b"CREATE TABLE", b"\x1f\x8b\x08", b"toc.dat" + b"\0" * 505])
def test_what_is_no_archive(archive, content):
    with pytest.raises(BackupError, match="is no archive of pg_dump") as caught:
        load.archive_format(archive(content))
    assert caught.value.safe_to_retry is False


def test_an_archive_that_is_not_there(tmp_path):
    with pytest.raises(BackupError, match="nothing cannot be read: No such file"):
        load.archive_format(tmp_path / "nothing")


@pytest.mark.parametrize(
    "server, dump, chosen",
    [(15, 15, OLD), (17, 15, NEW), (15, 17, NEW), (16, 15, NEW), (18, 15, NEW), (14, 14, OLD)],
)
def test_the_program_is_chosen(server, dump, chosen):
    assert load.choose([NEW, OLD], server, dump) == chosen
    assert load.choose([OLD, NEW], server, dump) == chosen


def test_no_program_can_read_the_set():
    with pytest.raises(BackupError, match="install postgresql-client-18"):
        load.choose([OLD, NEW], 18, 18)


def test_arguments(archive):
    path = archive("directory")
    argv = load.arguments(OLD, 15, path, "it's=new", "own er", 4)
    assert argv[1].startswith("--dbname=dbname='it\\'s=new' keepalives='1'")
    assert [argv[0], *argv[2:]] == [
        "/15/pg_restore",
        "--no-password",
        "--no-owner",
        "--role=own er",
        "--exit-on-error",
        "--jobs=4",
        str(path),
    ]
    assert "--jobs=1" not in load.arguments(OLD, 15, path, "db", "o", 1)


def test_one_connection_for_a_tar_archive(archive):
    assert not [word for word in load.arguments(OLD, 15, archive("tar"), "d", "o", 4) if word.startswith("--jobs")]


def test_a_newer_program_may_say_its_one_harmless_error(archive):
    path = archive("custom")
    assert "--exit-on-error" not in load.arguments(NEW, 15, path, "d", "o", 2)
    assert "--exit-on-error" in load.arguments(NEW, 17, path, "d", "o", 2)
    assert "--exit-on-error" in load.arguments(OLD, 15, path, "d", "o", 2)


def result(rc, err="", timed_out=False):
    return Result(rc, "", err, timed_out, 12.3)


def test_warnings_are_given_back():
    err = "pg_restore: warning: something odd\nother\npg_restore: warning: errors ignored on restore: 2\n"
    assert load.judge(result(0, err), False, "d") == ["pg_restore: warning: something odd"]


def test_the_harmless_error_is_no_failure_where_it_is_expected():
    err = f"{UNKNOWN}\nCommand was: SET transaction_timeout = 0;\npg_restore: warning: errors ignored on restore: 1\n"
    assert load.judge(result(1, err), True, "d") == []
    for told, tolerated in ((result(1, err), False), (result(-9, err), True)):
        with pytest.raises(BackupError):
            load.judge(told, tolerated, "d")
    with pytest.raises(BackupError, match="could not execute query: boom"):
        load.judge(result(1, "pg_restore: error: could not execute query: boom\n" + err), True, "d")
    with pytest.raises(BackupError, match="ended with status 1"):
        load.judge(result(1, ""), True, "d")


@pytest.mark.parametrize(
    "told, message",
    [
        (result(1, 'x: ERROR:  role "grafana" does not exist'), "the role 'grafana', which the set grants rights to"),
        (result(1, 'ERROR:  extension "vector" is not available'), "the extension 'vector' is not installed"),
        (result(1, 'ERROR:  permission denied to create extension "x"'), "only a superuser may make the extension 'x'"),
        (result(1, "could not extend file: No space left on device"), "a disk is full"),
        (result(1, "unsupported version (1.16) in file header"), "made by a newer pg_dump"),
        (result(1, "server closed the connection unexpectedly"), "the server went away"),
        (result(-9), "pg_restore ended with status -9"),
        (result(-9, timed_out=True), "it took longer than 12 seconds"),
        (result(127, "pg_restore: No such file or directory"), "ended with status 127"),
    ],
)
def test_failures_name_their_cause(told, message):
    with pytest.raises(BackupError, match=message) as caught:
        load.judge(told, False, "mlflow__new_x")
    assert "'mlflow__new_x'" in caught.value.message
    assert (caught.value.phase, caught.value.rc, caught.value.stderr_tail) == ("load", told.rc, told.err.strip())
