# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Copy, Entry
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.plan import could_be, is_it, obstacles, plan

MD5 = "0123456789abcdef" * 2
OTHER = "f" * 32
NOW = Entry("a", 5, MD5, "monday", "v1")
KNOWN = NOW._replace(sha256="hash")


@pytest.mark.parametrize(
    ("entry", "known", "copy", "where", "lost"),
    [
        (NOW, KNOWN, Copy(5), "keep", 0),
        (NOW, KNOWN, Copy(4), "replace", 1),
        (NOW, KNOWN, None, "copy", 1),
        (NOW, None, None, "copy", 0),
        (NOW, None, Copy(5), "check", 0),
        (NOW, None, Copy(4), "replace", 0),
        (NOW, KNOWN._replace(size=4), Copy(4), "replace", 0),
        (NOW, KNOWN._replace(etag=OTHER), Copy(5), "check", 0),
        (NOW, KNOWN._replace(modified="sunday"), Copy(5), "check", 0),
        (NOW, KNOWN._replace(version_id="v0"), Copy(5), "check", 0),
        (NOW, KNOWN._replace(sha256=None), Copy(5), "check", 0),
        (NOW, KNOWN._replace(copy="odd"), Copy(5), "check", 0),
    ],
)
def test_plan(entry, known, copy, where, lost):
    planned = plan([entry], {known.path: known} if known else {}, {entry.name: copy} if copy else {})
    sorted_as = {name: getattr(planned, name) for name in ("keep", "check", "copy", "replace")}
    wanted = KNOWN if where == "keep" else entry
    assert sorted_as == {**dict.fromkeys(sorted_as, []), where: [wanted]}
    assert planned.lost == ["a"] * lost


def test_plan_goes_by_the_name_of_the_copy():
    entry = NOW._replace(copy="odd")
    planned = plan([entry], {"a": KNOWN._replace(copy="odd")}, {"odd": Copy(5), "a": Copy(9)})
    assert planned.keep == [entry._replace(sha256="hash")]


@pytest.mark.parametrize(
    ("entry", "copy", "may"),
    [
        (Entry("a", 5, MD5, "monday"), Copy(5, None, "any"), True),
        (Entry("a", 5, MD5, "monday"), Copy(5, MD5, "any"), True),
        (Entry("a", 5, MD5, "monday"), Copy(5, OTHER, "any"), False),
        (Entry("a", 5, MD5 + "-2", "monday"), Copy(5, MD5 + "-2", "monday"), False),
        (Entry("a", 5, None, "monday"), Copy(5, None, "monday"), True),
        (Entry("a", 5, None, "monday"), Copy(5, None, "sunday"), False),
        (Entry("a", 5, None, "monday"), Copy(5, MD5, "monday"), False),
    ],
)
def test_could_be(entry, copy, may):
    assert could_be(entry, copy) is may


@pytest.mark.parametrize(
    ("entry", "digests", "same"),
    [
        (NOW, (5, "hash", MD5), True),
        (NOW, (5, "hash", OTHER), False),
        (NOW, (4, "hash", MD5), False),
        (NOW, None, False),
        (NOW._replace(etag=None), (5, "hash", OTHER), True),
    ],
)
def test_is_it(entry, digests, same):
    assert is_it(entry, digests) is same


def test_obstacles():
    copies = dict.fromkeys(["file", "folder/a", "folder/b/c", "beside", "folderless"])
    assert obstacles(["file/new", "folder", "beside-new", "other"], copies) == ["file", "folder/a", "folder/b/c"]
    assert obstacles([], copies) == []
