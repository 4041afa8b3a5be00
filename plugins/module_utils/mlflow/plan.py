# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to happen to MLflow's databases. Pure."""

from __future__ import annotations

TRACKING = "tracking"
AUTH = "auth"
VERSION_TABLES = {TRACKING: "alembic_version", AUTH: "alembic_version_auth"}
TITLES = {TRACKING: "tracking store", AUTH: "users' store"}

# The five tables that MLflow makes at first, before it runs any migration, and those of its first users' store
INITIAL_TABLES = frozenset(["experiments", "runs", "tags", "metrics", "params"])
LEGACY_AUTH_TABLES = frozenset(["users", "experiment_permissions", "registered_model_permissions"])

NOTHING, INITIALISE, MIGRATE, REFUSE = "none", "initialise", "migrate", "refuse"


class Step:
    """What to do with one store: action, and the revisions before and after."""

    def __init__(self, store, action, before, after, message=None):
        self.store = store
        self.action = action
        self.before = before
        self.after = after
        self.message = message

    @property
    def changes(self):
        return self.action in (INITIALISE, MIGRATE)

    def as_dict(self):
        return {"action": self.action, "from": self.before, "to": self.after}


def some(names, count=3):
    """The first names of many, for a sentence."""
    names = sorted(names)
    more = len(names) - count
    return ", ".join(names[:count]) + (" and %d more" % more if more > 0 else "")


def plan_store(store, where, version, scripts, others, state):
    """The Step for one store.

    scripts are those of the installed MLflow for this store; others is the set of tables that belong to the
    other store; state is what the database holds: tables, and revisions by version table.
    """
    head = scripts.heads[0]
    revisions = state["revisions"].get(VERSION_TABLES[store], [])

    def refuse(text, before=None):
        return Step(store, REFUSE, before, head, text + "; nothing was changed")

    if len(revisions) > 1:
        return refuse(
            "the %s in %s holds %d revisions at once (%s), so a migration of it was left half done: restore the "
            "backup made before it" % (TITLES[store], where, len(revisions), some(revisions)),
            some(revisions),
        )
    if revisions:
        current = revisions[0]
        if current == head:
            return Step(store, NOTHING, current, head)
        if current not in scripts.known:
            return refuse(
                "the database at %s was written by a newer MLflow (revision %s of the %s is not known to %s): install "
                "that version or newer" % (where, current, TITLES[store], version),
                current,
            )
        return _writable(Step(store, MIGRATE, current, head), where, state)

    tables = set(state["tables"]) - set(VERSION_TABLES.values()) - others
    if store == AUTH:
        found = tables & scripts.tables
        if found and not found >= LEGACY_AUTH_TABLES:
            return refuse(
                "the database at %s holds tables (%s) that MLflow's users' store needs the names of, but not MLflow's "
                "record of their version (alembic_version_auth): give auth_uri an empty database" % (where, some(found))
            )
        action = MIGRATE if found else INITIALISE
    else:
        if not tables <= INITIAL_TABLES and tables >= INITIAL_TABLES:
            return refuse(
                "the database at %s holds MLflow's tables but not the record of their version (alembic_version): "
                "restore the backup that has it" % where
            )
        if not tables <= INITIAL_TABLES:
            return refuse(
                "the database at %s is not empty and not MLflow's: it holds %d tables (%s) and no alembic_version; "
                "give uri an empty database" % (where, len(tables), some(tables))
            )
        action = INITIALISE
    return _writable(Step(store, action, None, head), where, state)


def _writable(step, where, state):
    """The step, or a refusal where the database cannot be written by its user."""
    if state.get("standby"):
        text = "the database at %s is a standby and can only be read: name the primary in the URI" % where
    elif not state.get("can_create", True):
        text = "user %s may not make tables in schema %s of %s: make it the owner of the database" % (
            state.get("user"),
            state.get("schema"),
            where,
        )
    else:
        return step
    return Step(step.store, REFUSE, step.before, step.after, text + "; nothing was changed")


def not_migrated(step, where, version):
    """Why a database that has to be migrated first is left as it is."""
    return (
        "the %s at %s was written by an older MLflow (revision %s), and %s wants revision %s: upgrade with "
        "playbooks/upgrade.yml, which makes a backup first and puts the old version back when anything fails; nothing "
        "was changed" % (TITLES[step.store], where, step.before or "before the first", version, step.after)
    )


def sentence(steps, where, done):
    """One line that says what was done, or would be."""
    parts = []
    for step in steps:
        title = "%s at %s" % (TITLES[step.store], where[step.store])
        if step.action == INITIALISE:
            verb = "initialised" if done else "would initialise"
            parts.append("%s the %s at revision %s" % (verb, title, step.after))
        elif step.action == MIGRATE:
            parts.append(
                "%s the %s from revision %s to %s"
                % ("migrated" if done else "would migrate", title, step.before or "before the first", step.after)
            )
    return "; ".join(parts) or "the schema is up to date"


def diff(steps):
    """Before and after, one line for each store."""

    def text(which):
        return "".join("%s: %s\n" % (TITLES[step.store], which(step) or "absent") for step in steps)

    return {
        "before_header": "MLflow schema revisions",
        "after_header": "MLflow schema revisions",
        "before": text(lambda step: step.before),
        "after": text(lambda step: step.after),
    }
