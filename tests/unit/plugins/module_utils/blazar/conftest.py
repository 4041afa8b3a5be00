# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Leases as Blazar describes them."""

from __future__ import annotations

import json

import pytest


def _lease(**changes):
    return {
        "id": "l1",
        "name": "mlops",
        "status": "ACTIVE",
        "start_date": "2026-11-21T12:00:00.000000",
        "end_date": "2026-11-22T12:00:00.000000",
        "reservations": [
            {
                "id": "r1",
                "resource_type": "physical:host",
                "status": "active",
                "min": 2,
                "max": 2,
                "hypervisor_properties": "",
                "resource_properties": json.dumps(["==", "$node_type", "gpu_mi100"]),
            },
            {"id": "r2", "resource_type": "virtual:floatingip", "status": "active", "amount": 1, "network_id": "n1"},
        ],
        "events": [],
        **changes,
    }


@pytest.fixture(name="lease")
def _fixture():
    return _lease
