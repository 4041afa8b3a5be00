# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which PostgreSQL a host gets, and what is there already that must not be taken over or left behind."""

from __future__ import annotations

import re

from ansible_collections.mlops.stack.plugins.module_utils.stack import variables as v

REPOSITORIES = ("distribution", "pgdg")

#: The name of the cluster that Debian's packages make, which is the one the stack uses.
CLUSTER = "main"


def settings(values):
    """Sentences about variables that name no release of PostgreSQL and no source of its packages."""
    problems = []
    if values["postgres_repository"] not in REPOSITORIES:
        problems.append(
            "postgres_repository: %r is unknown: use one of %s."
            % (values["postgres_repository"], ", ".join(REPOSITORIES))
        )
    version = values["postgres_version"]
    if version is not None and not re.match(r"^[0-9]{2}$", version):
        problems.append("postgres_version: %r is no major version of PostgreSQL: write it as '17'." % version)
    return problems


def carried(facts):
    """The major version in the distribution's own packages, or None for a system that is not supported."""
    return v.POSTGRES_VERSIONS.get((facts["os"].get("id"), facts["os"].get("version_id")))


def version(values, facts):
    """The major version in force on a host, or None where neither the inventory nor the system tells."""
    return values["postgres_version"] or (carried(facts) if facts else None)


def unit(cluster):
    """The systemd service of a cluster."""
    return "postgresql@%s-%s.service" % (cluster["version"], cluster["name"])


def strangers(clusters, wanted=None):
    """Services of clusters that are not the stack's.

    :param clusters: what ``host_facts`` found.
    :param wanted: the major version in force; its cluster is no stranger as long as nobody uses it.
    """
    return [
        unit(cluster)
        for cluster in clusters
        if not cluster["managed"]
        and (cluster["databases"] or (cluster["version"], cluster["name"]) != (wanted, CLUSTER))
    ]


def problems(name, facts, wanted, repository):
    """Sentences about a host whose databases this release would take over, leave behind or not find packages for.

    :param name: the host's inventory name.
    :param facts: what ``host_facts`` read there.
    :param wanted: the major version in force.
    :param repository: postgres_repository.
    """
    found = [
        "%s has the PostgreSQL cluster %s/%s with %d database(s), which mlops.stack did not make: use another host for "
        "PostgreSQL, or move them away and remove the cluster (pg_dropcluster --stop %s %s)."
        % (name, cluster["version"], cluster["name"], cluster["databases"], cluster["version"], cluster["name"])
        for cluster in facts["clusters"]
        if not cluster["managed"] and cluster["databases"]
    ]
    own = [cluster["version"] for cluster in facts["clusters"] if cluster["managed"] and cluster["name"] == CLUSTER]
    if own and wanted not in own:
        found.append(
            "postgres_version: %s would make a second, empty cluster on %s, whose databases are in %s/%s: set "
            "postgres_version to %s, or upgrade the cluster first (pg_upgradecluster %s %s)."
            % (wanted, name, own[-1], CLUSTER, own[-1], own[-1], CLUSTER)
        )
    elif (
        repository == "distribution"
        and carried(facts)
        and wanted != carried(facts)
        and "postgresql-%s" % wanted not in facts["packages"]
    ):
        found.append(
            "postgres_version: %s is not in %s, which carries %s: set postgres_repository to pgdg, or leave "
            "postgres_version out." % (wanted, facts["os"]["name"], carried(facts))
        )
    return found
