# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import results

MADE = {"label": "one", "rows": 12, "bytes": 3 << 20, "artifacts": None}
CALL = {"action": "none", "expired": [], "uploaded": [], "set": MADE, "seconds": {"dump": 1.0, "verify": 0.5}}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "There was nothing to do."),
        ({"expired": ["a", "b"]}, "Expired: a, b."),
        ({"action": "backup"}, "Made the set one with 12 rows (3.0 MiB) in 1.5 seconds."),
        (
            {"action": "backup", "set": {**MADE, "artifacts": {"objects": 7}}, "expired": ["a"]},
            "Made the set one with 12 rows (3.0 MiB) and 7 artifacts in 1.5 seconds. Expired: a.",
        ),
        ({"action": "upload", "uploaded": ["a", "b"]}, "Uploaded the set one. Uploaded late: a, b."),
    ],
)
def test_in_a_line(changes, line):
    assert results.sentence({**CALL, **changes}) == line


def counted(*paths):
    return {"count": len(paths), "paths": list(paths)}


@pytest.mark.parametrize(
    ("told", "warnings"),
    [
        ({"mode": "inventory"}, []),
        ({key: counted() for key in ("vanished", "lost_copies", "skipped")}, []),
        (
            {"vanished": counted("a", "b\nc"), "lost_copies": counted(), "skipped": counted("link")},
            [
                "2 artifacts went away while they were copied and are not in the set: a, 'b\\nc'.",
                "1 things among the artifacts are no files, such as links, and are not in the set: link.",
            ],
        ),
        (
            {"lost_copies": counted(*"abcd")},
            ["4 copies of artifacts were gone or cut off and were made anew: a, b, c, …."],
        ),
    ],
)
def test_artifacts_that_are_not_as_they_were_listed(told, warnings):
    assert results.of_artifacts(told) == warnings
