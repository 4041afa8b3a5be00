# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables of PostgreSQL's archive that it could not be run with, found before anything is changed."""

from __future__ import annotations

import re

from ansible_collections.mlops.stack.plugins.module_utils.stack import schedule

#: Where an archive may lie, and what has to be said about the place besides a path.
PLACES = {
    "none": (None, ()),
    "folder": (None, ()),
    "sftp": ("postgres_archive_sftp", ("host", "user", "private_key_file", "host_keys")),
    "s3": ("postgres_archive_s3", ("endpoint_url", "bucket", "access_key", "secret_key")),
}

SCHEDULES = ("postgres_archive_full_schedule", "postgres_archive_differential_schedule")

#: Inventory variables that are looked at here.
VARIABLES = (
    "postgres_archive",
    "postgres_archive_path",
    "postgres_archive_sftp",
    "postgres_archive_s3",
    "postgres_archive_keep_full",
    "postgres_repository",
    *SCHEDULES,
)

#: The release of pgBackRest in the distributions' own repositories.
CARRIED = {
    ("debian", "12"): (2, 45),
    ("debian", "13"): (2, 55),
    ("ubuntu", "22.04"): (2, 37),
    ("ubuntu", "24.04"): (2, 50),
}

#: The first release that speaks SFTP and knows a server by its host key.
SFTP_SINCE = (2, 48)

#: The first release that puts many small files of a backup into one.
BUNDLES_SINCE = (2, 39)


def installed(facts):
    """The release of pgBackRest on a host: two numbers, or None without one."""
    version = facts["archive"]["version"]
    return tuple(int(part) for part in version.split(".")[:2]) if version else None


def outdated(facts, repository):
    """Whether a host has a pgBackRest from before it got packages from the PostgreSQL project's own repository."""
    release = installed(facts)
    return repository == "pgdg" and release is not None and release < SFTP_SINCE


def available(facts, repository):
    """The release of pgBackRest that a host has or gets, or None for one that is newer than all that matters."""
    if repository == "pgdg":
        return None
    return installed(facts) or CARRIED.get((facts["os"].get("id"), facts["os"].get("version_id")))


def bundles(facts, repository):
    """Whether the pgBackRest of a host puts many small files into one."""
    release = available(facts, repository)
    return release is None or release >= BUNDLES_SINCE


def problems(groups, hosts):
    """Sentences about the archive of the host with PostgreSQL (none when it can be made).

    :param groups: host names by service.
    :param hosts: ``variables`` and ``facts`` by host name; a variable is missing where the inventory does not set it,
        and the facts are None for a host that is left out of this run.
    """
    found = []
    for host in groups["postgres"]:
        variables, facts = hosts[host]["variables"], hosts[host]["facts"]
        place = variables.get("postgres_archive") or "none"
        if place not in PLACES:
            found.append("postgres_archive: %r is unknown: use one of %s." % (place, ", ".join(PLACES)))
        elif place != "none":
            found += of_place(place, variables) + of_times(variables)
            if place == "sftp" and facts:
                found += of_release(host, facts, variables.get("postgres_repository"))
    return found


def of_place(place, variables):
    """Sentences about a place that is not described well enough to be reached."""
    found = []
    path = variables.get("postgres_archive_path")
    if path is None and place == "sftp":
        found.append("postgres_archive_path: is not set, and an SFTP server has no folder of its own for it: set it.")
    if path is not None and not re.match(r"^/.*[^/]$", str(path)):
        found.append("postgres_archive_path: %r is no absolute path: write it as /srv/archive." % path)
    variable, needed = PLACES[place]
    given = variables.get(variable) or {} if variable else {}
    if variable and not isinstance(given, dict):
        return [*found, "%s: %s has to be a dictionary with %s." % (variable, place, ", ".join(needed))]
    missing = [name for name in needed if not given.get(name)]
    if missing:
        found.append("%s: postgres_archive: %s also needs %s: add it." % (variable, place, ", ".join(missing)))
    elif place == "s3" and not str(given["endpoint_url"]).startswith("https://"):
        found.append(
            "postgres_archive_s3.endpoint_url: %r is not encrypted, and pgBackRest speaks S3 over TLS only: give the "
            "store a certificate and write https://, or use postgres_archive: folder or sftp." % given["endpoint_url"]
        )
    return found


def of_times(variables):
    """Sentences about schedules that are none, and a number of backups that keeps nothing."""
    found = []
    for name in SCHEDULES:
        if variables.get(name) is not None:
            try:
                schedule.calendar(variables[name])
            except schedule.ScheduleError as error:
                found.append("%s: %s" % (name, error))
    keep = variables.get("postgres_archive_keep_full")
    if keep is not None and not re.match(r"^[1-9][0-9]{0,3}$", str(keep)):
        found.append("postgres_archive_keep_full: %r is no number of backups to keep: use 1 or more." % keep)
    return found


def of_release(host, facts, repository):
    """Sentences about a distribution whose pgBackRest does not speak SFTP."""
    release = available(facts, repository)
    if release is None or release >= SFTP_SINCE:
        return []
    return [
        "postgres_archive: sftp needs pgBackRest 2.48 or newer, and %s with %s has %d.%d: set postgres_repository "
        "to pgdg, or use postgres_archive: folder or s3." % (host, facts["os"]["name"], *release)
    ]
