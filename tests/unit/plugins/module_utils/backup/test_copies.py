# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of artifacts in a folder, beside sets that name them."""

from __future__ import annotations

import datetime
import hashlib

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import copies, folder, info, locks, settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import Entry, write_list
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Folder
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

HOUR = datetime.timedelta(hours=1)
NOON = datetime.datetime(2026, 11, 21, 12, 0, 0, tzinfo=datetime.timezone.utc)
CONTENT = {"a": "1", "b/c": "22", "d": "333"}


@pytest.fixture(name="case")
def fixture_case(tmp_path, make_set):
    return Case(tmp_path / "sets", make_set)


class Case:
    """The set new, whose copies are all there, in current and where a later backup put one of them."""

    def __init__(self, dest, make_set):
        self.dest = dest
        self.make_set = make_set
        self.make("new", NOON)
        self.write(dest / "artifacts")

    def make(self, label, created, content=None, mode="copy", destination="told", **more):
        told = {"mode": mode, "number": 2, "destination": destination and str(self.dest.parent / destination)}
        path = self.make_set(self.dest, label, created, artifacts=told, **more)
        entries = [
            Entry(name, len(text), sha256=hashlib.sha256(text.encode()).hexdigest())
            for name, text in (CONTENT if content is None else content).items()
        ]
        write_list(path / "artifacts.jsonl", entries)

    def write(self, root):
        for name, text in CONTENT.items():
            path = root / ("replaced/000003-later" if name == "d" else "current") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def problems(self, deep=False, **given):
        return copies.problems(folder.list_sets(self.dest), settings.Sets(self.dest, **given), deep)


def test_all_copies_are_there(case):
    assert (case.problems(), case.problems(deep=True)) == ([], [])
    assert copies.problems([], settings.Sets(case.dest)) == []


def test_copies_that_are_gone_or_cut(case):
    (case.dest / "artifacts/current/a").unlink()
    (case.dest / "artifacts/replaced/000003-later/d").write_text("cut")
    assert case.problems() == [
        f"Of the 3 artifacts of the set new, 1 have no whole copy in {case.dest}/artifacts (a); the next backup copies"
        " those again that are still there."
    ]
    (case.dest / "artifacts/replaced/000003-later/d").write_text("c")
    assert "2 have no whole copy in" in case.problems()[0]


@pytest.mark.parametrize("copied", [False, True])
def test_copies_are_looked_for_unless_they_were_just_made(case, copied):
    (case.dest / "artifacts/current/a").unlink()
    told = info.gather(settings.Sets(case.dest, minimum_redundancy=1), NOON, copied=copied)
    assert (["whole copy" in problem for problem in told["problems"]], told["healthy"]) == (
        ([], True) if copied else ([True], False)
    )


def test_a_flipped_byte_is_found_by_reading(case):
    (case.dest / "artifacts/current/b/c").write_text("23")
    (case.dest / "artifacts/replaced/000003-later/d").write_text("334")
    assert case.problems() == []
    assert "2 have no whole copy in" in case.problems(deep=True)[0]
    assert "(b/c, d)" in case.problems(deep=True)[0]


@pytest.mark.parametrize("where", ["told", "given", "nowhere"])
def test_where_copies_are_looked_for(case, where):
    (case.dest / "artifacts").rename(case.dest.parent / where)
    given = settings.Place(path=str(case.dest.parent / "given")) if where == "given" else None
    found = case.problems(copies=given)
    assert found == [] if where != "nowhere" else "3 have no whole copy" in found[0]


@pytest.mark.parametrize(
    "more", [{"mode": "inventory", "destination": None}, {"created": NOON - HOUR}, {"encrypted": True}, {"content": {}}]
)
def test_sets_of_which_nothing_is_said(case, more):
    case.make("other", **{"created": NOON + HOUR, "content": {"x": "x"}, **more})
    assert case.problems() == []


def test_a_set_that_was_only_listed_needs_what_others_have_copied(case):
    case.make("listed", NOON + HOUR, {"a": "1", "d": "333", "fresh": "x"}, mode="inventory")
    copied = [
        Entry(name, len(text), sha256=hashlib.sha256(text.encode()).hexdigest()) for name, text in CONTENT.items()
    ]
    write_list(case.dest.parent / "list.gz", copied)
    (case.dest / "artifacts/lists/000002-new").mkdir(parents=True)
    (case.dest.parent / "list.gz").rename(case.dest / "artifacts/lists/000002-new/artifacts.jsonl.gz")
    assert "Of the 3 artifacts of the set listed, 1 have no whole copy in" in case.problems(deep=True)[0]
    assert "(fresh)" in case.problems()[0]
    (case.dest / "artifacts/current/a").write_text("2")
    assert "(a, fresh)" in case.problems(deep=True)[0]


def test_only_complete_sets_count(case):
    case.make("torn", NOON + HOUR, {"x": "x"})
    (case.dest / "torn/databases/mlflow/toc.dat").unlink()
    assert case.problems() == []


def test_copies_at_a_place_that_is_not_known(case, monkeypatch):
    (case.dest / "artifacts").rename(case.dest / "gone")
    monkeypatch.setattr(copies, "open_copies", lambda *_arguments: None)
    assert case.problems() == []


@pytest.mark.parametrize("content", ["no list", "{}\n", None])
def test_a_list_that_cannot_be_read(case, content):
    (case.dest / "new/artifacts.jsonl").unlink()
    if content:
        (case.dest / "new/artifacts.jsonl").write_text(content)
    assert case.problems() == ["The list of artifacts of the set new cannot be read: it is damaged or gone."]


@pytest.mark.parametrize(("deep", "timeout"), [(False, 7), (True, None)])
def test_how_long_copies_are_listed(case, monkeypatch, deep, timeout):
    seen = []
    monkeypatch.setattr(copies, "open_copies", lambda *arguments: seen.append(arguments[3]))
    assert (case.problems(deep, timeout=7), seen) == ([], [timeout])


def test_a_store_that_is_away_is_one_problem(case, monkeypatch):
    def refuse(*_arguments):
        raise BackupError("The store is away.", "artifacts")

    monkeypatch.setattr(copies, "open_copies", refuse)
    assert case.problems() == ["The store is away."]


@pytest.mark.parametrize("begins", ["before", "meanwhile"])
def test_nothing_is_said_while_a_backup_moves_copies(case, monkeypatch, begins):
    (case.dest / "artifacts/current/a").unlink()
    lock = locks.held(case.dest, "a backup", "now", 0)
    if begins == "before":
        lock.__enter__()
    else:
        listing = Folder.names
        monkeypatch.setattr(Folder, "names", lambda self, under: lock.__enter__() or listing(self, under))
    assert case.problems() == []
    lock.__exit__(None, None, None)


def test_they_make_backups_unhealthy(case):
    wanted = settings.Sets(case.dest, minimum_redundancy=1)
    assert info.gather(wanted, NOON)["healthy"] is True
    (case.dest / "artifacts/current/a").unlink()
    told = info.gather(wanted, NOON)
    assert (told["healthy"], len(told["problems"]), told["latest"]) == (False, 1, "new")
