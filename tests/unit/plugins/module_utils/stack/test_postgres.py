# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import postgres

TRIXIE = {"id": "debian", "version_id": "13", "name": "Debian GNU/Linux 13 (trixie)"}
UNKNOWN = {"id": "debian", "version_id": "11", "name": "Debian GNU/Linux 11 (bullseye)"}


def cluster(version="17", name="main", managed=True, databases=1):
    return {"version": version, "name": name, "managed": managed, "databases": databases}


def facts(*clusters, system=None, packages=()):
    return {"os": system or TRIXIE, "clusters": list(clusters), "packages": list(packages)}


@pytest.mark.parametrize(
    ("version", "repository", "parts"),
    [
        (None, "distribution", []),
        ("17", "pgdg", []),
        ("17.2", "distribution", ["postgres_version: '17.2' is no major version of PostgreSQL"]),
        ("latest", "debian", ["postgres_repository: 'debian' is unknown", "'latest' is no major version"]),
    ],
)
def test_settings(version, repository, parts):
    found = postgres.settings({"postgres_version": version, "postgres_repository": repository})
    assert [part in sentence for part, sentence in zip(parts, found, strict=True)] == [True] * len(parts)


@pytest.mark.parametrize(
    ("given", "found", "version"),
    [
        (None, facts(), "17"),
        ("16", facts(), "16"),
        ("16", None, "16"),
        (None, None, None),
        (None, facts(system=UNKNOWN), None),
    ],
)
def test_version(given, found, version):
    assert postgres.version({"postgres_version": given}, found) == version


@pytest.mark.parametrize(
    ("clusters", "wanted", "units"),
    [
        ([cluster()], "17", []),
        ([cluster(managed=False)], "17", ["postgresql@17-main.service"]),
        ([cluster(managed=False, databases=0)], None, ["postgresql@17-main.service"]),
        # Nobody uses it, so it is the one the stack will use.
        ([cluster(managed=False, databases=0)], "17", []),
        ([cluster(managed=False, databases=0)], "16", ["postgresql@17-main.service"]),
        ([cluster(), cluster(name="other", managed=False, databases=0)], "17", ["postgresql@17-other.service"]),
    ],
)
def test_strangers(clusters, wanted, units):
    assert postgres.strangers(clusters, wanted) == units


@pytest.mark.parametrize(
    ("found", "wanted", "repository", "sentences"),
    [
        (facts(), "17", "distribution", []),
        (facts(cluster()), "17", "distribution", []),
        (facts(cluster(managed=False, databases=0)), "17", "distribution", []),
        (facts(), "16", "pgdg", []),
        (
            facts(cluster("15", managed=False, databases=2)),
            "17",
            "distribution",
            [
                "db1 has the PostgreSQL cluster 15/main with 2 database(s), which mlops.stack did not make: use "
                "another host for PostgreSQL, or move them away and remove the cluster (pg_dropcluster --stop 15 main)."
            ],
        ),
        (
            facts(cluster()),
            "16",
            "distribution",
            [
                "postgres_version: 16 would make a second, empty cluster on db1, whose databases are in 17/main: set "
                "postgres_version to 17, or upgrade the cluster first (pg_upgradecluster 17 main)."
            ],
        ),
        # After an upgrade of the system: the cluster of the older one goes on.
        (facts(cluster("15"), packages=["postgresql-15"]), "15", "distribution", []),
        # After pg_upgradecluster, which leaves the old one.
        (facts(cluster("15"), cluster("17")), "17", "distribution", []),
        (
            facts(),
            "16",
            "distribution",
            [
                "postgres_version: 16 is not in Debian GNU/Linux 13 (trixie), which carries 17: set "
                "postgres_repository to pgdg, or leave postgres_version out."
            ],
        ),
        # That the system is not supported is told elsewhere.
        (facts(system=UNKNOWN), "16", "distribution", []),
    ],
)
def test_problems(found, wanted, repository, sentences):
    assert postgres.problems("db1", found, wanted, repository) == sentences
