# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases that an inventory asks for and that cannot, or must not, be installed."""

from __future__ import annotations

import re

#: By service: the variable of its release, the variable of a lock of one's own, the oldest release, and why.
CHOICES = {
    "seaweedfs": (
        "seaweedfs_cluster_version",
        "seaweedfs_cluster_requirements_file",
        "4.45",
        "cannot promise that a write is on disk",
    ),
    "mlflow": ("mlflow_server_version", "mlflow_server_requirements_file", "3.16.1", "has known vulnerabilities"),
}

#: Inventory variables that are looked at here.
VARIABLES = tuple(name for choice in CHOICES.values() for name in choice[:2])


def numbers(version):
    """A release's numbers, to compare it by."""
    return [int(part) for part in re.findall(r"[0-9]+", version)]


def problems(groups, hosts, locks):
    """Sentences about the releases of all hosts (none when each can be installed), without repetition.

    :param groups: host names by service.
    :param hosts: ``{"variables": ...}`` by host name; a variable is missing where the inventory does not set it.
    :param locks: the releases that this collection carries a lock for, by service.
    """
    found = []
    for service, (variable, own_lock, oldest, reason) in CHOICES.items():
        for host in groups[service]:
            variables = hosts[host]["variables"]
            if variables.get(variable) is None:
                continue
            version = str(variables[variable])
            if numbers(version) < numbers(oldest):
                found.append("%s: %s %s: use %s or newer." % (variable, version, reason, oldest))
            elif not variables.get(own_lock) and version not in locks[service]:
                found.append(
                    "%s: mlops.stack has no lock for %s: use %s, or set %s to a lock of your own."
                    % (variable, version, " or ".join(locks[service]), own_lock)
                )
    return list(dict.fromkeys(found))
