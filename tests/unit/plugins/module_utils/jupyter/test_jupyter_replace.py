# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake engine keeps containers in a dictionary; each of its calls may be made to fail."""

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.jupyter import plan
from ansible_collections.mlops.stack.plugins.module_utils.jupyter.replace import Failed, Replacing

OLD = {"is": "old"}
NEW = {"is": "new"}
PROVED = {"ok": True}


class Engine:
    """Containers by name: what they are made of, and whether they run."""

    def __init__(self, containers=None, failing=()):
        self.containers = dict(containers or {})
        self.failing = list(failing)
        self.calls = []

    def _called(self, call, name):
        self.calls.append("%s %s" % (call, name))
        if (call, name) in self.failing:
            self.failing.remove((call, name))
            raise Failed(call, "%s %s failed" % (call, name))

    def exists(self, name):
        return name in self.containers

    def fetch(self):
        self._called("fetch", "image")

    def create(self, arguments):
        self.containers[arguments["name"]] = [NEW, False]
        self._called("create", arguments["name"])
        self.containers[arguments["name"]] = [NEW, True]

    def start(self, name):
        self._called("start", name)
        self.containers[name][1] = True

    def restart(self, name):
        self._called("restart", name)
        self.containers[name][1] = True

    def stop(self, name):
        self._called("stop", name)
        self.containers[name][1] = False

    def rename(self, name, other):
        self._called("rename", name)
        self.containers[other] = self.containers.pop(name)

    def remove(self, name):
        self._called("remove", name)
        self.containers.pop(name, None)

    def probe(self, name):
        self._called("probe", name)
        assert self.containers[name][1]
        return PROVED


def change(action, fetch=False):
    return plan.Change(action, fetch, {})


def replacing(engine):
    times = iter(range(1000))
    return Replacing(engine, "jupyter", sleep=lambda seconds: None, clock=lambda: next(times) * 20)


def state(running=True):
    return {"State": {"Running": running}}


def test_the_first_container():
    engine = Engine()
    assert replacing(engine).carry_out(change(plan.CREATE, True), {}, None) == PROVED
    assert engine.containers == {"jupyter": [NEW, True]}
    assert engine.calls[0] == "fetch image"


def test_a_new_container_takes_the_place_of_the_old_one_after_its_probe():
    engine = Engine({"jupyter": [OLD, True], "jupyter-next": [NEW, False]})
    assert replacing(engine).carry_out(change(plan.RECREATE), {}, state()) == PROVED
    assert engine.containers == {"jupyter": [NEW, True]}
    assert engine.calls.index("probe jupyter-next") < engine.calls.index("rename jupyter")


def test_nothing_is_to_be_done():
    engine = Engine({"jupyter": [OLD, True]})
    assert replacing(engine).carry_out(change(plan.NONE), {}, state()) is None
    assert engine.calls == []


@pytest.mark.parametrize("action", [plan.START, plan.RESTART])
def test_a_container_that_is_as_it_should_be_is_started_and_probed(action):
    engine = Engine({"jupyter": [OLD, False]})
    assert replacing(engine).carry_out(change(action), {}, state(False)) == PROVED
    assert engine.containers == {"jupyter": [OLD, True]}


@pytest.mark.parametrize(
    "failing",
    [
        ("stop", "jupyter"),
        ("create", "jupyter-next"),
        ("probe", "jupyter-next"),
        ("rename", "jupyter"),
        ("rename", "jupyter-next"),
    ],
)
def test_the_old_container_comes_back(failing):
    engine = Engine({"jupyter": [OLD, True]}, [failing])
    with pytest.raises(Failed) as failure:
        replacing(engine).carry_out(change(plan.RECREATE), {}, state())
    assert (failure.value.phase, failure.value.kept) == (failing[0], "The old container runs again.")
    assert engine.containers == {"jupyter": [OLD, True]}


def test_an_image_that_cannot_be_fetched_leaves_the_old_container_running():
    engine = Engine({"jupyter": [OLD, True]}, [("fetch", "image")])
    with pytest.raises(Failed):
        replacing(engine).carry_out(change(plan.RECREATE, True), {}, state())
    assert (engine.containers, engine.calls) == ({"jupyter": [OLD, True]}, ["fetch image"])


@pytest.mark.parametrize(
    ("containers", "found", "kept"),
    [
        ({}, None, "There was no container before, and there is none now."),
        ({"jupyter": [OLD, False]}, False, "The old container is there, stopped as before."),
    ],
)
def test_what_was_not_running_is_not_started(containers, found, kept):
    engine = Engine(containers, [("probe", "jupyter-next")])
    with pytest.raises(Failed) as failure:
        replacing(engine).replace({}, found)
    assert failure.value.kept == kept
    assert engine.containers == containers


def test_a_way_back_is_tried_again_while_docker_restarts():
    engine = Engine({"jupyter": [OLD, True]}, [("probe", "jupyter-next"), *[("start", "jupyter")] * 3])
    with pytest.raises(Failed) as failure:
        replacing(engine).replace({}, True)
    assert failure.value.kept == "The old container runs again."
    assert engine.containers == {"jupyter": [OLD, True]}


def test_a_way_back_that_is_barred_is_told():
    engine = Engine({"jupyter": [OLD, True]}, [("probe", "jupyter-next"), *[("start", "jupyter")] * 50])
    with pytest.raises(Failed) as failure:
        replacing(engine).replace({}, True)
    assert "could not be started again (start jupyter failed): `docker start jupyter`" in failure.value.kept
    assert not engine.containers["jupyter"][1]


def test_an_interruption_brings_the_old_container_back_too():
    engine = Engine({"jupyter": [OLD, True]})

    def interrupted(name):
        raise KeyboardInterrupt

    engine.probe = interrupted
    with pytest.raises(KeyboardInterrupt):
        replacing(engine).replace({}, True)
    assert engine.containers == {"jupyter": [OLD, True]}


@pytest.mark.parametrize(
    ("containers", "recovered"),
    [
        ({}, False),
        ({"jupyter": [OLD, True]}, False),
        ({"jupyter-previous": [OLD, False], "jupyter-next": [NEW, True]}, True),
        ({"jupyter": [NEW, True], "jupyter-previous": [OLD, False]}, False),
        ({"jupyter": [OLD, False], "jupyter-next": [NEW, True]}, True),
    ],
)
def test_what_an_interrupted_call_did_is_undone(containers, recovered):
    engine = Engine(containers)
    assert replacing(engine).recover() == recovered
    assert ("jupyter" in engine.containers) == bool(containers)
    assert "jupyter-next" not in engine.containers


def test_a_first_container_that_was_interrupted_is_removed():
    engine = Engine({"jupyter-next": [NEW, True]})
    assert replacing(engine).recover()
    assert engine.containers == {}


def test_what_an_interrupted_call_stopped_runs_again_where_the_next_one_fails():
    engine = Engine({"jupyter": [OLD, False]}, [("probe", "jupyter-next")])
    with pytest.raises(Failed) as failure:
        replacing(engine).carry_out(change(plan.RECREATE), {}, state(False), recovered=True)
    assert failure.value.kept == "The old container runs again."
    assert engine.containers == {"jupyter": [OLD, True]}
