# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which host makes the backups, and whether it can."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.stack import postgres

#: Variables of the backup host that are read beforehand.
VARIABLES = ("backup_artifacts", "backup_failure_command")

#: How the names of the backup's Python environments begin.
ENVIRONMENT = "backup-py"


def group(members, name, backend):
    """Sentences about the group of the backup host; without one there are no backups.

    :param members: its hosts.
    :param name: what the inventory calls it.
    :param backend: mlflow_server_backend.
    """
    problems = []
    if len(members) > 1:
        problems.append(
            "The inventory's group %r has %d hosts, and one makes the backups: leave one host in it."
            % (name, len(members))
        )
    if members and backend != "postgresql":
        problems.append(
            "The inventory's group %r has a host, and mlflow_server_backend is %s, which is not backed up: "
            "use mlflow_server_backend: postgresql, or empty the group." % (name, backend)
        )
    return problems


def artifacts(name, variables, place):
    """Sentences about artifacts that nobody would back up.

    :param name: the backup host's inventory name.
    :param variables: its inventory variables.
    :param place: mlflow_server_artifacts.
    """
    chosen = variables.get("backup_artifacts")
    if place == "local" and chosen != "none":
        return [
            "%s would back up MLflow's database without the artifacts, because mlflow_server_artifacts is local: use "
            "mlflow_server_artifacts: s3, or set backup_artifacts: none and copy them yourself." % name
        ]
    return []


def failure_command(variables):
    """Sentences about a command that would be taken for one word: nobody would hear of a failed backup.

    :param variables: the backup host's inventory variables.
    """
    command = variables.get("backup_failure_command")
    if command is None or isinstance(command, list) and all(isinstance(word, str) for word in command):
        return []
    return [
        "backup_failure_command is %r and must be a list of words in quotes, such as [/usr/local/bin/alert, --now]."
        % (command,)
    ]


def is_installed(facts):
    """Whether a host has the backup's programs."""
    return any(name.startswith(ENVIRONMENT) for name in facts["envs"])


def host(name, facts, version, repository):
    """Sentences about a backup host whose own packages cannot dump the server's databases.

    :param name: the host's inventory name.
    :param facts: what ``host_facts`` read there, or None for a host left out of this run.
    :param version: the server's major version, or None where it is not known in this run.
    :param repository: postgres_repository.
    """
    if facts is None or version is None or repository != "distribution":
        return []
    own = postgres.carried(facts)
    if own is None or own == version or "postgresql-client-%s" % version in facts["packages"]:
        return []
    return [
        "%s is to make backups of PostgreSQL %s, and %s carries the programs of %s: put a host with the same "
        "distribution as the database's into the group, or set postgres_repository to pgdg."
        % (name, version, facts["os"]["name"], own)
    ]
