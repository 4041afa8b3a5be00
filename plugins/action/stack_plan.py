# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the pure plan over the inventory; nothing is sent to a host."""

from __future__ import annotations

import datetime
import os
import pathlib

from ansible.plugins.action import ActionBase
from ansible_collections.mlops.stack.plugins.module_utils.archive import settings as archive
from ansible_collections.mlops.stack.plugins.module_utils.stack import (
    availability,
    backup,
    checks,
    docker,
    firewall,
    plan,
    releases,
    secrets,
    variables,
)

ROLES = pathlib.Path(__file__).resolve().parents[2] / "roles"
LOCK = "requirements-"


def locks(role):
    """The releases that a role carries a lock for."""
    return sorted(path.stem[len(LOCK) :] for path in (ROLES / role / "files").glob(LOCK + "*.txt"))


class ActionModule(ActionBase):
    """Computes ``common_stack`` from all hosts' variables and facts."""

    _requires_connection = False
    _VALID_ARGS = frozenset(("groups", "secrets", "paths"))

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        names = self._task.args["groups"]
        groups = {service: list(task_vars["groups"].get(name, [])) for service, name in names.items()}
        hosts = {}
        for host in dict.fromkeys(host for members in groups.values() for host in members):
            known = task_vars["hostvars"][host]
            wanted = [
                *variables.HOST_VARIABLES,
                *availability.VARIABLES,
                *backup.VARIABLES,
                *docker.VARIABLES,
                *firewall.VARIABLES,
                *releases.VARIABLES,
                *archive.VARIABLES,
            ]
            for service in variables.DEFAULTS.values():
                wanted += service
            hosts[host] = {
                "variables": {name: known[name] for name in wanted if name in known},
                "facts": known.get("common_host"),
            }
        stack, problems = plan.make(groups, names, hosts, self._task.args.get("secrets") or {})
        carried = {"seaweedfs": locks("seaweedfs_cluster"), "mlflow": locks("mlflow_server")}
        problems += releases.problems(groups, hosts, carried)
        problems += archive.problems(groups, hosts)
        problems += availability.problems(hosts, datetime.datetime.now(datetime.timezone.utc))
        given = self._task.args.get("secrets") or {}
        directory = os.path.expanduser(self._task.args["paths"]["secrets"])
        try:
            found = secrets.present(given, directory)
            problems += checks.lost_secrets(directory, found, plan.services_up(groups, hosts))
        except secrets.SecretError as error:
            problems.append(str(error))
        problems = list(dict.fromkeys(problems))
        if problems:
            result.update(failed=True, msg=" ".join(problems), problems=problems)
            return result
        stack["available_until"] = availability.earliest(hosts)
        stack["paths"] = self._task.args["paths"]
        result.update(changed=False, ansible_facts={"common_stack": stack})
        return result
