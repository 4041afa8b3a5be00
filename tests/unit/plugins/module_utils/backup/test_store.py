# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import remote, settings, store
from ansible_collections.mlops.stack.plugins.module_utils.backup.driver import Login

S3 = settings.S3("b", "k", "s", endpoint_url="http://127.0.0.1:1")


def test_no_store_does_nothing():
    wanted = settings.Settings(settings.Sets(pathlib.Path("/sets")), Login("db"))
    with store.open_store(wanted) as found:
        assert isinstance(found, store.NoStore)
        done = [found.hold(1), found.check(), found.sweep(), found.upload("p", {}, None), found.remove("x")]
        assert (found.sets(), done) == ([], [None] * 5)


def test_a_store_is_opened_by_its_settings():
    wanted = settings.Settings(settings.Sets(pathlib.Path("/sets"), S3), Login("db"))
    found = store.open_store(wanted)
    assert isinstance(found, remote.Remote)
    assert found.store.objects.bucket == "b"


class Recorder:
    """Stands for the sets of a store and for its lease."""

    def __init__(self, done):
        self.done = done

    def anew(self):
        self.done.append("anew")
        return self

    def __getattr__(self, name):
        def call(*arguments):
            self.done.append((name, *arguments))
            return name

        return call


@pytest.fixture
def done(monkeypatch):
    found = []
    monkeypatch.setattr(remote.bucket, "SetStore", lambda _objects: Recorder(found))
    monkeypatch.setattr(remote, "Lease", lambda _objects: Recorder(found))
    return found


def test_what_a_backup_asks_of_a_store(done):
    with remote.Remote(S3, 5, connect=lambda s3, timeout: (s3, timeout)) as found:
        found.hold(7)
        found.check()
        found.sweep()
        assert (found.sets(), found.verify("a")) == ("sets", "verify_set")
        found.upload("path", {"label": "a"}, "progress")
        found.remove("a")
    assert done == [
        ("acquire", 7),
        ("check",),
        "anew",
        ("sweep",),
        "anew",
        ("sets",),
        "anew",
        ("verify_set", "a"),
        "anew",
        ("upload_set", "path", {"label": "a"}, "progress"),
        "anew",
        ("remove_set", "a"),
        ("release",),
    ]


def test_what_was_not_held_is_not_released(done):
    with remote.Remote(S3, 5, connect=lambda *_arguments: None):
        pass
    assert done == []
