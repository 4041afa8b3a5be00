# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of module mlflow_database: read, plan, apply."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.mlflow import plan, revisions
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.runner import Helper, HelperFailed, UnknownUser
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.uri import Database, UriError, explain, scrub

READ_TIMEOUT = 60
MARGIN = 15


class Failure(Exception):
    """One clear sentence, and what else a task's result says about it."""

    def __init__(self, msg, phase, safe_to_retry, **details):
        super().__init__(msg)
        self.result = dict(details, msg=msg, phase=phase, safe_to_retry=safe_to_retry)


class Absent(Failure):
    """What the check needs is not there yet: in check mode on a bare machine this is no failure."""


class Work:
    """The databases of one call, with all that is needed to read and change them."""

    def __init__(self, params, helper_class=Helper, installed_class=revisions.Installed):
        self.params = params
        try:
            self.databases = {plan.TRACKING: Database(params["uri"])}
            if params["auth_uri"]:
                self.databases[plan.AUTH] = Database(params["auth_uri"])
        except UriError as error:
            raise Failure(str(error), "parameters", False) from None
        self.where = {store: database.where for store, database in self.databases.items()}
        self.secrets = [secret for database in self.databases.values() for secret in database.secrets]
        try:
            self.installed = installed_class(params["env"])
            self.scripts = {
                plan.TRACKING: self.installed.scripts(revisions.TRACKING_SCRIPTS),
                plan.AUTH: self.installed.scripts(revisions.AUTH_SCRIPTS),
            }
        except (revisions.NotInstalled, OSError) as error:
            raise Absent(str(error), "environment", True) from None
        try:
            self.helper = helper_class(self.installed.python, params["run_as"], self.secrets)
        except UnknownUser as error:
            raise Absent(str(error), "environment", True) from None

    def call(self, request, timeout, phase):
        try:
            return self.helper.call(request, timeout)
        except HelperFailed as error:
            raise Failure(
                "MLflow's Python %s was to %s, but %s"
                % (self.installed.python, "read the database" if phase == "read" else "migrate the database", error),
                phase,
                True,
                rc=error.rc,
                stderr_tail=error.stderr_tail,
            ) from None

    def unusable(self, store, error, kind, tail):
        reason, check = explain(error, self.databases[store].connect, self.params["run_as"])
        text = "the database at %s cannot be used: %s; %s" % (self.where[store], reason, check)
        return kind(scrub(text, self.secrets), "connect", True, stderr_tail=scrub(error.strip(), self.secrets) or tail)

    def read(self):
        """What each database holds now; one connection where both stores share a database."""
        request, places = [], {}
        for store, database in self.databases.items():
            for index, known in enumerate(request):
                if known.uri == database.uri:
                    places[store] = index
                    break
            else:
                places[store] = len(request)
                request.append(database)
        answer, tail = self.call(
            {"action": "read", "databases": [{"kind": one.kind, "connect": one.connect} for one in request]},
            READ_TIMEOUT,
            "read",
        )
        states = {}
        for store, index in places.items():
            found = answer["states"][index]
            if "error" in found:
                raise self.unusable(store, found["error"], Absent, tail)
            states[store] = found["state"]
        return states

    def plan(self, states):
        steps = []
        for store, state in states.items():
            other = plan.AUTH if store == plan.TRACKING else plan.TRACKING
            step = plan.plan_store(
                store,
                self.where[store],
                self.installed.version,
                self.scripts[store],
                self.scripts[other].tables - self.scripts[store].tables,
                state,
            )
            if step.action == plan.REFUSE:
                raise Failure(step.message, "plan", False, stores={store: step.as_dict()})
            if step.action == plan.MIGRATE and not self.params["migrate"]:
                message = plan.not_migrated(step, self.where[store], self.installed.version)
                raise Failure(message, "plan", False, stores={store: step.as_dict()})
            steps.append(step)
        return steps

    def apply(self, steps):
        """Runs the steps that change something; returns the stores that were changed by this call."""
        todo = [step for step in steps if step.changes]
        timeout = self.params["timeout"]
        answer, tail = self.call(
            {
                "action": "migrate",
                "timeout": timeout,
                "artifact_root": self.params["artifact_root"],
                "steps": [
                    {
                        "store": step.store,
                        "head": step.after,
                        "database": {
                            "kind": self.databases[step.store].kind,
                            "connect": self.databases[step.store].connect,
                            "uri": self.databases[step.store].mlflow_uri,
                        },
                    }
                    for step in todo
                ],
            },
            timeout + MARGIN,
            "migrate",
        )
        if "error" in answer:
            store, phase = answer["store"], answer["phase"]
            if phase == "connect":
                raise self.unusable(store, answer["error"], Failure, tail)
            text = "the %s at %s could not be brought to revision %s: %s" % (
                plan.TITLES[store],
                self.where[store],
                self.scripts[store].heads[0],
                answer["error"],
            )
            changed = any(answer["done"].values())
            raise Failure(scrub(text, self.secrets), phase, phase == "lock", stderr_tail=tail, changed=changed)
        return [store for store, changed in answer["done"].items() if changed]


def result_of(work, steps, changed, done):
    return {
        "changed": changed,
        "version": work.installed.version,
        "stores": {step.store: step.as_dict() for step in steps},
        "msg": plan.sentence(steps, work.where, done),
        "diff": plan.diff(steps),
    }


def predicted(absent):
    """The result of check mode where nothing can be read yet."""
    return {
        "changed": True,
        "version": None,
        "stores": {},
        "msg": "would bring the database to the schema of MLflow, which cannot be looked at yet: %s" % absent,
        "diff": {"before": "", "after": ""},
    }


def run(params, check_mode, **classes):
    """The whole of the module, but for Ansible's own part. Raises Failure."""
    try:
        work = Work(params, **classes)
        steps = work.plan(work.read())
    except Absent as absent:
        if not check_mode:
            raise
        return predicted(absent)
    todo = any(step.changes for step in steps)
    if check_mode or not todo:
        return result_of(work, steps, todo, False)
    changed = work.apply(steps)
    # What another host migrated while this one waited for its turn is no change of this one.
    steps = [
        step if step.store in changed else plan.Step(step.store, plan.NOTHING, step.after, step.after) for step in steps
    ]
    return result_of(work, steps, bool(changed), True)
