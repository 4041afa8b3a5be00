# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pgBackRest says about an archive, and what that means for a cluster and for a time to go back to."""

from __future__ import annotations

import datetime
import json
import re

# What `pgbackrest info` calls the state of a stanza.
GOOD, NO_STANZA, NO_BACKUP, NO_DATA = 0, 1, 2, 3

#: How much of a base backup's size has to be free besides, for the WAL that is replayed onto it.
ROOM = 1.1

#: What pgBackRest says of an archive that is not encrypted, or encrypted with another passphrase than the one it has.
OTHER_PASSPHRASE = ("[CryptoError]", "[FormatError]")


class ArchiveError(ValueError):
    """An archive that cannot be used; the text is a sentence for a person."""


def stanza(info):
    """The one stanza in the answer of ``pgbackrest --stanza=… --output=json info``.

    :raises ArchiveError: when pgBackRest could not look into the archive.
    """
    entries = json.loads(info)
    if not entries:
        return {"status": {"code": NO_STANZA}, "backup": [], "db": []}
    entry = entries[0]
    if entry["status"]["code"] not in (GOOD, NO_STANZA, NO_BACKUP, NO_DATA):
        said = [
            repository["status"]["message"]
            for repository in entry.get("repo", [])
            if repository["status"]["code"] != GOOD
        ]
        reason = "; ".join(said or [entry["status"]["message"]]).strip()
        if reason.startswith(OTHER_PASSPHRASE):
            # Further lines quote what could not be read.
            raise ArchiveError(
                "The archive cannot be read: %s. Where it is encrypted otherwise, set postgres_archive_encrypt and "
                "database_archive_passphrase to what they were when it was begun."
                % reason.partition("\n")[0].rstrip(":")
            )
        raise ArchiveError("The archive cannot be read: %s." % reason)
    return entry


def needs_passphrase(info):
    """Whether an archive needs the passphrase, or the lack of one, that it was asked with.

    Where nothing is there yet, or is encrypted otherwise, another one does no harm. Where the archive could not be
    asked, nobody knows, and so it does.

    :param info: the answer of ``pgbackrest info``, empty where it failed.
    """
    try:
        return not info or bool(stanza(info)["db"])
    except ArchiveError as error:
        return not any(sign in str(error) for sign in OTHER_PASSPHRASE)


def state(info, system_identifier, version):
    """What is still to be done to archive a cluster: ``new`` (everything), ``empty`` (no base backup) or ``ready``.

    :param info: the answer of ``pgbackrest info``.
    :param system_identifier: the number that PostgreSQL gave the cluster.
    :param version: the cluster's major version.
    :raises ArchiveError: when the archive cannot be read, or is another cluster's.
    """
    entry = stanza(info)
    if not entry["db"]:
        return "new"
    if str(entry["db"][-1]["system-id"]) != str(system_identifier):
        other = other_version(entry, version)
        raise ArchiveError(
            "The archive is that of another database cluster%s: run playbooks/recover_point_in_time.yml %sto get that "
            "one back, or set postgres_archive_path to another place."
            % ((", of PostgreSQL %s" % other, "on a new machine with %s " % settings_for(other)) if other else ("", ""))
        )
    return "ready" if own_backups(entry) else "empty"


def other_version(entry, version):
    """The major version of PostgreSQL whose cluster the archive is of, where that is another one; else None."""
    archived = str(entry["db"][-1]["version"])
    return archived if archived != str(version) else None


def settings_for(version):
    """What an inventory sets to have that major version of PostgreSQL on any system."""
    return "postgres_version: '%s' and postgres_repository: pgdg" % version


def own_backups(entry):
    """The base backups of the newest cluster that the archive knows, the oldest first."""
    number = entry["db"][-1]["id"]
    return [backup for backup in entry["backup"] if backup["database"]["id"] == number]


def moment(text):
    """A time with its zone, from ISO 8601.

    :raises ArchiveError: when it is none, or has no zone.
    """
    # Python 3.10 reads neither Z, nor a zone without minutes, nor one or two digits of a second's fraction.
    match = re.match(
        r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)? ?(Z|z|[+-]\d\d(?::?\d\d)?)?$", str(text).strip()
    )
    if not match:
        raise ArchiveError(
            "postgres_recover_time: %r is no time: write it as 2026-11-21T13:45:00+01:00 or 2026-11-21T12:45:00Z."
            % str(text)
        )
    day, clock, seconds, fraction, zone = match.groups()
    if zone is None:
        raise ArchiveError(
            "postgres_recover_time: %r has no time zone: add one, such as %sZ for UTC." % (str(text), str(text).strip())
        )
    hours, minutes = ("+00", "00") if zone in "Zz" else (zone[:3], zone[3:].lstrip(":") or "00")
    try:
        return datetime.datetime.fromisoformat(
            "%sT%s:%s.%s%s:%s" % (day, clock, seconds or "00", (fraction or "0").ljust(6, "0"), hours, minutes)
        )
    except ValueError as error:
        raise ArchiveError("postgres_recover_time: %r is no time: %s." % (str(text), error)) from error


def shown(seconds):
    """A number of seconds since 1970 as a person reads it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def recovery(info, time, now, free_mb, version):
    """Which base backup to begin with, and where to stop.

    A backup tells the timeline that the cluster was on, because each recovery ends with a backup. So pgBackRest is
    always told to stay on the timeline of the backup: another one would be the history of what was undone.

    :param info: the answer of ``pgbackrest info``.
    :param time: the time to go back to, in ISO 8601 with its zone; empty for the end of the archive.
    :param now: the host's clock, in seconds since 1970.
    :param free_mb: MiB free where the data is to lie, besides what lies there now.
    :param version: the major version of PostgreSQL on the host.
    :returns: ``backup`` (its name), ``newest`` (the name of the newest one), ``options`` of ``pgbackrest restore``, and
        ``until``, in words.
    :raises ArchiveError: when the archive does not reach there.
    """
    entry = stanza(info)
    backups = own_backups(entry) if entry["db"] else []
    if not backups:
        raise ArchiveError("The archive has no base backup to begin with: nothing can be recovered from it.")
    other = other_version(entry, version)
    if other:
        raise ArchiveError(
            "The archive is of PostgreSQL %s, which another version cannot read, and the host has %s: recover on a new "
            "machine with %s." % (other, version, settings_for(other))
        )
    newest = backups[-1]
    options, until = ["--type=default"], "the end of the archive"
    if time:
        target = moment(time)
        if target.timestamp() > int(now):
            raise ArchiveError(
                "postgres_recover_time: %s lies in the future: it is %s on the host." % (time, shown(int(now)))
            )
        backups = [backup for backup in backups if backup["timestamp"]["stop"] <= target.timestamp()]
        if not backups:
            raise ArchiveError(
                "postgres_recover_time: %s lies before the end of the oldest base backup, %s: the archive reaches back "
                "to then." % (time, shown(min(backup["timestamp"]["stop"] for backup in own_backups(entry))))
            )
        until = target.astimezone(datetime.timezone.utc).isoformat(sep=" ", timespec="microseconds")
        options = ["--type=time", "--target=%s" % until, "--target-action=promote"]
    chosen = backups[-1]
    needed_mb = int(chosen["info"]["size"] * ROOM) >> 20
    if free_mb < needed_mb:
        raise ArchiveError(
            "The base backup %s needs %d MiB beside the data there is, which is kept, and %d MiB are free: make room."
            % (chosen["label"], needed_mb, free_mb)
        )
    options += ["--set=%s" % chosen["label"], "--target-timeline=current"]
    return {"backup": chosen["label"], "newest": newest["label"], "options": options, "until": until}
