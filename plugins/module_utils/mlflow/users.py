# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of module mlflow_users: read, plan, apply."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.mlflow import rest, revisions
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.database import Failure
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.runner import Helper, HelperFailed, UnknownUser
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.uri import Database, UriError, explain, scrub

MINIMUM = 12
LEGACY_PASSWORD = "password1234"
# MLflow's first experiment has this id whatever its name
DEFAULT_EXPERIMENT = ("Default", "0")
RESET_TIMEOUT = 120

CREATE, PASSWORD, ADMIN, GRANT, REVOKE, DELETE = "create", "password", "admin", "grant", "revoke", "delete"


class Action:
    """One call that changes something."""

    def __init__(self, kind, user, **details):
        self.kind = kind
        self.user = user
        self.details = details

    def __str__(self):
        text = {
            CREATE: "create user {user}",
            PASSWORD: "set the password of {user}",
            DELETE: "delete user {user}",
            ADMIN: "make {user} {role}",
            GRANT: "grant {user} {permission} on {resource_type} {resource_id}",
            REVOKE: "revoke {user}'s permission on {resource_type} {resource_id}",
        }[self.kind]
        shown = {key: value for key, value in self.details.items() if key != "password"}
        shown["role"] = "an administrator" if self.details.get("admin") else "an ordinary user"
        return text.format(user=self.user, **shown)


def fault_of_password(password):
    """What MLflow would not accept about a password, or None."""
    if len(password) < MINIMUM:
        return "has %d characters, and MLflow wants at least %d" % (len(password), MINIMUM)
    if password == LEGACY_PASSWORD:
        return "is the published default of older MLflow versions"
    # The part of MLflow that serves artifacts reads the login as ASCII and answers 401 to anything else.
    if not all(" " <= letter <= "~" for letter in password):
        return "holds characters outside ASCII, with which MLflow lets its user do all but move artifacts"
    return None


def fault_of_name(name):
    if not name or ":" in name or not all(" " <= letter <= "~" for letter in name):
        return "a user's name can neither be empty nor hold a colon or characters outside ASCII"
    return None


