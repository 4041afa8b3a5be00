# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

FOLDER = "/etc/it-files"


@pytest.fixture(autouse=True)
def _clean(node):
    yield
    node.shell(f"rm -rf {FOLDER} /tmp/it-*; ! getent passwd it-user || userdel it-user")


def folder(**more):
    return {"path": FOLDER, "state": "directory", **more}


def file(name, **more):
    return {"path": f"{FOLDER}/{name}", **more}


def write(node, *files, check=False):
    return node.module("config_files", {"files": list(files)}, check)


def run(node, files, *options):
    """What Ansible says, and the result in it."""
    said = node.ansible("mlops.stack.config_files", {"files": files}, *options)
    assert "=> {" in said, said
    return said, json.loads("{" + said.rpartition("=> {")[2])


def listing(node):
    return node.shell(f"cd {FOLDER} && stat -c '%n %U:%G %a' * .[!.]* 2>/dev/null; true").split("\n")


def test_check_apply_repeat_drift_absent(node):
    wanted = [
        folder(),
        file("a.conf", content="one = 1\n", group="adm", mode="0640"),
        file("b.env", secret_content="KEY=value\n"),
        file("sub", state="directory", owner="daemon", mode="2750"),
    ]
    planned = write(node, *wanted, check=True)
    assert planned["changed"]
    assert node.shell(f"test -e {FOLDER} || echo missing") == "missing"
    made = write(node, *wanted)
    assert made["changed_paths"] == planned["changed_paths"] == [entry["path"] for entry in wanted]
    assert listing(node) == ["a.conf root:adm 640", "b.env root:root 600", "sub daemon:root 2750"]
    assert node.shell(f"cat {FOLDER}/a.conf {FOLDER}/b.env") == "one = 1\nKEY=value"
    assert not write(node, *wanted)["changed"]

    node.shell(f"chmod 0666 {FOLDER}/a.conf; chown daemon {FOLDER}/b.env; echo more >> {FOLDER}/b.env")
    mended = run(node, wanted, "--diff", "-vvv")[1]
    assert mended["changed_paths"] == [f"{FOLDER}/a.conf", f"{FOLDER}/b.env"]
    assert "mode: 0666\n" in mended["diff"][0]["before"]
    assert listing(node) == ["a.conf root:adm 640", "b.env root:root 600", "sub daemon:root 2750"]

    gone = [file(name, state="absent") for name in ("a.conf", "b.env", "sub")] + [folder(state="absent")]
    assert write(node, *gone, check=True)["changed"]
    assert write(node, *gone)["changed_paths"][-1] == FOLDER
    assert not write(node, *gone)["changed"]
    assert node.shell(f"test -e {FOLDER} || echo missing") == "missing"


def test_accounts_that_do_not_exist_yet(node):
    wanted = [folder(), file("a", content="1", owner="it-user", group="it-user")]
    assert write(node, *wanted, check=True)["changed"]
    refused = write(node, *wanted)
    assert refused["phase"] == "check"
    assert f"{FOLDER}/a: the user 'it-user' does not exist on this host" in refused["msg"]
    assert node.shell(f"test -e {FOLDER} || echo missing") == "missing"
    node.shell("useradd --system --user-group it-user")
    assert write(node, *wanted)["changed"]
    assert listing(node) == ["a it-user:it-user 644"]


def test_what_is_in_the_way_is_left_alone(node):
    node.shell(f"mkdir {FOLDER} && cd {FOLDER} && ln -s /etc/passwd link && mkdir folder && mkfifo pipe")
    for name, message in (
        ("link", "is a symbolic link"),
        ("folder", "is a folder already"),
        ("pipe", "is neither a file nor a folder"),
    ):
        refused = write(node, file("first", content="1"), file(name, content="1"))
        assert (refused["phase"], refused["changed"]) == ("check", False)
        assert refused["msg"].startswith(f"{FOLDER}/{name}: {message}")
    assert node.shell(f"ls -A {FOLDER}; head -c 5 /etc/passwd") == "folder\nlink\npipe\nroot:"


def test_a_validator_has_the_last_word(node):
    validate = "/usr/sbin/visudo --check --quiet --file=%s"
    good = file("rule", content="it-user ALL=(root) NOPASSWD: /bin/true\n", mode="0440", validate=validate)
    assert write(node, folder(), good)["changed"]
    refused = write(node, file("rule", content="this is no rule\n", mode="0440", validate=validate))
    assert (refused["phase"], refused["rc"], refused["changed"]) == ("validate", 1, False)
    assert refused["path"] == f"{FOLDER}/rule"
    assert node.shell(f"cat {FOLDER}/rule; ls -A {FOLDER}") == good["content"] + "rule"
    missing = write(node, file("other", content="x", validate="/nowhere/at-all %s"))
    assert missing["rc"] == 127 and "No such file or directory" in missing["msg"]


SECRET = "first-canary='1'\nsecond-canary \"2\"\\n\nthird-canary é\n"


def test_secrets_show_nowhere(node):
    # A word that surely is logged, to know that this node's log is the one that is read.
    began = node.shell("date +%s")
    files = [folder(), file("s", secret_content=SECRET), file("plain", content="plain-word\n")]
    spoken = ""
    for options in (["--check", "--diff", "-vvvv"], ["--diff", "-vvvv"]):
        said, result = run(node, files, *options)
        assert result["changed"]
        assert "plain-word" in said and "hidden content" in said
        spoken += said
    for changed in (
        [file("s", secret_content=SECRET + "fourth-canary\n")],
        [file("s", secret_content=SECRET, validate="/usr/bin/grep --line-number --invert-match nothing-but %s /none")],
        [file("s", secret_content=SECRET, content="x")],
        [file("s", secret_content=SECRET, unknown_option=1)],
        [file("s", secret_content=SECRET, state="something")],
    ):
        spoken += run(node, changed, "--diff", "-vvvv")[0]
    assert "first-canary" not in spoken and "second-canary" not in spoken and "third-canary" not in spoken
    assert "fourth-canary" not in spoken
    journal = node.shell(f"journalctl --no-pager --since=@{began}")
    assert "config_files" in journal
    assert "canary" not in journal and "plain-word" not in journal
    assert node.shell(f"grep -c canary {FOLDER}/s") == "4"


def test_an_ordinary_user_writes_its_own_files(node, ordinary):
    wanted = [
        {"path": "/tmp/it-own", "state": "directory"},
        {"path": "/tmp/it-own/client.env", "secret_content": "its-canary"},
    ]
    result = run(node, wanted, *ordinary)[1]
    assert result["changed"] and "msg" not in result, result
    folder_owner, file_owner = node.shell("stat -c '%U %a' /tmp/it-own /tmp/it-own/client.env").split("\n")
    assert not folder_owner.startswith("root")
    assert file_owner == folder_owner.replace("755", "600")
    assert not run(node, wanted, *ordinary)[1]["changed"]
    foreign = [{"path": "/tmp/it-own/a", "content": "x", "owner": "daemon"}]
    assert "cannot be given to daemon:" in run(node, foreign, *ordinary)[1]["msg"]
    assert (
        "/etc/it-own: cannot be made: Permission denied."
        in run(node, [{"path": "/etc/it-own", "state": "directory"}], *ordinary)[1]["msg"]
    )
    assert node.shell("ls -A /tmp/it-own") == "client.env"
