# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much memory and how many connections each service gets. All sizes are MiB."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.stack import variables as v

#: Connections kept free for people, backups and the superuser.
SPARE_CONNECTIONS = 20


def clamp(value, low, high):
    """``value`` kept between ``low`` and ``high``, as a whole number."""
    return int(max(low, min(high, value)))


def memory_needed(services, workers):
    """The least memory in MiB a host needs for its services.

    :param services: names out of ``postgres``, ``seaweedfs``, ``mlflow``.
    :param workers: MLflow's worker processes on this host.
    """
    needs = {
        "postgres": v.MEMORY_POSTGRES_MB,
        "seaweedfs": v.MEMORY_SEAWEEDFS_MB,
        "mlflow": v.MEMORY_MLFLOW_MB + workers * v.MEMORY_MLFLOW_WORKER_MB,
    }
    return v.MEMORY_SYSTEM_MB + sum(needs[service] for service in services)


def connections(workers_by_host, pool_size, overflow):
    """Connections MLflow may hold open: every worker of every replica has its own pool, for tracking and for users."""
    pools_per_worker = 2
    return sum(workers_by_host.values()) * pools_per_worker * (pool_size + overflow)


def postgres(memory_mb, others_mb, budget):
    """PostgreSQL's memory settings.

    The rules are those of PostgreSQL's own manual (section "Resource Consumption"): a quarter of the memory as shared
    buffers, three quarters as the planner's idea of the cache, and work_mem such that all connections together stay
    within another quarter.

    :param memory_mb: the host's memory.
    :param others_mb: what other services on the same host need.
    :param budget: connections the stack may open.
    :returns: dict of settings as PostgreSQL writes them.
    """
    available = max(memory_mb - others_mb, v.MEMORY_POSTGRES_MB)
    max_connections = max(50, budget + SPARE_CONNECTIONS)
    return {
        "max_connections": max_connections,
        "shared_buffers": "%dMB" % clamp(available / 4, 64, 16384),
        "effective_cache_size": "%dMB" % clamp(available * 3 / 4, 128, 65536),
        "work_mem": "%dMB" % clamp(available / 4 / max_connections, 4, 64),
        "maintenance_work_mem": "%dMB" % clamp(available / 16, 32, 2048),
    }
