# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.config_files.plan import (
    ABSENT,
    Found,
    Invalid,
    decide,
    plan,
    wanted,
)

ENTRY = {
    "path": "/etc/x/a.conf",
    "state": "file",
    "content": None,
    "secret_content": None,
    "owner": None,
    "group": None,
    "mode": None,
    "validate": None,
    "force": True,
}
ROOT = "owner: root\ngroup: root\nmode: 0644\n"


def find(name):
    return {None: (0, "root"), "root": (0, "root"), "mlflow": (7, "mlflow")}.get(name, (None, name))


def want(**options):
    if options.get("state", "file") == "file" and "secret_content" not in options:
        options = {"content": "new\n", **options}
    return wanted({**ENTRY, **options}, find, find)


def found(kind="file", content=b"new\n", uid=0, gid=0, mode=0o644):
    return Found(kind, content, uid, gid, mode, {0: "root", 7: "mlflow"}[uid], {0: "root", 7: "mlflow"}[gid])


FOLDER = found("directory", (), mode=0o755)


def make(files, now, check_mode=False):
    return plan(files, {"/": FOLDER, "/etc": FOLDER, "/etc/x": FOLDER, **now}, check_mode)


@pytest.mark.parametrize(
    ("options", "mode", "content"),
    [
        ({"content": "é\n"}, 0o644, b"\xc3\xa9\n"),
        ({"content": ""}, 0o644, b""),
        ({"secret_content": "s"}, 0o600, b"s"),
        ({"secret_content": "s", "mode": "0640"}, 0o640, b"s"),
        ({"state": "directory"}, 0o755, None),
        ({"state": "directory", "mode": "1777"}, 0o1777, None),
        ({"state": "absent"}, 0o644, None),
    ],
)
def test_an_entry_is_understood(options, mode, content):
    file = want(**options)
    assert (file.mode, file.content, file.secret) == (mode, content, "secret_content" in options)


@pytest.mark.parametrize(
    ("path", "plain"), [("/etc/x/", "/etc/x"), ("/etc//x/./y", "/etc/x/y"), ("//etc/x", "/etc/x"), ("/", "/")]
)
def test_a_path_is_written_in_one_way(path, plain):
    assert want(path=path).path == plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "etc/x"}, "etc/x: is not an absolute path"),
        ({"path": "/etc/../x"}, "/etc/../x: has '..' in it"),
        ({"content": None}, "/etc/x/a.conf: has no content"),
        ({"state": "directory", "content": "x"}, "has content and state: directory"),
        ({"state": "absent", "secret_content": "x"}, "has content and state: absent"),
        ({"mode": "420"}, "has the mode '420': write four octal digits in quotes"),
        ({"mode": "0689"}, "has the mode '0689'"),
        ({"state": "directory", "validate": "x %s"}, "only a file can be validated"),
        ({"validate": "check 'it"}, "cannot be split into arguments: No closing quotation."),
        ({"validate": "check"}, "validate command without %s"),
    ],
)
def test_an_entry_is_refused(options, message):
    with pytest.raises(Invalid) as caught:
        want(**options)
    assert message in str(caught.value)
    assert caught.value.path == options.get("path", "/etc/x/a.conf")


def test_content_that_is_not_unicode_is_refused_without_showing_it():
    with pytest.raises(Invalid, match="not valid Unicode") as caught:
        want(secret_content="canary\udcff")
    assert caught.value.__context__ is None
    assert "canary" not in str(caught.value)


def test_validate_is_split_into_arguments():
    assert want(validate="/bin/check --file=%s 'a b'").validate == ["/bin/check", "--file=%s", "a b"]


@pytest.mark.parametrize(
    ("options", "now", "action"),
    [
        ({}, ABSENT, "write"),
        ({}, found(), "none"),
        ({}, found(content=b"old\n"), "write"),
        ({}, found(content=b"old\n", mode=0o600), "write"),
        ({}, found(mode=0o600), "permissions"),
        ({}, found(uid=7), "permissions"),
        ({"group": "mlflow"}, found(), "permissions"),
        ({"state": "directory"}, ABSENT, "mkdir"),
        ({"state": "directory"}, FOLDER, "none"),
        ({"state": "directory", "mode": "0750"}, FOLDER, "permissions"),
        ({"state": "absent"}, ABSENT, "none"),
        ({"state": "absent"}, found(), "remove"),
        ({"state": "absent"}, FOLDER, "rmdir"),
    ],
)
def test_what_is_done(options, now, action):
    step = decide(want(**options), now, {})
    assert step.action == action
    assert bool(step.diff) == (action != "none")


@pytest.mark.parametrize(
    ("options", "now", "message"),
    [
        ({}, found("link"), "is a symbolic link"),
        ({"state": "absent"}, found("link"), "is a symbolic link"),
        ({}, found("other"), "is neither a file nor a folder"),
        ({}, FOLDER, "is a folder already, and state: file is wanted"),
        ({"state": "directory"}, found(), "is a file already, and state: directory is wanted"),
        ({"state": "absent"}, found("directory", ("b",)), "is a folder that is not empty"),
    ],
)
def test_what_is_not_touched(options, now, message):
    with pytest.raises(Invalid, match=message):
        decide(want(**options), now, {})


