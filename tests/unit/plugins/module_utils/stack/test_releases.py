# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import releases

GROUPS = {"postgres": ["db1"], "seaweedfs": ["store1"], "mlflow": ["ml1", "ml2"]}
LOCKS = {"seaweedfs": ["4.48"], "mlflow": ["3.17.2", "3.18.0"]}
OWN_LOCK = {"mlflow_server_requirements_file": "files/mine.txt"}


def hosts(**variables):
    return {name: {"variables": variables} for name in ("db1", "store1", "ml1", "ml2")}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"mlflow_server_version": None},
        {"mlflow_server_version": "3.17.2", "seaweedfs_cluster_version": "4.48"},
        # YAML reads it as a number when it stands without quotes.
        {"seaweedfs_cluster_version": 4.48},
        {"mlflow_server_version": "3.99.0", **OWN_LOCK},
    ],
)
def test_release_is_accepted(variables):
    assert releases.problems(GROUPS, hosts(**variables), LOCKS) == []


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"mlflow_server_version": "3.99.0"},
            "mlflow_server_version: mlops.stack has no lock for 3.99.0: use 3.17.2 or 3.18.0, or set "
            "mlflow_server_requirements_file to a lock of your own.",
        ),
        (
            {"seaweedfs_cluster_version": "4.49"},
            "seaweedfs_cluster_version: mlops.stack has no lock for 4.49: use 4.48, or set "
            "seaweedfs_cluster_requirements_file to a lock of your own.",
        ),
        (
            {"mlflow_server_version": "3.9.0", **OWN_LOCK},
            "mlflow_server_version: 3.9.0 has known vulnerabilities: use 3.16.1 or newer.",
        ),
        (
            {"seaweedfs_cluster_version": "4.5"},
            "seaweedfs_cluster_version: 4.5 cannot promise that a write is on disk: use 4.45 or newer.",
        ),
    ],
)
def test_release_is_refused_once(variables, sentence):
    assert releases.problems(GROUPS, hosts(**variables), LOCKS) == [sentence]


def test_only_the_hosts_of_a_service_choose_its_release():
    known = {**hosts(), "db1": {"variables": {"mlflow_server_version": "1.0"}}}
    assert releases.problems(GROUPS, known, LOCKS) == []
