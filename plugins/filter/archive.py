# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters over what pgBackRest says about an archive."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.archive import configuration, repository, settings


def told(function, *arguments):
    """What the function returns as ``value``, and as ``problem`` the sentence that it refuses with."""
    try:
        return {"problem": "", "value": function(*arguments)}
    except repository.ArchiveError as error:
        return {"problem": str(error), "value": None}


def archive_state(info, system_identifier, version):
    """What is still to be done to archive a cluster."""
    return told(repository.state, info, system_identifier, version)


def archive_recovery(info, time, now, free_mb, version):
    """Which base backup a recovery begins with, and where it stops."""
    return told(repository.recovery, info, time, now, free_mb, version)


class FilterModule:
    """Registers the filters; each is documented in a file of its name."""

    def filters(self):
        return {
            "archive_bundles": settings.bundles,
            "archive_configuration": configuration.read,
            "archive_needs_passphrase": repository.needs_passphrase,
            "archive_outdated": settings.outdated,
            "archive_recovery": archive_recovery,
            "archive_state": archive_state,
        }
