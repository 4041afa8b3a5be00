# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import revisions, users
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.database import Failure
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.rest import Refused, Unreachable
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.runner import HelperFailed, UnknownUser

ADMIN = "the admin's pw"
GOOD = "p@ss/w%rd:#x"


def user(name="client", **options):
    return dict({"name": name, "password": GOOD, "admin": None, "state": "present", "permissions": None}, **options)


def permission(**options):
    return dict({"experiment": None, "registered_model": None, "permission": "EDIT", "state": "present"}, **options)


def params(*wanted, **options):
    return dict(
        {
            "url": "http://h:5000",
            "admin_username": "admin",
            "admin_password": ADMIN,
            "users": list(wanted),
            "env": None,
            "auth_uri": None,
            "run_as": None,
            "ca_bundle": None,
            "timeout": 30,
        },
        **options,
    )


class FakeServer:
    """A server's users, and the client that reaches them."""

    def __init__(self):
        self.users = {"admin": [ADMIN, True, {}]}
        self.experiments = {"digits": "7"}
        self.faults = []
        self.calls = []
        self.closed = 0

    def __call__(self, url, ca_bundle, timeout):
        if ca_bundle:
            raise FileNotFoundError("no such file")
        if not url.startswith("http"):
            raise ValueError("the URL is wrong")
        return self

    def close(self):
        self.closed += 1

    def request(self, login, method, path, **fields):
        for fault in self.faults:
            raise fault
        known = self.users.get(login[0])
        if known is None or known[0] != login[1]:
            raise Refused("You are not authenticated.", 401)
        name = path.rpartition("mlflow/")[2]
        if method != "GET":
            self.calls.append(name)
        return getattr(self, name.replace("/", "_").replace("-", "_"))(**fields) or {}

    def users_list(self):
        return {
            "users": [
                {
                    "id": number,
                    "username": name,
                    "is_admin": admin,
                    "roles": [
                        {
                            "name": "__user_%d__" % number,
                            "permissions": [
                                {"resource_type": key[0], "resource_pattern": key[1], "permission": value}
                                for key, value in grants.items()
                            ],
                        }
                    ],
                }
                for number, (name, (unused, admin, grants)) in enumerate(self.users.items())
            ]
        }

    def users_current(self):
        return {}

    def experiments_get_by_name(self, experiment_name):
        if experiment_name not in self.experiments:
            raise Refused("none", 404, "RESOURCE_DOES_NOT_EXIST")
        return {"experiment": {"experiment_id": self.experiments[experiment_name]}}

    def users_create(self, username, password):
        self.users[username] = [password, False, {}]

    def users_update_password(self, username, password):
        self.users[username][0] = password

    def users_update_admin(self, username, is_admin):
        self.users[username][1] = is_admin

    def users_delete(self, username):
        del self.users[username]

    def users_permissions_grant(self, username, resource_type, resource_id, permission):
        assert (resource_type, resource_id) not in self.users[username][2]
        self.users[username][2][resource_type, resource_id] = permission

    def users_permissions_revoke(self, username, resource_type, resource_id):
        del self.users[username][2][resource_type, resource_id]


@pytest.fixture(name="server")
def fixture_server():
    return FakeServer()


def run(server, *wanted, check_mode=False, reset=users.Reset, **options):
    return users.run(params(*wanted, **options), check_mode, client_class=server, reset_class=reset)


def test_check_create_repeat_change_delete(server):
    wanted = user(
        admin=False,
        permissions=[
            permission(experiment="Default"),
            permission(experiment="digits", permission="MANAGE"),
            permission(registered_model="*", permission="READ"),
        ],
    )
    predicted = run(server, wanted, check_mode=True)
    assert predicted["changed"] is True
    assert server.calls == []
    made = run(server, wanted)
    assert (
        made["actions"]
        == predicted["actions"]
        == [
            "create user client",
            "grant client EDIT on experiment 0",
            "grant client MANAGE on experiment 7",
            "grant client READ on registered_model *",
        ]
    )
    assert made["diff"] == predicted["diff"]
    assert made["diff"]["before"] == "client: absent\n"
    assert made["diff"]["after"].startswith("client: admin=false, password as asked\n  experiment 0: EDIT\n")
    assert GOOD not in str(made)
    assert run(server, wanted)["changed"] is False

    other = user(
        password="another password",
        admin=True,
        permissions=[
            permission(experiment="Default", permission="READ"),
            permission(experiment="digits", state="absent"),
            permission(experiment="*", state="absent"),
        ],
    )
    changed = run(server, other)
    assert changed["actions"] == [
        "set the password of client",
        "make client an administrator",
        "revoke client's permission on experiment 0",
        "grant client READ on experiment 0",
        "revoke client's permission on experiment 7",
    ]
    assert "password not as asked" in changed["diff"]["before"]
    assert server.users["client"] == [
        "another password",
        True,
        {("experiment", "0"): "READ", ("registered_model", "*"): "READ"},
    ]
    assert run(server, user(password=None))["changed"] is False

    gone = user(state="absent", password=None)
    assert run(server, gone)["actions"] == ["delete user client"]
    assert run(server, gone)["changed"] is False
    assert run(server)["changed"] is False


