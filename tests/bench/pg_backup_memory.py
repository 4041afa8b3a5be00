# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pg_backup_memory: whether a backup or a restore needs more memory where the database is bigger.

Value: the highest sum, over all processes of the timer's user, of resident memory (RSS, MiB) while one set is made of
the whole database; Python, pg_dump with its workers, pg_dumpall, pg_restore. It is looked at 20 times a second.
Floor: the same where the database has 200 MB.
The same is done for a restore, and the figure is the one with the worse ratio. RSS counts what processes share once for
each of them. PostgreSQL's own memory is not in it: it is what its settings say.
"""

from __future__ import annotations

import backup_rounds
import backup_stack
import harness
import pg_restore

UNIT = "MiB"
GOAL = harness.Goal("<=", 1.1)
SMALL_MB = 200
JOBS = 2


def measure(session: harness.Session) -> harness.Measured:
    """Weigh both, then let the database grow and weigh both again."""
    stack = backup_stack.stack(session)
    if stack.runs > SMALL_MB * backup_stack.RUNS_PER_MB:
        raise harness.BenchError("The database is bigger than that already.")
    weighed = []
    for megabytes in (SMALL_MB, backup_stack.SIZE_MB):
        stack.fill(megabytes)
        weighed.append(weigh(stack))
        harness.say(f"{megabytes} MB: a backup takes {weighed[-1][0]:.0f} MiB, a restore {weighed[-1][1]:.0f} MiB")
    small, big = weighed
    cases = [harness.Measured(value, floor) for value, floor in zip(big, small, strict=True)]
    return max(cases, key=lambda measured: measured.ratio)


def weigh(stack: backup_stack.Stack) -> tuple[float, float]:
    """Return the highest memory of a backup and of a restore of what it made."""
    stack.configure(databases=[backup_stack.DATABASE], artifacts={"mode": "none"})
    with stack.memory() as backup:
        backup_rounds.one_set(stack)
    stack.drop(pg_restore.RESTORED)
    with stack.memory() as restore:
        pg_restore.run_module(stack, JOBS)
    stack.drop(pg_restore.RESTORED)
    stack.forget()
    return backup[0], restore[0]
