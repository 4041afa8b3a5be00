# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mlops.stack.plugins.modules import blazar_lease

LEASE = {"cloud": "openstack", "name": "mlops"}


def call(capsys, **options):
    with patch_module_args(options), pytest.raises(SystemExit) as ended:
        blazar_lease.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


@pytest.fixture
def ensure(monkeypatch):
    """What the module was called with; it answers what `answer` holds."""
    seen = {"answer": (False, {"changed": True, "lease": None})}

    def execute(params, check_mode):
        seen.update(params=params, check_mode=check_mode)
        return seen["answer"]

    monkeypatch.setattr(blazar_lease.run, "ensure", execute)
    return seen


def test_success(capsys, ensure):
    code, result = call(capsys, **LEASE, node_type="gpu_mi100", hours="1.5", _ansible_check_mode=True)
    assert (code, result["changed"]) == (0, True)
    assert ensure["check_mode"]
    assert (ensure["params"]["hours"], ensure["params"]["nodes"]) == (1.5, 1)
    assert {key for key, value in ensure["params"].items() if value is None} == {"flavor", "end"}


def test_failure(capsys, ensure):
    ensure["answer"] = (True, {"msg": "The lease mlops is over.", "phase": "read"})
    code, result = call(capsys, **LEASE)
    assert (code, result["msg"], result["phase"]) == (1, "The lease mlops is over.", "read")


def test_without_openstacksdk(capsys, monkeypatch):
    monkeypatch.setattr(blazar_lease, "HAS_OPENSTACK", False)
    code, result = call(capsys, **LEASE)
    assert code == 1
    assert "openstacksdk" in result["msg"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cloud": "openstack"},
        {**LEASE, "state": "gone"},
        {**LEASE, "end": "2026-12-01T12:00:00Z", "hours": 2},
        {**LEASE, "node_type": "gpu_mi100", "flavor": "m1.large"},
    ],
)
def test_options_that_make_no_sense(capsys, ensure, options):
    code, _result = call(capsys, **options)
    assert code == 1
    assert "params" not in ensure