def parts(step):
    return [(part["before_header"], part["before"], part["after"]) for part in step.diff]


def test_the_difference_of_a_file():
    path = "/etc/x/a.conf"
    assert parts(decide(want(), ABSENT, {})) == [(path, "", "new\n"), (f"{path} (permissions)", "", ROOT)]
    assert parts(decide(want(), found(content=b"old\xff\n"), {})) == [(path, "old\ufffd\n", "new\n")]
    assert parts(decide(want(), found(mode=0o600, gid=7), {})) == [
        (f"{path} (permissions)", "owner: root\ngroup: mlflow\nmode: 0600\n", ROOT)
    ]
    assert parts(decide(want(state="absent"), found(), {})) == [(path, "file\n", "")]


def test_the_difference_of_a_folder():
    made = "directory\nowner: root\ngroup: root\nmode: 0755\n"
    assert parts(decide(want(state="directory"), ABSENT, {})) == [("/etc/x/a.conf", "", made)]
    assert parts(decide(want(state="absent"), FOLDER, {})) == [("/etc/x/a.conf", "directory\n", "")]


@pytest.mark.parametrize("now", [ABSENT, found(content=b"canary-old\nb\n"), found(content=b"canary-new\nb\n", uid=7)])
def test_the_difference_of_a_secret_does_not_show_it(now):
    step = decide(want(secret_content="canary-new\nb\n"), now, {})
    assert step.diff
    assert "canary" not in str(step.diff)
    assert all(part["before"] != part["after"] for part in step.diff)


def test_folders_are_made_before_what_is_in_them():
    files = [want(path="/etc/y", state="directory"), want(path="/etc/y/z", state="directory"), want(path="/etc/y/z/a")]
    now = {"/etc/y": ABSENT, "/etc/y/z": ABSENT, "/etc/y/z/a": ABSENT}
    assert [step.action for step in make(files, now)] == ["mkdir", "mkdir", "write"]
    with pytest.raises(Invalid, match=r"/etc/y/z/a: its folder /etc/y/z does not exist"):
        make([files[2], files[0], files[1]], now)


def test_a_folder_goes_after_what_is_in_it():
    files = [want(path="/etc/x/a", state="absent"), want(path="/etc/x", state="absent")]
    now = {"/etc/x": found("directory", ("a",)), "/etc/x/a": found()}
    assert [step.action for step in make(files, now)] == ["remove", "rmdir"]
    with pytest.raises(Invalid, match="not empty"):
        make(files[::-1], now)
    with pytest.raises(Invalid, match=r"its folder /etc/x does not exist"):
        make([*files, want(path="/etc/x/b")], {**now, "/etc/x/b": ABSENT})


@pytest.mark.parametrize("kind", ["file", "other", "link"])
def test_the_folder_must_be_one(kind):
    with pytest.raises(Invalid, match=r"/etc/x/a.conf: /etc/x is no folder"):
        make([want()], {"/etc/x": found(kind), "/etc/x/a.conf": ABSENT})


def test_nothing_to_remove_needs_no_folder():
    steps = make([want(state="absent")], {"/etc/x": ABSENT, "/etc/x/a.conf": ABSENT})
    assert [step.action for step in steps] == ["none"]


def test_a_path_is_listed_once():
    with pytest.raises(Invalid, match="is listed twice"):
        make([want(path="/etc/x/a"), want(path="/etc/x//a")], {"/etc/x/a": found()})


@pytest.mark.parametrize(("option", "kind"), [("owner", "user"), ("group", "group")])
def test_an_unknown_account_is_a_change_in_check_mode_and_a_failure_otherwise(option, kind):
    files, now = [want(**{option: "nobody-yet"})], {"/etc/x/a.conf": found()}
    (step,) = make(files, now, check_mode=True)
    assert step.action == "permissions"
    assert "%s: nobody-yet\n" % {"owner": "owner", "group": "group"}[option] in step.diff[0]["after"]
    with pytest.raises(Invalid, match=f"/etc/x/a.conf: the {kind} 'nobody-yet' does not exist on this host"):
        make(files, now)


def test_an_unknown_account_does_not_matter_for_a_removal():
    (step,) = make([want(state="absent", owner="nobody-yet")], {"/etc/x/a.conf": found()})
    assert step.action == "remove"


@pytest.mark.parametrize(
    ("options", "now", "action"),
    [
        ({}, found(content=b"edited\n", uid=7, mode=0o600), "none"),
        ({}, ABSENT, "write"),
        ({"state": "directory"}, found("directory", ("a",), uid=7), "none"),
        ({"state": "directory"}, ABSENT, "mkdir"),
        ({"state": "absent"}, found(), "remove"),
    ],
)
def test_what_is_given_once_is_left_to_its_owner(options, now, action):
    assert decide(want(force=False, **options), now, {}).action == action
