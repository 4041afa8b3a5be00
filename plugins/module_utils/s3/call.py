# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a module's options to its result."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.s3 import client, connection, names, plan
from ansible_collections.mlops.stack.plugins.module_utils.s3.filer import Filer
from ansible_collections.mlops.stack.plugins.module_utils.s3.run import Outcome, Run

FEATURES = (*plan.FEATURES, "object_lock")


def desired(params):
    """What is asked for; one sentence where it cannot be."""
    wanted = list(dict.fromkeys(params["name"]))
    features = {}
    if params["state"] == "present":
        features = {feature: params[feature] for feature in FEATURES if params[feature] is not None}
    wrong = names.check(wanted) or plan.conflict(features)
    if wrong:
        raise client.StoreError(wrong, "options", safe_to_retry=False)
    return plan.Desired(wanted, params["state"], features, params["force"], params["adopt_unowned"])


def open_store(params, settings, filer_key):
    """The store that the options name."""
    filer = None
    if params["filer_url"]:
        filer = Filer(connection.url("filer_url", params["filer_url"]), filer_key, settings["ca_bundle"])
    return client.Store(
        client.connect(
            settings["endpoint_url"],
            settings["access_key"],
            settings["secret_key"],
            params["region"],
            settings["ca_bundle"],
        ),
        endpoint=settings["endpoint_url"] or connection.AWS_ENDPOINT,
        region=params["region"],
        flavor=params["flavor"],
        wait_timeout=params["wait_timeout"],
        filer=filer,
    )


def _result(outcome):
    return {
        "changed": outcome.changed,
        "created": outcome.created,
        "deleted": outcome.deleted,
        "unsupported": outcome.unsupported,
    }


def failure(outcome):
    """A failed call's result; what was made or deleted before the failure is in it."""
    error = outcome.error
    return dict(
        _result(outcome),
        msg=error.message,
        phase=error.phase,
        code=error.code,
        bucket=error.bucket,
        safe_to_retry=error.safe_to_retry,
    )


def success(outcome, flavor):
    """A call's result, with a diff of the buckets that differ."""
    differ = [name for name in outcome.before if outcome.before[name] != outcome.after[name]]
    return dict(
        _result(outcome),
        owner_verified=outcome.owner_verified,
        before=outcome.before,
        after=outcome.after,
        buckets=outcome.buckets,
        flavor=flavor,
        diff={
            "before": {name: outcome.before[name] for name in differ},
            "after": {name: outcome.after[name] for name in differ},
        },
    )


def execute(params, environ, check_mode, opener=open_store):
    """Do what the options ask for: (failed, result, secrets that no output may show)."""
    secrets = set()
    try:
        wanted = desired(params)
        settings = connection.resolve(params, environ)
        filer_key = connection.value(params, "filer_key", environ)
        secrets.update(secret for secret in (settings["secret_key"], filer_key) if secret)
        store = opener(params, settings, filer_key)
    except client.StoreError as error:
        return True, failure(Outcome(error=error)), secrets
    outcome = Run(store, wanted, params["probe"], params["probe_limit"], check_mode)()
    if outcome.error is not None:
        return True, failure(outcome), secrets
    return False, success(outcome, store.flavor), secrets
