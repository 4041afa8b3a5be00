# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.jupyter import files

SEEN = """\
1000 100 directory//home/cc/work
1000 200 regular file//etc/t
0 300 regular file//etc/ca.crt
0 50 directory//etc/j
"""


def test_all_are_looked_at_in_one_command(options):
    given = options(workspace="/home/cc/work", token_file="/etc/t")
    assert files.argv(files.paths(given))[-3:] == ["--", "/home/cc/work", "/etc/t"]


def test_parse():
    seen = files.parse(SEEN)
    assert seen["/etc/t"] == files.Seen(1000, 200, "regular file")
    assert seen["/home/cc/work"].kind == "directory"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"workspace": "/home/cc/work", "token_file": "/etc/t", "config_dir": "/etc/j"}, None),
        ({"workspace": "/home/cc/work", "user": None}, None),
        ({"workspace": "/home/cc/work", "user": "0:0"}, None),
        ({"workspace": "/nowhere"}, "workspace: there is no /nowhere on this host: make it first."),
        ({"workspace": "/etc/t"}, "workspace: /etc/t is a regular file: name a folder."),
        ({"ca_cert": "/etc/j"}, "ca_cert: /etc/j is a directory: name a file."),
        (
            {"workspace": "/home/cc/work", "user": "1001:1001"},
            "workspace: /home/cc/work belongs to the user 1000, so that Jupyter, which runs as 1001, could save "
            "nothing: `chown -R 1001:1001 /home/cc/work`, or name another folder.",
        ),
        (
            {"workspace": "/etc/j"},
            "workspace: /etc/j belongs to the user root, so that Jupyter, which runs as 1000, could save nothing: "
            "`chown -R 1000:1000 /etc/j`, or name another folder.",
        ),
    ],
)
def test_problems(options, changes, sentence):
    assert files.problems(options(**changes), files.parse(SEEN)) == ([sentence] if sentence else [])


def test_what_is_missing_in_check_mode_may_be_about_to_be_made(options):
    given = options(workspace="/nowhere", token_file="/no/token")
    assert files.problems(given, files.parse(SEEN), check_mode=True) == []
    assert files.changed(given, files.parse(SEEN)) == 0


@pytest.mark.parametrize(
    ("changes", "when"),
    [({}, 0), ({"token_file": "/etc/t"}, 200), ({"token_file": "/etc/t", "ca_cert": "/etc/ca.crt"}, 300)],
)
def test_changed(options, changes, when):
    assert files.changed(options(**changes), files.parse(SEEN)) == when
