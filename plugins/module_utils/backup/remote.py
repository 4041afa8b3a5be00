# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of the sets as a backup uses it: held by one host at a time."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.backup import bucket
from ansible_collections.mlops.stack.plugins.module_utils.backup.lease import Lease


class Remote:
    """Sets in an S3 store, and the lease on it. ``connect`` gives the objects below the store's prefix.

    ``timeout``: seconds for each of what is done with them, None without a limit.
    """

    def __init__(self, s3, timeout, connect=bucket.connect):
        objects = connect(s3, timeout)
        self.store = bucket.SetStore(objects)
        self.lease = Lease(objects)
        self.held = False

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self.held:
            self.lease.release()

    def hold(self, timeout) -> None:
        """Take the lease, waiting so many seconds at most."""
        self.lease.acquire(timeout)
        self.held = True

    def check(self) -> None:
        """BackupError where the lease may be another's by now."""
        self.lease.check()

    def sets(self) -> list:
        """All sets of the store, complete or not."""
        return self.store.anew().sets()

    def verify(self, label) -> list[str]:
        """What is wrong with a set, by reading it whole."""
        return self.store.anew().verify_set(label)

    def upload(self, path, data, progress) -> None:
        """Upload a set, its manifest last."""
        self.store.anew().upload_set(path, data, progress)

    def sweep(self) -> None:
        """Abort the uploads that killed backups left."""
        self.store.anew().sweep()

    def remove(self, label) -> None:
        """Remove a set, its manifest first."""
        self.store.anew().remove_set(label)
