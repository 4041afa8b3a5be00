# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.jupyter import plan

# 2026-11-21T20:34:07Z
STARTED = 1795293247
RUNNING = {
    "State": {"StartedAt": "2026-11-21T20:34:07.416685929Z", "Running": True},
    "Config": {"Image": "example/notebook:1"},
}
OWN = {"MLFLOW_TRACKING_URI", "EPOCHS"}


def seen(before=None, after=None, actions=()):
    return {"diff": {"before": before or {}, "after": after or {}}, "actions": list(actions), "container": RUNNING}


@pytest.mark.parametrize(
    ("found", "handed_in", "action", "fetch"),
    [
        (seen(), 0, plan.NONE, False),
        (seen(), STARTED - 1, plan.NONE, False),
        (seen(), STARTED + 1, plan.RESTART, False),
        (seen({"running": False}, {"running": True}), STARTED + 1, plan.START, False),
        (seen({"exists": False}, {"exists": True, "running": True}), 0, plan.CREATE, False),
        (seen({"image": "a"}, {"image": "b"}), 0, plan.RECREATE, False),
        (seen(actions=[{"pulled_image": "example/notebook:2"}]), 0, plan.RECREATE, True),
    ],
)
def test_action(found, handed_in, action, fetch):
    change = plan.judge(found, OWN, handed_in)
    assert (change.action, change.fetch) == (action, fetch)


def test_another_address_is_the_only_thing_in_the_diff():
    common = ["PATH=/usr/bin", "EPOCHS=3"]
    change = plan.judge(
        seen(
            {"env": [*common, "MLFLOW_TRACKING_URI=http://192.0.2.7:5000"], "running": True},
            {"env": ["MLFLOW_TRACKING_URI=http://192.0.2.8:5000", *common], "running": False},
        ),
        OWN,
        0,
    )
    assert change.diff == {
        "before": {"env": {"MLFLOW_TRACKING_URI": "http://192.0.2.7:5000"}},
        "after": {"env": {"MLFLOW_TRACKING_URI": "http://192.0.2.8:5000"}},
    }


def test_an_image_that_is_not_here_yet_is_named_and_its_variables_are_not():
    change = plan.judge(
        seen({"env": ["EPOCHS=3"]}, {"env": ["EPOCHS=3", "IMAGE_ONLY=1"]}, [{"pulled_image": "x"}]), OWN, 0
    )
    assert change.diff == {
        "before": {"image": "example/notebook:1"},
        "after": {"image": "the image asked for, which is not here yet"},
    }


def test_a_variable_that_goes_is_told():
    change = plan.judge(seen({"env": ["OLD=1", "EPOCHS=3"]}, {"env": ["EPOCHS=3"]}), OWN, 0)
    assert change.diff == {"before": {"env": {"OLD": "1"}}, "after": {"env": {}}}