@pytest.mark.parametrize(
    "options, words",
    [
        ({"admin_password": "short"}, "admin_password has 5 characters"),
        ({"admin_password": "password1234"}, "published default"),
        ({"admin_username": "a:b"}, "admin_username: a user's name"),
        ({"users": [user("")]}, "users: a user's name"),
        ({"users": [user("müller")]}, "outside ASCII"),
        ({"users": [user(password="short")]}, "the password of user client has 5"),
        ({"users": [user(password="pässword1234")]}, "outside ASCII"),
        ({"users": [user(), user()]}, "client is named twice"),
        ({"users": [user("admin", state="absent")]}, "cannot delete itself"),
        ({"ca_bundle": "/missing"}, "ca_bundle: /missing cannot be read"),
        ({"url": "h:1"}, "the URL is wrong"),
    ],
)
def test_bad_options(server, options, words):
    with pytest.raises(Failure, match=words) as caught:
        run(server, **options)
    assert caught.value.result["phase"] == "parameters"


def test_plan_faults(server):
    with pytest.raises(Failure, match="there is no experiment none, which user client"):
        run(server, user(permissions=[permission(experiment="none")]))
    with pytest.raises(Failure, match="has no password to be created with"):
        run(server, user(password=None))
    assert server.calls == []


@pytest.mark.parametrize(
    "error, words, retry",
    [
        (Refused("Invalid Host header - possible", 403), "MLFLOW_SERVER_ALLOWED_HOSTS", False),
        (Refused("Permission denied", 403), "must be an administrator", False),
        (Refused("Not Found", 404), "without basic authentication", False),
        (Refused("odd", 400), "refused a change of its users .400.: odd", False),
        (Refused("broken", 500), "broken", True),
    ],
)
def test_refusals(server, error, words, retry):
    server.faults = [error]
    with pytest.raises(Failure, match=words) as caught:
        run(server)
    assert caught.value.result["phase"] == "request"
    assert caught.value.result["safe_to_retry"] is retry
    assert server.closed == 1


def test_unreachable(server):
    server.faults = [Unreachable("MLflow cannot be reached")]
    with pytest.raises(Failure, match="cannot be reached") as caught:
        run(server)
    assert caught.value.result["phase"] == "connect"
    found = run(server, check_mode=True)
    assert found["changed"] is True
    assert "a change is predicted" in found["warnings"][0]


def reset_through(*answers, server=None):
    """A Reset whose helper gives these answers, and the list of what it was asked."""
    requests = []
    left = list(answers)

    class FakeHelper:
        def __init__(self, python, run_as, secrets):
            if run_as == "nobody-here":
                raise UnknownUser("there is no user nobody-here on this host")

        def call(self, request, timeout):
            requests.append(request)
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            if "done" in answer:
                server.users["admin"][0] = request["password"]
            return answer, "tail"

    class FakeInstalled:
        def __init__(self, env):
            if env == "/missing":
                raise revisions.NotInstalled("there is no MLflow in /missing")
            self.python = env + "/bin/python"

    return lambda options: users.Reset(options, FakeHelper, FakeInstalled), requests


READ = {"states": [{"state": {}}]}
KEYS = {"env": "/env", "auth_uri": "sqlite:////a.db"}


def test_admin_password_is_set(server):
    server.users["admin"][0] = "an older password"
    reset, requests = reset_through(READ, {"done": True}, server=server)
    predicted = run(server, user(), check_mode=True, reset=reset, **KEYS)
    assert predicted["changed"] is True
    assert predicted["actions"] == ["set the password of admin"]
    assert "could not be looked at" in predicted["warnings"][0]
    assert requests == []
    found = run(server, user(), reset=reset, **KEYS)
    assert found["actions"] == ["set the password of admin", "create user client"]
    assert requests[1] == {"action": "set_admin", "uri": "sqlite:////a.db", "username": "admin", "password": ADMIN}
    assert run(server, user(), reset=reset, **KEYS)["changed"] is False


def test_admin_password_cannot_be_set(server):
    server.users["admin"][0] = "an older password"
    with pytest.raises(Failure, match="does not accept the password of the administrator admin.*give env and auth_uri"):
        run(server)


@pytest.mark.parametrize(
    "answers, options, words",
    [
        ([], {"auth_uri": "mysql://h"}, "could not be set: MLflow's database URI"),
        ([], {"env": "/missing"}, "could not be set: there is no MLflow in /missing"),
        ([], {"run_as": "nobody-here"}, "could not be set: there is no user nobody-here"),
        ([HelperFailed("it ended without an answer", 1, "tail")], {}, "could not be set: it ended"),
        (
            [{"states": [{"error": "unable to open database file"}]}],
            {},
            "a.db cannot be used: the file cannot be opened",
        ),
        ([READ, {"error": "no " + ADMIN}], {}, r"could not be set: no \*\*\*"),
    ],
)
def test_admin_password_that_fails_to_be_set(server, answers, options, words):
    server.users["admin"][0] = "an older password"
    reset = reset_through(*answers, server=server)[0]
    with pytest.raises(Failure, match=words) as caught:
        run(server, reset=reset, **dict(KEYS, **options))
    assert caught.value.result["phase"] == "reset"
    assert ADMIN not in str(caught.value.result)
