# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pg_backup_vs_gzip: how much faster a backup is than what most scripts do.

Value: megabytes of the database, as PostgreSQL gives its size, per second of the backup of pg_backup.
Floor: the same of `pg_dump | gzip` into a file, in the same rounds.
Stand-in: as for pg_backup.
"""

from __future__ import annotations

import backup_rounds
import harness

UNIT = "MB/s"
GOAL = harness.Goal(">=", 3)


def measure(session: harness.Session) -> harness.Measured:
    """Take medians over the rounds."""
    rounds = backup_rounds.measure(session)
    value, floor = ([rounds.megabytes / taken for taken in side] for side in (rounds.backup, rounds.gzip))
    return harness.compared(("backup", value), ("pg_dump | gzip", floor), UNIT)
