# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be restored where, and whether it may be: without any I/O."""

from __future__ import annotations

import dataclasses
import hashlib
import re

from ansible_collections.mlops.stack.plugins.module_utils.backup import names
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

SWAP = "swap"
SCRATCH = "scratch"
# Load and compare, and leave nothing.
REHEARSE = "rehearse"
NOTHING = "nothing"
CREATE = "create"
REPLACE = "replace"
# What PostgreSQL cuts names to, in bytes.
NAME_LIMIT = 63
SYSTEM = ("postgres", "template0", "template1")
# What stands for a database and a label that are too long for one name.
DIGEST = re.compile(r"[0-9a-f]{12}$")
MARK = re.compile(r"\n?mlops\.stack (?P<kind>scratch set|set|loading) (?P<label>\S+)$")
# A second copy needs what the first one takes, and some for the log of its making.
SPACE_FACTOR = 1.1
# What the manifest has to tell of each database.
NEEDED = {
    **dict.fromkeys(("name", "owner", "encoding", "collate", "ctype"), str),
    **dict.fromkeys(("tables", "alembic"), dict),
    "size_bytes": int,
}


@dataclasses.dataclass(frozen=True)
class Options:
    """How a set is to be restored."""

    mode: str = SCRATCH
    databases: tuple[str, ...] = ()
    target_db: str | None = None
    owner: str | None = None
    keep_old: bool = True
    restore_artifacts: bool = False
    force: bool = False


@dataclasses.dataclass(frozen=True)
class Target:
    """One database of a set: its facts in the manifest, and the names of what it becomes."""

    facts: dict
    name: str
    new: str
    old: str

    @property
    def source(self) -> str:
        """The database's name in the set."""
        return self.facts["name"]


@dataclasses.dataclass(frozen=True)
class Found:
    """A database that the server has."""

    name: str
    owner: str
    comment: str | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the checks want to know of a server."""

    version_num: int
    user: str
    superuser: bool
    createdb: bool
    roles: frozenset[str]
    member_of: frozenset[str]
    # Extension -> whether someone who is no superuser may make it.
    extensions: dict[str, bool]
    free_bytes: int | None = None


def refuse(message: str) -> BackupError:
    """The error of a restore that may not be, before anything was touched."""
    return BackupError(message, "plan", safe_to_retry=False)


def mark_of(comment: str | None) -> tuple[str, str] | None:
    """What a database's comment says of its making: (set, scratch set or loading; label)."""
    match = MARK.search(comment or "")
    return (match["kind"], match["label"]) if match else None


def with_mark(comment: str | None, kind: str, label: str) -> str:
    """The comment with this mark in the place of any earlier one."""
    kept = MARK.sub("", comment or "")
    return f"{kept}\n" * bool(kept) + f"mlops.stack {kind} {label}"


def derived(database: str, kind: str, label: str) -> str:
    """The name of a database made for another one, such as mlflow__new_LABEL, never longer than PostgreSQL takes."""
    name = f"{database}__{kind}_{label}"
    if len(name.encode()) <= NAME_LIMIT:
        return name
    digest = hashlib.sha256(f"{database}\0{label}".encode()).hexdigest()[:12]
    return _cut(database, f"__{kind}_{digest}")


def is_derived(name: str, database: str, kind: str) -> bool:
    """Whether derived() gives a name to this database with some label."""
    ending = f"__{kind}_"
    if name.startswith(database + ending) and names.is_label(name[len(database + ending) :]):
        return True
    digest = DIGEST.search(name)
    return digest is not None and name == _cut(database, ending + digest[0])


def _cut(name: str, ending: str) -> str:
    return name.encode()[: NAME_LIMIT - len(ending)].decode(errors="ignore") + ending


def targets(manifest: dict, options: Options) -> list[Target]:
    """The databases of the set that are asked for, with the names that they get."""
    label = manifest["label"]
    if not all(_is_whole(facts) for facts in manifest["databases"]) or "version_num" not in manifest["postgres"]:
        raise refuse(f"The manifest of the set {label} does not tell all of its databases: the set is damaged.")
    known = {facts["name"]: facts for facts in manifest["databases"]}
    absent = [name for name in options.databases if name not in known]
    if absent:
        raise refuse(f"The set {label} holds no database '{absent[0]}'; it holds {', '.join(sorted(known))}.")
    chosen = [facts for name, facts in known.items() if not options.databases or name in options.databases]
    if options.target_db and len(chosen) > 1:
        raise refuse(
            f"target_db names one database, and the set {label} holds {len(chosen)}: name the one to restore in"
            " databases."
        )
    return [_target(facts, label, options, known) for facts in chosen]


def _is_whole(facts) -> bool:
    return isinstance(facts, dict) and all(isinstance(facts.get(key), kind) for key, kind in NEEDED.items())


def _target(facts: dict, label: str, options: Options, known: dict) -> Target:
    name = options.target_db or facts["name"]
    if options.mode == SCRATCH:
        name = options.target_db or derived(name, "scratch", label)
        if name in known:
            raise refuse(f"'{name}' is the name of a live database: with mode=scratch, target_db must be another one.")
    if name in SYSTEM:
        raise refuse(f"'{name}' belongs to PostgreSQL itself and is no database to restore to.")
    if len(name.encode()) > NAME_LIMIT:
        raise refuse(f"'{name}' is longer than the {NAME_LIMIT} bytes that PostgreSQL takes as a name.")
    return Target(facts, name, derived(name, "new", label), derived(name, "old", label))