def check(params):
    """One sentence about the first thing that is wrong with the options, or None."""
    named = [("admin_username", params["admin_username"], "admin_password", params["admin_password"])]
    for one in params["users"]:
        label = "the password of user %s" % one["name"]
        named.append(("users", one["name"], label, one["password"] if one["state"] == "present" else None))
    for option, name, label, password in named:
        fault = fault_of_name(name)
        if fault:
            return "%s: %s" % (option, fault)
        fault = fault_of_password(password) if password is not None else None
        if fault:
            return "%s %s" % (label, fault)
    names = [one["name"] for one in params["users"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return "users: %s is named twice" % twice[0]
    if any(one["name"] == params["admin_username"] and one["state"] == "absent" for one in params["users"]):
        return "users: the administrator %s cannot delete itself" % params["admin_username"]
    return None


def grants_of(user, resolve):
    """{(resource type, resource id): permission, or None for none} as asked for; resolve maps names to ids."""
    wanted = {}
    for one in user["permissions"] or []:
        if one["experiment"] is not None:
            key = ("experiment", resolve(one["experiment"], user["name"]))
        else:
            key = ("registered_model", one["registered_model"])
        wanted[key] = one["permission"] if one["state"] == "present" else None
    return wanted


def plan_user(user, current, password_ok, wanted):
    """The actions that make one user as asked. None stands for: not managed, or not there."""
    name = user["name"]
    if user["state"] == "absent":
        return [Action(DELETE, name)] if current is not None else []
    actions = []
    if current is None:
        actions.append(Action(CREATE, name, password=user["password"]))
        current = {"admin": False, "grants": {}}
    elif password_ok is False:
        actions.append(Action(PASSWORD, name, password=user["password"]))
    if user["admin"] is not None and user["admin"] != current["admin"]:
        actions.append(Action(ADMIN, name, admin=user["admin"]))
    for (resource_type, resource_id), permission in sorted(wanted.items()):
        present = current["grants"].get((resource_type, resource_id))
        if present == permission:
            continue
        place = {"resource_type": resource_type, "resource_id": resource_id}
        if present is not None:
            actions.append(Action(REVOKE, name, **place))
        if permission is not None:
            actions.append(Action(GRANT, name, permission=permission, **place))
    return actions


def describe(name, user, hidden):
    """One user in a diff."""
    if user is None:
        return "%s: absent\n" % name
    lines = ["%s: admin=%s, password %s\n" % (name, str(user["admin"]).lower(), hidden)]
    for (resource_type, resource_id), permission in sorted(user["grants"].items()):
        lines.append("  %s %s: %s\n" % (resource_type, resource_id, permission))
    return "".join(lines)


def after(current, actions):
    """What a user is after these actions."""
    user = None if current is None else {"admin": current["admin"], "grants": dict(current["grants"])}
    for action in actions:
        key = (action.details.get("resource_type"), action.details.get("resource_id"))
        if action.kind == CREATE:
            user = {"admin": False, "grants": {}}
        elif action.kind == DELETE:
            user = None
        elif action.kind == ADMIN:
            user["admin"] = action.details["admin"]
        elif action.kind == GRANT:
            user["grants"][key] = action.details["permission"]
        elif action.kind == REVOKE:
            del user["grants"][key]
    return user


def diff_of(plans):
    """Before and after of all users; passwords are only said to be as asked or not."""
    before, later = "", ""
    for name, current, actions in plans:
        changed = any(action.kind in (CREATE, PASSWORD) for action in actions)
        before += describe(name, current, "not as asked" if changed else "unchanged")
        later += describe(name, after(current, actions), "as asked" if changed else "unchanged")
    return {"before": before, "after": later, "before_header": "MLflow users", "after_header": "MLflow users"}


class Reset:
    """Gives the administrator its password through MLflow's own code, for when the server does not accept it."""

    def __init__(self, params, helper_class=Helper, installed_class=revisions.Installed):
        self.params = params
        self.possible = bool(params["env"] and params["auth_uri"])
        self.helper_class = helper_class
        self.installed_class = installed_class

    def refuse(self):
        return Failure(
            "MLflow at %s does not accept the password of the administrator %s: it was made with another one; give the "
            "old password, or give env and auth_uri so that it can be set anew"
            % (self.params["url"], self.params["admin_username"]),
            "login",
            False,
        )

    def run(self):
        params = self.params
        fail = "the administrator's password could not be set: %s"
        try:
            database = Database(params["auth_uri"])
            installed = self.installed_class(params["env"])
            secrets = database.secrets + [params["admin_password"]]
            helper = self.helper_class(installed.python, params["run_as"], secrets)
            probe, tail = helper.call(
                {"action": "read", "databases": [{"kind": database.kind, "connect": database.connect}]}, RESET_TIMEOUT
            )
            state = probe["states"][0]
            if "error" in state:
                reason, advice = explain(state["error"], database.connect, params["run_as"])
                text = fail % "the database at %s cannot be used: %s; %s" % (database.where, reason, advice)
                raise Failure(scrub(text, secrets), "reset", True, stderr_tail=tail)
            answer, tail = helper.call(
                {
                    "action": "set_admin",
                    "uri": database.mlflow_uri,
                    "username": params["admin_username"],
                    "password": params["admin_password"],
                },
                RESET_TIMEOUT,
            )
        except (UriError, UnknownUser, revisions.NotInstalled) as error:
            raise Failure(fail % error, "reset", False) from None
        except HelperFailed as error:
            raise Failure(fail % error, "reset", True, rc=error.rc, stderr_tail=error.stderr_tail) from None
        if "error" in answer:
            raise Failure(scrub(fail % answer["error"], secrets), "reset", True, stderr_tail=tail)


def refused(error, params):
    """A Failure for an answer that says no."""
    if error.status == 403 and "Host header" in str(error):
        text = "MLflow refuses requests to %s (403, %s): the address is not in MLFLOW_SERVER_ALLOWED_HOSTS" % (
            params["url"],
            error,
        )
    elif error.status in (401, 403):
        text = "MLflow at %s does not let %s manage its users (%d, %s): it must be an administrator" % (
            params["url"],
            params["admin_username"],
            error.status,
            error,
        )
    elif error.status == 404:
        text = (
            "MLflow at %s has no users (404): it runs without basic authentication (--app-name basic-auth)"
            % (params["url"])
        )
    else:
        text = "MLflow at %s refused a change of its users (%d): %s" % (params["url"], error.status, error)
    return Failure(text, "request", error.status >= 500)


class Work:
    def __init__(self, params, api, reset):
        self.params = params
        self.api = api
        self.reset = reset

    def current(self, check_mode):
        """The users, and whether the administrator's password had to be set (would have to be, in check mode)."""
        try:
            return self.api.listed(), False
        except rest.Refused as error:
            if error.status != 401:
                raise
        if not self.reset.possible:
            raise self.reset.refuse()
        if check_mode:
            return None, True
        self.reset.run()
        self.api.client.close()
        return self.api.listed(), True

    def resolve(self):
        """A function that gives an experiment's id; its name is looked up once."""
        known = dict([DEFAULT_EXPERIMENT, ("*", "*")])

        def find(name, user):
            if name not in known:
                known[name] = self.api.experiment_id(name)
            if known[name] is None:
                raise Failure(
                    "there is no experiment %s, which user %s is to have a permission on: create it first"
                    % (name, user),
                    "plan",
                    False,
                )
            return known[name]

        return find

    def plan(self, users):
        resolve = self.resolve()
        plans = []
        for user in self.params["users"]:
            name, current = user["name"], users.get(user["name"])
            password_ok = None
            if user["state"] == "present" and user["password"] is not None and current is not None:
                password_ok = self.api.accepts(name, user["password"])
            if user["state"] == "present" and user["password"] is None and current is None:
                raise Failure("user %s does not exist yet and has no password to be created with" % name, "plan", False)
            plans.append((name, current, plan_user(user, current, password_ok, grants_of(user, resolve))))
        return plans

    def apply(self, action):
        details = action.details
        {
            CREATE: self.api.create,
            PASSWORD: self.api.set_password,
            ADMIN: self.api.set_admin,
            GRANT: self.api.grant,
            REVOKE: self.api.revoke,
            DELETE: self.api.delete,
        }[action.kind](action.user, **details)


def run(params, check_mode, client_class=rest.Client, reset_class=Reset):
    """The whole of the module, but for Ansible's own part. Raises Failure."""
    fault = check(params)
    if fault:
        raise Failure(fault, "parameters", False)
    try:
        client = client_class(params["url"], params["ca_bundle"], params["timeout"])
    except ValueError as error:
        raise Failure(str(error), "parameters", False) from None
    except OSError as error:
        text = "ca_bundle: %s cannot be read (%s)" % (params["ca_bundle"], error)
        raise Failure(text, "parameters", False) from None
    work = Work(params, rest.Users(client, params["admin_username"], params["admin_password"]), reset_class(params))
    reset_text = "set the password of %s" % params["admin_username"]
    try:
        users, reset = work.current(check_mode)
        if users is None:
            return {
                "changed": True,
                "actions": [reset_text],
                "diff": diff_of([]),
                "warnings": ["the users could not be looked at: the administrator's password is not accepted"],
            }
        plans = work.plan(users)
        actions = [action for plan in plans for action in plan[2]]
        if not check_mode:
            for action in actions:
                work.apply(action)
    except rest.Unreachable as error:
        if not check_mode:
            raise Failure(str(error), "connect", True) from None
        return {
            "changed": True,
            "actions": [],
            "diff": diff_of([]),
            "warnings": ["the users could not be looked at, so a change is predicted: %s" % error],
        }
    except rest.Refused as error:
        raise refused(error, params) from None
    finally:
        client.close()
    return {
        "changed": reset or bool(actions),
        "actions": [reset_text] * reset + [str(action) for action in actions],
        "diff": diff_of(plans),
    }
