# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import database, plan, revisions
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.revisions import Scripts
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.runner import HelperFailed, UnknownUser

PASSWORD = "gehe:im"
URI = "postgresql://u:gehe%3Aim@h/d"
EMPTY = {"tables": [], "revisions": {}}
CURRENT = {"tables": [], "revisions": {"alembic_version": ["b"], "alembic_version_auth": ["y"]}}
OLD = {"tables": [], "revisions": {"alembic_version": ["a"], "alembic_version_auth": ["y"]}}
NEWER = {"tables": [], "revisions": {"alembic_version": ["c"]}}


class FakeInstalled:
    python = "/env/bin/python"
    version = "3.17.2"

    def __init__(self, env):
        if env == "/missing":
            raise revisions.NotInstalled("there is no MLflow in /missing")

    def scripts(self, folder):
        if folder == revisions.AUTH_SCRIPTS:
            return Scripts({"x", "y"}, {"y"}, {"users"})
        return Scripts({"a", "b"}, {"b"}, {"runs"})


def fake_helper(*answers):
    """A class whose one object gives these answers, and the list of the requests it gets."""
    requests = []
    left = list(answers)

    class FakeHelper:
        def __init__(self, python, run_as, secrets):
            if run_as == "nobody-here":
                raise UnknownUser("there is no user nobody-here on this host")
            assert PASSWORD in secrets or not secrets

        def call(self, request, timeout):
            requests.append((request, timeout))
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer, "the tail"

    return FakeHelper, requests


def run(*answers, check_mode=False, **options):
    params = {
        "env": "/env",
        "uri": URI,
        "auth_uri": URI,
        "run_as": None,
        "timeout": 600,
        "artifact_root": "mlflow-artifacts:/",
        "migrate": True,
    }
    params.update(options)
    helper_class, requests = fake_helper(*answers)
    result = database.run(params, check_mode, helper_class=helper_class, installed_class=FakeInstalled)
    return result, requests


def failure(*answers, **options):
    with pytest.raises(database.Failure) as caught:
        run(*answers, **options)
    assert PASSWORD not in str(caught.value.result)
    assert "gehe%3Aim" not in str(caught.value.result)
    return caught.value.result


def states(*found):
    return {"states": [{"state": one} for one in found]}


def test_nothing_to_do_reads_one_database_once():
    result, requests = run(states(CURRENT))
    assert result["changed"] is False
    assert result["msg"] == "the schema is up to date"
    assert result["version"] == "3.17.2"
    assert len(requests) == 1
    assert len(requests[0][0]["databases"]) == 1


def test_no_users_store():
    result, requests = run(states(CURRENT), auth_uri=None)
    assert list(result["stores"]) == ["tracking"]
    assert len(requests) == 1


def test_two_databases_are_initialised():
    result, requests = run(
        states(EMPTY, EMPTY),
        {"done": {"tracking": True, "auth": True}},
        uri="sqlite:////m.db",
        auth_uri="sqlite:////a.db",
    )
    assert result["changed"] is True
    assert result["stores"]["auth"] == {"action": "initialise", "from": None, "to": "y"}
    request, timeout = requests[1]
    assert timeout == 615
    assert [step["database"]["uri"] for step in request["steps"]] == ["sqlite:////m.db", "sqlite:////a.db"]


def test_only_what_is_old_is_migrated():
    result, requests = run(states(OLD), {"done": {"tracking": True}})
    assert result["stores"] == {
        "tracking": {"action": "migrate", "from": "a", "to": "b"},
        "auth": {"action": "none", "from": "y", "to": "y"},
    }
    assert "migrated the tracking store at h:5432/d from revision a to b" in result["msg"]
    assert requests[1][0]["steps"][0]["database"]["uri"] == "postgresql+psycopg2://u:gehe%3Aim@h/d"


def test_another_host_was_first():
    result, requests = run(states(OLD), {"done": {"tracking": False}})
    assert result["changed"] is False
    assert result["stores"]["tracking"] == {"action": "none", "from": "b", "to": "b"}
    assert result["diff"]["before"] == result["diff"]["after"]
    assert len(requests) == 2


def test_check_mode_says_what_would_be():
    result, requests = run(states(OLD), check_mode=True)
    assert result["changed"] is True
    assert result["msg"].startswith("would migrate")
    assert result["diff"]["before"].startswith("tracking store: a")
    assert len(requests) == 1


@pytest.mark.parametrize("options", [{"env": "/missing"}, {"run_as": "nobody-here"}])
def test_check_mode_on_a_bare_machine(options):
    result, requests = run(check_mode=True, **options)
    assert result["changed"] is True
    assert "cannot be looked at yet: there is no" in result["msg"]
    assert requests == []
    found = failure(**options)
    assert found["phase"] == "environment"


def test_database_that_cannot_be_reached():
    fault = {"states": [{"error": 'password authentication failed for user "u" with gehe:im', "phase": "connect"}]}
    found = failure(fault)
    assert "the database at h:5432/d cannot be used: it refuses the password of user u" in found["msg"]
    assert found["phase"] == "connect"
    assert found["safe_to_retry"] is True
    assert run(fault, check_mode=True)[0]["changed"] is True
    assert failure({"states": [{"error": "", "phase": "connect"}]})["stderr_tail"] == "the tail"


def test_refusals():
    found = failure(states(NEWER))
    assert "written by a newer MLflow" in found["msg"]
    assert found["phase"] == "plan"
    assert failure(uri="mysql://u@h/d")["phase"] == "parameters"
    with pytest.raises(database.Failure, match="newer"):
        run(states(NEWER), check_mode=True)


@pytest.mark.parametrize("answers, phase", [([], "read"), ([states(OLD)], "migrate")])
def test_helper_that_gives_no_answer(answers, phase):
    found = failure(*answers, HelperFailed("it ended without an answer", 1, "tail"))
    assert found["phase"] == phase
    assert (found["rc"], found["stderr_tail"]) == (1, "tail")


def test_migration_that_fails():
    found = failure(states(OLD), {"done": {}, "error": "no: gehe:im", "phase": "migrate", "store": "tracking"})
    assert found["msg"] == ("the tracking store at h:5432/d could not be brought to revision b: no: ********")
    assert (found["changed"], found["safe_to_retry"]) == (False, False)
    found = failure(states(OLD), {"done": {"auth": True}, "error": "busy", "phase": "lock", "store": "tracking"})
    assert (found["changed"], found["safe_to_retry"]) == (True, True)
    found = failure(states(OLD), {"done": {}, "error": "Connection refused", "phase": "connect", "store": "tracking"})
    assert "nothing listens at h port 5432" in found["msg"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_older_database_is_left_alone_where_it_may_not_be_migrated(check_mode):
    result = failure(states(OLD), migrate=False, check_mode=check_mode)
    assert result["phase"] == "plan" and result["safe_to_retry"] is False
    assert result["stores"] == {"tracking": {"action": "migrate", "from": "a", "to": "b"}}
    assert "was written by an older MLflow (revision a), and 3.17.2 wants revision b" in result["msg"]
    assert "playbooks/upgrade.yml" in result["msg"]


def test_an_empty_database_is_initialised_though_none_may_be_migrated():
    answer = {"done": {"tracking": True, "auth": True}}
    result, _requests = run(states(EMPTY), answer, migrate=False)
    assert [store["action"] for store in result["stores"].values()] == ["initialise", "initialise"]


def test_a_step_from_before_the_first_revision_has_words():
    step = plan.Step("auth", "migrate", None, "y")
    assert "written by an older MLflow (revision before the first)" in plan.not_migrated(step, "h:1/d", "3.17.2")
