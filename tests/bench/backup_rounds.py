# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups and the two bare ways to dump, measured in turn for pg_backup and pg_backup_vs_gzip.

All three run on the backup host as the timer's user, through the same login, over the same connection with TLS, onto
the same file system. What is cached is written out before each. One round is one of each, each of them first in turn.
"""

from __future__ import annotations

import dataclasses

import backup_stack
import harness

ROUNDS = 3
MEGABYTE = 1_000_000


@dataclasses.dataclass(frozen=True)
class Rounds:
    """The seconds of every round, and the size of the database in megabytes."""

    backup: list[float]
    bare: list[float]
    gzip: list[float]
    megabytes: float


def measure(session: harness.Session) -> Rounds:
    """Return the rounds; both figures come from the same."""
    return session.once("backup rounds", lambda: take_turns(backup_stack.stack(session)))


def take_turns(stack: backup_stack.Stack) -> Rounds:
    """Back up and dump in turn."""
    stack.fill(backup_stack.SIZE_MB)
    stack.configure(databases=[backup_stack.DATABASE], artifacts={"mode": "none"})
    dump = one_set(stack)["databases"][0]["dump"]
    bare = (
        f"pg_dump --format=directory --jobs={dump['jobs']} --compress={dump['compress']} "
        f"--file={backup_stack.FLOOR}/dump {backup_stack.DATABASE}"
    )
    gzip = f"pg_dump {backup_stack.DATABASE} | gzip >{backup_stack.FLOOR}/dump.sql.gz"
    harness.say(f"the floors: {bare}; {gzip}")
    ways = {"backup": stack.backup, "bare": lambda: stack.seconds(bare), "gzip": lambda: stack.seconds(gzip)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name in list(ways)[number % 3 :] + list(ways)[: number % 3]:
            stack.forget()
            stack.settle()
            taken[name].append(ways[name]())
            if name == "backup":
                harness.say(f"phases: {stack.sets()[-1]['seconds']}")
    stack.forget()
    size = int(stack.sql(f"SELECT pg_database_size('{backup_stack.DATABASE}')"))
    return Rounds(**taken, megabytes=size / MEGABYTE)


def one_set(stack: backup_stack.Stack) -> dict:
    """Make a set, which nobody times, and return its manifest; it reads the database into the caches of both sides."""
    stack.forget()
    stack.backup()
    made = stack.sets()
    if len(made) != 1 or made[0]["verified"]["level"] != "read":
        raise harness.BenchError("The timer's backup made no verified set.")
    return made[0]