def decide(target: Target, present: Found | None, label: str, options: Options) -> str:
    """What becomes of one database: NOTHING, CREATE or REPLACE."""
    if present is None or options.mode == REHEARSE:
        return CREATE
    mark = mark_of(present.comment)
    if options.mode == SWAP:
        return NOTHING if mark == ("set", label) and not options.force else REPLACE
    # What no restore has made is somebody's, and force does not make it ours.
    if mark is None or mark[0] != "scratch set":
        raise refuse(f"The database '{target.name}' exists and was not made by mode=scratch: choose another target_db.")
    if options.force:
        return REPLACE
    if mark[1] == label:
        return NOTHING
    raise refuse(
        f"The database '{target.name}' holds the set {mark[1]}: choose another target_db, or set force to replace it."
    )


def free_name(name: str, taken) -> str:
    """The name, or with the first number behind it that makes it one that is not taken."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = _cut(name, f"_{number}")
    return found


def owner_of(target: Target, present: Found | None, options: Options) -> str:
    """The role that is to own the database: the one asked for, else the live one's, else that of the set."""
    return options.owner or (present.owner if present and options.mode == SWAP else target.facts["owner"])


def problems(targets_: list[Target], owners: dict[str, str], facts: Facts, manifest: dict) -> list[str]:
    """Why this server cannot take the set; one sentence each, none where it can."""
    found = []
    theirs, ours = manifest["postgres"]["version_num"] // 10000, facts.version_num // 10000
    if ours < theirs:
        found.append(
            f"The set was made from PostgreSQL {theirs} and this server is PostgreSQL {ours}: restore it to {theirs} or"
            " newer."
        )
    if not (facts.superuser or facts.createdb):
        found.append(f"The role {facts.user} may not make databases: ALTER ROLE {facts.user} CREATEDB.")
    for owner in dict.fromkeys(owners[target.name] for target in targets_):
        if owner not in facts.roles:
            found.append(f"The role '{owner}', which is to own the restored database, does not exist: make it first.")
        elif not (facts.superuser or owner in facts.member_of):
            found.append(f"The role {facts.user} is no member of '{owner}': GRANT {owner} TO {facts.user}.")
    for name in sorted({one for target in targets_ for one in _extensions(target.facts)}):
        if name not in facts.extensions:
            found.append(f"The set needs the extension '{name}', which this server does not have: install its package.")
        elif not (facts.superuser or facts.extensions[name]):
            found.append(f"The set needs the extension '{name}', which only a superuser may make.")
    needed = int(sum(target.facts["size_bytes"] for target in targets_) * SPACE_FACTOR)
    if facts.free_bytes is not None and facts.free_bytes < needed:
        found.append(
            f"The restored copy needs about {needed >> 20} MiB beside the live one, and PostgreSQL's file system has"
            f" {facts.free_bytes >> 20} MiB free."
        )
    return found


def _extensions(facts: dict) -> list[str]:
    return [one if isinstance(one, str) else one["name"] for one in facts.get("extensions", [])]


def differences(facts: dict, tables: dict[str, int], heads: dict) -> list[str]:
    """Where a loaded database is not what the manifest says; one sentence each."""
    found = []
    for table in sorted(facts["tables"].keys() | tables.keys()):
        wanted, got = facts["tables"].get(table), tables.get(table)
        if got is None:
            found.append(f"The table {table} is missing.")
        elif wanted is None:
            found.append(f"The table {table} is not in the manifest.")
        elif wanted != got:
            found.append(f"The table {table} has {got} rows, and the manifest says {wanted}.")
    for table in sorted(facts["alembic"].keys() | heads.keys()):
        if facts["alembic"].get(table) != heads.get(table):
            found.append(
                f"{table} is at revision {heads.get(table)}, and the manifest says {facts['alembic'].get(table)}."
            )
    return found


def unmarked(targets_: list[Target], databases: dict[str, Found]) -> list[str]:
    """Databases that are named as those that sets are loaded into, and have no comment.

    A restore leaves one that is killed right after it made it. It is empty then; any other one is somebody's own.
    """
    return [name for name in _to_load_into(targets_, databases) if not databases[name].comment]


def leftovers(targets_: list[Target], databases: dict[str, Found], empty) -> list[str]:
    """Databases that a killed restore left half loaded and that are to be dropped.

    ``empty``: those of unmarked() in which there is nothing.
    """
    return sorted(
        name
        for name in _to_load_into(targets_, databases)
        if name in empty or (mark_of(databases[name].comment) or ("",))[0] == "loading"
    )


def _to_load_into(targets_, databases):
    return [name for name in databases if any(is_derived(name, target.name, "new") for target in targets_)]


def scratches(databases: dict[str, Found], label: str, name: str | None) -> list[str]:
    """The databases that scratch restores of this set have made; of this name alone, where one is given."""
    marked = [one for one, found in databases.items() if mark_of(found.comment) == ("scratch set", label)]
    return sorted(one for one in marked if name in (None, one))


def first(problems_: list[str]) -> str:
    """The first of some sentences, and how many there are more."""
    more = len(problems_) - 1
    return problems_[0] + (f" ({more} more of that kind.)" if more else "")
