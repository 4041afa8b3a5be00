# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import sys

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.config_files import disk
from ansible_collections.mlops.stack.plugins.module_utils.config_files.work import ensure
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted, Result

ENTRY = {"state": "file", "content": None, "secret_content": None, "owner": None, "group": None, "mode": None}


@pytest.fixture(name="call")
def _call(tmp_path):
    """One call of the module with entries whose paths lie in a folder of the test."""

    def call(*entries, check=False):
        absolute = [
            {**ENTRY, "validate": None, "force": True, **entry, "path": str(tmp_path / entry["path"])}
            for entry in entries
        ]
        failed, result = ensure(absolute, check)
        assert failed is ("msg" in result)
        assert result["changed"] is bool(result["changed_paths"])
        result["changed_paths"] = [os.path.relpath(path, tmp_path) for path in result["changed_paths"]]
        return result

    return call


@pytest.fixture(autouse=True)
def _umask():
    """Modes are what they are said to be, whatever the mask."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def names(folder):
    return sorted(os.listdir(folder))


def test_check_apply_repeat_absent(call, tmp_path):
    wanted = [
        {"path": "d", "state": "directory"},
        {"path": "d/a", "content": "1\n"},
        {"path": "d/s", "secret_content": "k"},
    ]
    planned = call(*wanted, check=True)
    assert planned["changed_paths"] == ["d", "d/a", "d/s"]
    assert names(tmp_path) == []
    made = call(*wanted)
    assert made == planned
    assert (tmp_path / "d/a").read_text() == "1\n"
    assert [mode(tmp_path / path) for path in ("d", "d/a", "d/s")] == [0o755, 0o644, 0o600]
    assert names(tmp_path / "d") == ["a", "s"]
    assert call(*wanted) == {"changed": False, "changed_paths": [], "diff": []}
    gone = [{"path": path, "state": "absent"} for path in ("d/a", "d/s", "d")]
    assert call(*gone, check=True)["changed_paths"] == ["d/a", "d/s", "d"]
    assert call(*gone)["changed_paths"] == ["d/a", "d/s", "d"]
    assert names(tmp_path) == []
    assert not call(*gone)["changed"]


def test_drift_of_the_mode_is_mended_and_the_time_kept(call, tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "d").mkdir(0o700)
    os.utime(tmp_path / "a", (1000, 1000))
    wanted = [{"path": "a", "content": "1", "mode": "0640"}, {"path": "d", "state": "directory"}]
    result = call(*wanted)
    assert result["changed_paths"] == ["a", "d"]
    assert "mode: 0600\n" in result["diff"][0]["before"] and "mode: 0640\n" in result["diff"][0]["after"]
    assert (mode(tmp_path / "a"), mode(tmp_path / "d")) == (0o640, 0o755)
    assert os.stat(tmp_path / "a").st_mtime == 1000
    assert not call(*wanted)["changed"]


def test_a_new_content_is_a_new_file(call, tmp_path):
    (tmp_path / "a").write_text("old")
    os.link(tmp_path / "a", tmp_path / "b")
    assert call({"path": "a", "content": "new"})["changed_paths"] == ["a"]
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("new", "old")


def test_the_first_wrong_entry_stops_everything(call, tmp_path):
    (tmp_path / "link").symlink_to("elsewhere")
    result = call({"path": "a", "content": "1"}, {"path": "link", "content": "1"})
    assert (result["phase"], result["safe_to_retry"], result["changed"]) == ("check", False, False)
    assert result["msg"].startswith(f"{tmp_path}/link: is a symbolic link")
    assert names(tmp_path) == ["link"]


def test_kinds_are_told_apart(call, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    assert "is neither a file nor a folder" in call({"path": "pipe", "content": "1"})["msg"]
    assert f"{tmp_path}/file is no folder" in call({"path": "file/a", "content": "1"})["msg"]
    assert f"its folder {tmp_path}/no does not exist" in call({"path": "no/a", "content": "1"})["msg"]
    assert f"its folder {tmp_path}/file/no does not exist" in call({"path": "file/no/a", "content": "1"})["msg"]
    assert "is a folder that is not empty" in call({"path": ".", "state": "absent"})["msg"]
    assert call({"path": "alias/a", "content": "1"})["changed"]
    assert names(tmp_path / "real") == ["a"]


def test_something_that_cannot_be_read_or_made_is_said(call, tmp_path, monkeypatch):
    name = "n" * 300
    assert call({"path": name, "content": "1"})["msg"] == f"{tmp_path}/{name}: cannot be read: File name too long."

    def no_space(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", no_space)
    result = call({"path": "d", "state": "directory"}, {"path": "a", "content": "1"})
    assert result["msg"] == f"{tmp_path}/a: cannot be written: No space left on device."
    assert (result["phase"], result["safe_to_retry"], result["path"]) == ("write", True, f"{tmp_path}/a")
    assert result["changed_paths"] == ["d"]
    assert names(tmp_path) == ["d"]


def test_an_owner_that_cannot_be_given_is_said(call, tmp_path, monkeypatch):
    def refuse(_descriptor, _uid, _gid):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(disk.os, "fchown", refuse)
    (tmp_path / "old").write_text("1")
    for entry in ({"path": "a", "content": "1"}, {"path": "d", "state": "directory"}, {"path": "old", "content": "1"}):
        result = call({**entry, "owner": "12345", "group": "54321"})
        assert f"{tmp_path}/{entry['path']}: cannot be given to 12345:54321: run the module as root." == result["msg"]
    assert names(tmp_path) == ["old"]


def test_an_owner_is_given_before_the_mode(call, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(disk.os, "fchown", lambda _descriptor, uid, gid: calls.append((uid, gid)))
    monkeypatch.setattr(disk.os, "fchmod", lambda _descriptor, mode: calls.append(mode))
    call({"path": "a", "content": "1", "owner": "12345", "group": "54321", "mode": "4755"})
    assert calls == [(12345, 54321), 0o4755]


def test_an_interruption_leaves_nothing_behind(call, tmp_path, monkeypatch):
    def interrupt(_old, _new):
        raise Interrupted("interrupted by SIGTERM")

    monkeypatch.setattr(disk.os, "rename", interrupt)
    result = call({"path": "a", "content": "1"})
    assert result["msg"] == "The call was interrupted by SIGTERM: repeat it; no file was left half written."
    assert names(tmp_path) == []


@pytest.mark.parametrize("given", ["root", "0"])
def test_accounts_by_name_and_number(given):
    assert disk.find_user(given) == (0, given)
    assert disk.find_group(given) == (0, given)


def test_accounts_that_are_not_there():
    assert disk.find_user("nobody-yet") == (None, "nobody-yet")
    assert disk.find_group("nobody-yet") == (None, "nobody-yet")
    assert disk.find_user(None) == (os.geteuid(), disk.user_name(os.geteuid()))
    assert disk.find_group(None) == (os.getegid(), disk.group_name(os.getegid()))
    assert (disk.user_name(4123456789), disk.group_name(4123456789)) == ("4123456789", "4123456789")


def test_an_unknown_owner_in_check_mode_and_without(call):
    entry = {"path": "a", "content": "1", "owner": "nobody-yet"}
    assert call(entry, check=True)["changed_paths"] == ["a"]
    assert "the user 'nobody-yet' does not exist on this host" in call(entry)["msg"]


PYTHON = f"{sys.executable} -c"


@pytest.mark.parametrize("old", [None, "old"])
def test_a_refused_content_leaves_the_old_one(call, tmp_path, old):
    if old:
        (tmp_path / "a").write_text(old)
    script = "import sys; print(open(sys.argv[1]).read()); print(sys.argv[1] + ': line 1 is wrong'); sys.exit(3)"
    result = call({"path": "a", "content": "new", "validate": f'{PYTHON} "{script}" %s'})
    assert (result["phase"], result["rc"], result["changed"]) == ("validate", 3, False)
    assert result["stderr_tail"] == f"new\n{tmp_path}/a: line 1 is wrong"
    assert result["msg"].endswith(f"It says: {tmp_path}/a: line 1 is wrong")
    assert names(tmp_path) == (["a"] if old else [])
    assert not old or (tmp_path / "a").read_text() == old


def test_a_refused_secret_is_not_shown(call):
    script = "import sys; print(open(sys.argv[1]).read()); sys.exit(1)"
    result = call({"path": "a", "secret_content": "one-canary\ntwo-canary\n", "validate": f'{PYTHON} "{script}" %s'})
    assert result["phase"] == "validate"
    assert "canary" not in str(result)
    assert "(hidden, because the file's content is)" in result["msg"]


@pytest.mark.parametrize("kind", ["content", "secret_content"])
def test_a_silent_refusal(call, kind):
    result = call({"path": "a", kind: "1", "validate": "false %s"})
    assert result["msg"].endswith("is refused by false (exit status 1): correct it; the file was left as it was.")
    assert result["stderr_tail"] == ""


def test_an_accepted_content_is_seen_with_its_mode_and_ending(call, tmp_path):
    script = "import os, sys; sys.exit(os.stat(sys.argv[1]).st_mode & 0o777 != 0o640 or sys.argv[1][-5:] != '.conf')"
    entry = {"path": "a.conf", "content": "1", "mode": "0640", "validate": f'{PYTHON} "{script}" %s'}
    assert call(entry)["changed_paths"] == ["a.conf"]
    assert names(tmp_path) == ["a.conf"]


def test_a_validation_that_hangs(call, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "run", lambda argv, timeout: Result(-9, "", "", True, timeout))
    result = call({"path": "a", "content": "1", "validate": "check %s"})
    assert result["msg"] == f"{tmp_path}/a: check took longer than 60 s."
    assert names(tmp_path) == []


def test_everything_is_validated_before_anything_is_written(call, tmp_path):
    (tmp_path / "old").write_text("old")
    wanted = [
        {"path": "first", "content": "1"},
        {"path": "d", "state": "directory"},
        {"path": "d/good", "content": "1", "validate": "true %s"},
        {"path": "old", "content": "new", "validate": "false %s"},
    ]
    result = call(*wanted)
    assert (result["phase"], result["path"], result["changed_paths"]) == ("validate", f"{tmp_path}/old", [])
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"
    wanted[3]["validate"] = "true %s"
    assert call(*wanted)["changed_paths"] == ["first", "d", "d/good", "old"]


def test_what_does_not_change_is_not_validated(call, tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    os.chmod(tmp_path / "a", 0o600)
    entries = [{"path": name, "content": "1", "mode": "0644", "validate": "false %s"} for name in ("a", "b")]
    os.chmod(tmp_path / "b", 0o644)
    assert call(*entries)["changed_paths"] == ["a"]


def test_a_file_whose_folder_is_not_there_yet_is_validated_elsewhere(call, tmp_path):
    script = (
        "import os, sys; sys.exit(os.path.basename(sys.argv[1])[-5:] != '.conf' or open(sys.argv[1]).read() != '1')"
    )
    file = {"path": "d/a.conf", "content": "1", "validate": f'{PYTHON} "{script}" %s'}
    assert call({"path": "d", "state": "directory"}, file)["changed_paths"] == ["d", "d/a.conf"]
    assert names(tmp_path / "d") == ["a.conf"]
