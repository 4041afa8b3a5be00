# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError


@pytest.mark.parametrize("label", ["20261121T131500Z-9f3a", "before-upgrade", "A", "1.2_3-x", "x" * 64])
def test_labels(label):
    assert names.is_label(label)
    assert names.check_label(label) == label


@pytest.mark.parametrize(
    "label", ["", ".partial-x", "-x", "a/b", "..", "a b", "x" * 65, "ä", "artifacts", "latest", "lease.json", "drill"]
)
def test_what_is_no_label(label):
    assert not names.is_label(label)
    with pytest.raises(BackupError, match="is no label") as caught:
        names.check_label(label)
    assert (caught.value.phase, caught.value.safe_to_retry) == ("options", False)


def test_a_new_label_is_in_utc():
    east = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2026, 11, 21, 15, 15, 0, tzinfo=east)
    assert names.new_label(moment, "9f3a") == "20261121T131500Z-9f3a"
    assert names.is_label(names.new_label(moment, "9f3a"))
    assert names.partial("x") == ".partial-x"


@pytest.mark.parametrize(
    ("database", "path"),
    [
        ("mlflow", "databases/mlflow"),
        ("a/b", "databases/a%2Fb"),
        ("..", "databases/%2E%2E"),
        (".", "databases/%2E"),
        ("a.b c", "databases/a.b c"),
        ("ä", "databases/%C3%A4"),
    ],
)
def test_the_folder_of_a_database_stays_in_the_set(database, path):
    assert names.database_folder(database) == path


def test_times_go_both_ways():
    text = "2026-11-21T13:15:00Z"
    assert names.format_time(names.parse_time(text)) == text
    assert names.parse_time(text).tzinfo is datetime.timezone.utc
    with pytest.raises(ValueError, match="does not match"):
        names.parse_time("yesterday")
