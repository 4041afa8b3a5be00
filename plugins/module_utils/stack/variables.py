# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables that more than one service has to know, with their defaults.

A role's defaults are invisible to the other roles, so the few values that two services must agree on (a port, a
database name) have their default here. An inventory sets them under the same name, for all hosts or for the group
that owns them; the plan publishes the value in force as ``common_stack``.
"""

from __future__ import annotations

#: What each service group promises: the variable, its default, and how a value from the inventory is read.
DEFAULTS = {
    "postgres": {
        "postgres_port": 5432,
        "postgres_client_networks": [],
        "postgres_repository": "distribution",
        "postgres_version": None,
    },
    "seaweedfs": {
        "seaweedfs_cluster_s3_port": 8333,
        "seaweedfs_cluster_filer_port": 8888,
        "seaweedfs_cluster_master_port": 9333,
        "seaweedfs_cluster_volume_port": 8080,
        "seaweedfs_cluster_replication": "000",
        "seaweedfs_cluster_mlflow_access_key": "mlflow",
    },
    "mlflow": {
        "mlflow_server_version": "3.17.2",
        "mlflow_server_port": 5000,
        "mlflow_server_backend": "postgresql",
        "mlflow_server_artifacts": "s3",
        "mlflow_server_bucket": "mlflow",
        "mlflow_server_database": "mlflow",
        "mlflow_server_database_user": "mlflow",
        # Opening a connection, with TLS and SCRAM, costs more than keeping it: what eight busy clients need is kept.
        "mlflow_server_pool_size": 10,
        "mlflow_server_pool_overflow": 5,
        "mlflow_server_workers": None,
        "mlflow_server_authentication": True,
        "mlflow_server_client_user": "researcher",
    },
}

#: Variables of one host: where it is reached.
HOST_VARIABLES = (
    "ansible_host",
    "common_private_address",
    "common_public_address",
    "common_public_names",
    "mlflow_server_workers",
    "jupyter_port",
    "jupyter_user",
    "jupyter_datasets",
    "jupyter_image",
    "common_python_index_url",
    "ansible_user",
)

#: The access key with which the backup reads artifacts; its secret is s3_backup_secret_key.
BACKUP_ACCESS_KEY = "backup"

#: gRPC ports of SeaweedFS are its HTTP ports plus this.
SEAWEEDFS_GRPC_OFFSET = 10000

#: Operating systems the roles have package lists for.
SUPPORTED_OS = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}

#: The major version of PostgreSQL in their own repositories.
POSTGRES_VERSIONS = {
    ("debian", "12"): "15",
    ("debian", "13"): "17",
    ("ubuntu", "22.04"): "14",
    ("ubuntu", "24.04"): "16",
}

#: The oldest Python that MLflow runs on.
MINIMUM_PYTHON = (3, 10)

#: Memory in MiB that one host keeps for the system itself, and what each service needs there at the least.
MEMORY_SYSTEM_MB = 256
MEMORY_POSTGRES_MB = 384
MEMORY_SEAWEEDFS_MB = 512
MEMORY_MLFLOW_MB = 256
MEMORY_MLFLOW_WORKER_MB = 420

#: Free space in MiB that a service needs before it is first installed, by what ``host_facts`` was told a path is for.
DISK_NEEDED = {
    "postgres": {"postgres": 1024},
    "seaweedfs": {"envs": 512, "seaweedfs": 2048},
    "mlflow": {"envs": 3072},
    "backup": {"envs": 256},
    # The engine, one image and the layers it is built from.
    "jupyter": {"docker": 6144},
    "firewall": {},
}

#: What MLflow needs besides where its database or its artifacts are files of its own.
DISK_LOCAL = {"mlflow": 1024}

#: Whose listener shows that a service was brought up before: its unit, and the account it runs as where the host does
#: not let root look into other accounts' processes.
SERVICE_UNITS = {
    "postgres": "postgresql@",
    "seaweedfs": "seaweedfs-",
    "mlflow": "mlflow.service",
    # The engine holds a container's port.
    "jupyter": "docker.service",
}
SERVICE_ACCOUNTS = {"postgres": "postgres", "seaweedfs": "seaweedfs", "mlflow": "mlflow", "jupyter": "root"}
