# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second place of the sets, where there is one."""

from __future__ import annotations


class NoStore:
    """Stands for the store where there is none."""

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def hold(self, timeout):
        """Nobody else is there."""

    def check(self):
        """Nothing can be lost."""

    def sets(self):
        """There are none."""
        return []

    def upload(self, path, data, progress):
        """There is nowhere to."""

    def sweep(self):
        """Nothing was left."""

    def remove(self, label):
        """There is none."""


class Away(NoStore):
    """Stands for a store that cannot be used: the set is made here all the same, and then the failure is told."""

    def __init__(self, error):
        self.error = error

    def upload(self, path, data, progress):
        """It fails as it did before."""
        raise self.error


def open_store(settings):
    """The store of the sets. What speaks S3 is loaded only where there is one: that takes a while."""
    if settings.sets.s3 is None:
        return NoStore()
    from ansible_collections.mlops.stack.plugins.module_utils.backup.remote import Remote

    return Remote(settings.sets.s3, settings.timeout)
