# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import budget


@pytest.mark.parametrize(
    ("services", "workers", "needed"),
    [
        (["postgres"], 0, 640),
        (["seaweedfs"], 0, 768),
        (["mlflow"], 2, 1352),
        (["postgres", "seaweedfs", "mlflow"], 1, 1828),
    ],
)
def test_memory_needed(services, workers, needed):
    assert budget.memory_needed(services, workers) == needed


def test_connections_count_both_pools_of_every_worker():
    assert budget.connections({"ml1": 2, "ml2": 4}, 5, 10) == 6 * 2 * 15


@pytest.mark.parametrize(
    ("memory", "others", "connections", "settings"),
    [
        pytest.param(
            4096,
            0,
            60,
            {
                "max_connections": 80,
                "shared_buffers": "1024MB",
                "effective_cache_size": "3072MB",
                "work_mem": "12MB",
                "maintenance_work_mem": "256MB",
            },
            id="alone",
        ),
        pytest.param(
            1024,
            1500,
            10,
            {
                "max_connections": 50,
                "shared_buffers": "96MB",
                "effective_cache_size": "288MB",
                "work_mem": "4MB",
                "maintenance_work_mem": "32MB",
            },
            id="never below the least",
        ),
        pytest.param(
            1048576,
            0,
            60,
            {
                "max_connections": 80,
                "shared_buffers": "16384MB",
                "effective_cache_size": "65536MB",
                "work_mem": "64MB",
                "maintenance_work_mem": "2048MB",
            },
            id="never above the most",
        ),
    ],
)
def test_postgres(memory, others, connections, settings):
    assert budget.postgres(memory, others, connections) == settings
