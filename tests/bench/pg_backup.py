# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pg_backup: a backup that the timer makes, with all that proves it.

Value: seconds of the program that the timer starts, from its start to its end: the dump, the roles, the rows of each
table in the same snapshot, all on disk, every byte of the dump decompressed and parsed again, SHA-256 of every file,
the manifest, expiry. No artifacts and no second place.
Floor: seconds of a bare `pg_dump --format=directory` of the same database with the same jobs and compression.
Both run on the backup host; backup_stack.py tells of the stack and the database, backup_rounds.py of the rounds.
Stand-in: the nodes, so PostgreSQL and the backup too, share the control machine's cores and disk.
"""

from __future__ import annotations

import backup_rounds
import harness

UNIT = "s"
GOAL = harness.Goal("<=", 1.25)


def measure(session: harness.Session) -> harness.Measured:
    """Take medians over the rounds."""
    rounds = backup_rounds.measure(session)
    return harness.compared(("backup", rounds.backup), ("bare pg_dump", rounds.bare), UNIT)
