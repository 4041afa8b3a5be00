# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of things, on a server that keeps databases as a dictionary."""

from __future__ import annotations

import contextlib
import re
import types

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.progress import Progress
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import plan, run, sql, swap
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.plan import Found, Options
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.target import ServerError
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted

SWAP = Options(mode="swap")


def facts(name, **changes):
    known = {
        "name": name,
        "owner": "mlflow",
        "encoding": "UTF8",
        "collate": "C",
        "ctype": "C",
        "size_bytes": 1 << 20,
        "tables": {"public.runs": 5, "public.tags": 2},
        "alembic": {"alembic_version": "abc"},
        "extensions": [],
    }
    return {**known, **changes}


MANIFEST = {
    "label": "L",
    "postgres": {"version_num": 150018},
    "databases": [facts("mlflow"), facts("auth")],
    "files": [{"path": "a", "size": 10}],
}


class Server:
    """Databases by name; ``log`` is what was done to them, ``fail`` what is to go wrong: {what: error}."""

    def __init__(self, **databases):
        self.found = {name: Found(name, "mlflow", comment) for name, comment in databases.items()}
        self.content_of = {}
        self.log = []
        self.fail = {}
        self.locked = set()
        self.analyzed = {}
        self.filled = set()
        self.back = True

    def _do(self, *words):
        self.log.append(" ".join(words))
        for what in (words[0], " ".join(words)):
            if what in self.fail:
                raise self.fail[what]

    def lock(self, name):
        return name not in self.locked

    def databases(self):
        return dict(self.found)

    def is_empty(self, name):
        return name not in self.filled

    def data_directory(self):
        return "/data"

    def facts(self, free_bytes):
        return plan.Facts(
            version_num=170000,
            user="mlops_restore",
            superuser=False,
            createdb=True,
            roles=frozenset({"mlflow"}),
            member_of=frozenset({"mlflow"}),
            extensions={},
            free_bytes=free_bytes,
        )

    def create(self, target, owner, label):
        self.found[target.new] = Found(target.new, owner, f"mlops.stack loading {label}")
        self._do("create", target.new)

    def drop(self, name):
        self._do("drop", name)
        self.found.pop(name, None)

    def content(self, name, jobs, analyze):
        self.analyzed[name] = analyze
        return self.content_of.get(name, ({"public.runs": 5, "public.tags": 2}, {"alembic_version": "abc"}))

    def size(self, name):
        return 4711

    def wait_until_back(self, seconds):
        self.log.append("wait")
        self.fail.pop("drop", None)
        return self.back


class Tools:
    """What is beside the server."""

    work_dir = "/work"
    stops_units = False

    def __init__(self, server, artifacts=None):
        self.server = server
        self.some_artifacts = artifacts
        self.unknown = []
        self.other_secrets = []
        self.free = None
        self.damaged = None

    def free_bytes(self, data_directory):
        assert data_directory == "/data"
        return self.free

    def revisions(self, manifest):
        return self.unknown

    def secrets(self, manifest):
        return self.other_secrets

    def prepare(self, databases, version_num):
        assert version_num == 170000
        self.server.log.append(f"prepare {len(databases)}")

    def verify(self, databases, check_mode, progress):
        progress(1, 2)
        self.server.log.append("hash")
        if self.damaged:
            raise self.damaged

    def artifacts(self):
        return self.some_artifacts

    def load(self, database, name, owner, jobs, report):
        self.server._do("load", name)
        report()
        return [f"a warning about {name}"]

    @contextlib.contextmanager
    def units(self, warn):
        self.server.log.append("stop")
        try:
            yield
        finally:
            self.server.log.append("start")


class Artifacts:
    """Artifacts of which some are put aside when others are brought back; ``fail`` is what goes wrong then."""

    other = ["different"]

    def __init__(self, server, missing=(), aside="copies/kept/L", fail=None):
        self.server = server
        self.missing = list(missing)
        self.aside = None
        self.put_aside = aside and types.SimpleNamespace(where=aside)
        self.fail = fail

    def check(self):
        self.server.log.append("look")
        return self.missing

    def restore(self):
        self.server.log.append("bring back")
        self.aside = self.put_aside
        if self.fail:
            raise self.fail
        return ["an/artifact"]

    def put_back(self):
        self.server.log.append("put back")
        return " They were put back."


@pytest.fixture(name="work", autouse=True)
def fixture_work(monkeypatch, tmp_path):
    """A function that restores: (the Restore, its result)."""

    def rename(server, renames, comments):
        server._do("rename")
        for old, new in renames:
            server.log.append(f"{old} -> {new}")
            server.found[new] = server.found.pop(old)
        for name, text in comments.items():
            server.found[name] = Found(name, "mlflow", text)

    def wait_for_others(server, names):
        server._do("wait for others", *names)

    def apply(server, name, owner, wanted):
        server.log.append(f"properties {name} {wanted.connection_limit}")
        return [(f'ALTER DATABASE "{name}" SET x TO 1', "denied")] if name.startswith("auth") else []

    monkeypatch.setattr(swap, "rename", rename)
    monkeypatch.setattr(swap, "wait_for_others", wait_for_others)
    monkeypatch.setattr(swap, "apply", apply)
    monkeypatch.setattr(swap, "properties", lambda server, name: sql.Properties(connection_limit=len(name)))

    def work(server, options=SWAP, tools=None, manifest=None, check_mode=False):
        progress = Progress(tmp_path, "L", lambda path, data: None)
        one = run.Restore(manifest or MANIFEST, options, server, tools or Tools(server), progress)
        return one(check_mode)

    return work


def test_all_are_loaded_before_any_takes_its_name(work):
    server = Server(mlflow="mine", auth=None)
    result = work(server)
    assert server.log == [
        "prepare 2",
        "hash",
        "create mlflow__new_L",
        "load mlflow__new_L",
        "create auth__new_L",
        "load auth__new_L",
        "properties mlflow__new_L 6",
        "properties auth__new_L 4",
        "stop",
        "rename",
        "mlflow -> mlflow__old_L",
        "mlflow__new_L -> mlflow",
        "auth -> auth__old_L",
        "auth__new_L -> auth",
        "start",
        "drop mlflow__new_L",
        "drop auth__new_L",
    ]
    assert {name: found.comment for name, found in server.found.items()} == {
        "mlflow__old_L": "mine",
        "mlflow": "mine\nmlops.stack set L",
        "auth__old_L": None,
        "auth": "mlops.stack set L",
    }
    assert (result["changed"], result["set"], result["mode"]) == (True, "L", "swap")
    assert result["old_db"] == {"mlflow": "mlflow__old_L", "auth": "auth__old_L"}
    assert result["counts"]["auth"] == {"public.runs": 5, "public.tags": 2}
    assert result["databases"][0] == {
        "name": "mlflow",
        "target": "mlflow",
        "action": "replace",
        "owner": "mlflow",
        "old_db": "mlflow__old_L",
        "tables": 2,
        "rows": 7,
    }
    assert result["warnings"] == [
        "a warning about mlflow__new_L",
        "a warning about auth__new_L",
        'Not reapplied, run it as a superuser (denied): ALTER DATABASE "auth" SET x TO 1;',
    ]
    assert result["not_reapplied"] == ['ALTER DATABASE "auth" SET x TO 1;']
    assert set(result["seconds"]) == {"read", "check", "hash", "load", "compare", "properties", "swap"}
    assert (result["artifacts_checked"], result["different_artifacts"], result["artifacts_named"]) == (False, [], 0)
    named = {**MANIFEST, "artifacts": {"objects": 7}}
    assert work(Server(), manifest=named)["artifacts_named"] == 7
    assert server.analyzed == {"mlflow__new_L": True, "auth__new_L": True}


def test_a_second_time_nothing_is_done(work):
    server = Server(mlflow="mlops.stack set L", auth="mine\nmlops.stack set L")
    result = work(server)
    assert (result["changed"], server.log) == (False, [])
    assert [one["action"] for one in result["databases"]] == ["nothing", "nothing"]


def test_only_what_is_not_there_yet_is_restored(work):
    server = Server(mlflow="mlops.stack set L")
    result = work(server)
    assert result["changed"] is True
    assert [one["action"] for one in result["databases"]] == ["nothing", "create"]
    assert not [line for line in server.log if "mlflow" in line]
    # Without a live database, its properties are those of the manifest.
    assert "properties auth__new_L -1" in server.log


def test_old_databases_are_dropped_where_they_are_not_to_be_kept(work):
    server = Server(mlflow=None, auth=None, mlflow__old_L=None)
    result = work(server, Options(mode="swap", keep_old=False))
    assert server.log[-4:] == ["drop mlflow__old_L_2", "drop auth__old_L", "drop mlflow__new_L", "drop auth__new_L"]
    assert result["old_db"] == {}
    assert set(server.found) == {"mlflow", "auth", "mlflow__old_L"}


def test_an_old_database_that_cannot_be_dropped_is_no_failure(work):
    server = Server(mlflow=None, auth=None)
    server.fail["drop mlflow__old_L"] = BackupError("must be owner.", "clean")
    result = work(server, Options(mode="swap", keep_old=False))
    assert result["old_db"] == {"mlflow": "mlflow__old_L"}
    assert "The replaced database 'mlflow__old_L' was kept: must be owner." in result["warnings"]


def test_a_scratch_restore_touches_nothing_live(work):
    server = Server(mlflow="mine", auth=None, auth__scratch_L="mlops.stack scratch set L")
    result = work(server, Options(force=True))
    assert server.found["mlflow"].comment == "mine"
    assert server.found["mlflow__scratch_L"].comment == "mlops.stack scratch set L"
    assert set(server.found) == {"mlflow", "auth", "mlflow__scratch_L", "auth__scratch_L"}
    assert not [line for line in server.log if line.startswith("properties")]
    assert result["changed"] is True
    assert work(server, Options())["changed"] is False


def test_a_rehearsal_leaves_nothing(work):
    server = Server(mlflow="mine")
    result = work(server, Options(mode="rehearse"))
    assert list(server.found) == ["mlflow"]
    assert "rename" not in server.log
    assert server.analyzed == {"mlflow__new_L": False, "auth__new_L": False}
    assert (result["changed"], len(result["counts"])) == (False, 2)


def test_check_mode_only_looks(work):
    server = Server(mlflow=None, auth=None, mlflow__new_x=None)
    result = work(server, check_mode=True)
    assert server.log == ["prepare 2", "hash"]
    assert (result["changed"], result["counts"]) == (True, {})


def test_leftovers_are_swept(work):
    server = Server(mlflow="mlops.stack set L", auth="mlops.stack set L", mlflow__new_x="mlops.stack loading x")
    result = work(server)
    assert server.log == ["drop mlflow__new_x"]
    assert result["swept"] == ["mlflow__new_x"]
    assert result["changed"] is False


def test_what_is_not_marked_is_swept_only_where_it_is_empty(work):
    server = Server(mlflow="mlops.stack set L", auth="mlops.stack set L", mlflow__new_x=None, mlflow__new_schema=None)
    server.filled = {"mlflow__new_schema"}
    assert work(server)["swept"] == ["mlflow__new_x"]
    assert "mlflow__new_schema" in server.found


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("comment", ["mine", None])
def test_somebodys_database_in_the_way_stays(work, check_mode, comment):
    server = Server(mlflow=None, auth=None, mlflow__new_L=comment)
    server.filled = {"mlflow__new_L"}
    with pytest.raises(BackupError, match="'mlflow__new_L' is in the way, and no restore has left it") as caught:
        work(server, check_mode=check_mode)
    assert (caught.value.phase, caught.value.safe_to_retry, server.log) == ("plan", False, [])
    server.found.update(mlflow=Found("mlflow", "mlflow", "mlops.stack set L"))
    assert work(server, check_mode=check_mode)["changed"] is True


def test_one_restore_at_a_time(work):
    server = Server(mlflow=None)
    server.locked = {"auth"}
    with pytest.raises(BackupError, match="Another restore to 'auth' is running") as caught:
        work(server)
    assert (caught.value.phase, server.log) == ("lock", [])


@pytest.mark.parametrize("what", ["space", "revisions"])
def test_what_stands_against_it_is_told_before_anything_is_made(work, what):
    server = Server(mlflow=None)
    tools = Tools(server)
    tools.free = 1 if what == "space" else None
    tools.unknown = ["MLflow does not know it."] if what == "revisions" else []
    with pytest.raises(BackupError, match="has 0 MiB free" if what == "space" else "MLflow does not know it."):
        work(server, tools=tools)
    assert server.log == []


def test_a_set_that_the_secrets_in_force_cannot_read(work):
    server = Server(mlflow=None)
    tools = Tools(server)
    tools.other_secrets = ["It was made with another one."]
    with pytest.raises(BackupError, match="It was made with another one.") as caught:
        work(server, tools=tools)
    assert (server.log, caught.value.safe_to_retry) == (["prepare 2", "hash"], False)
    assert work(server, Options(mode="swap", force=True), tools)["changed"] is True


def test_force_takes_a_schema_that_is_not_known(work):
    server = Server()
    tools = Tools(server)
    tools.unknown = ["MLflow does not know it."]
    assert work(server, Options(mode="swap", force=True), tools)["changed"] is True


def test_a_damaged_set_is_never_loaded(work):
    server = Server(mlflow=None)
    tools = Tools(server)
    tools.damaged = BackupError("The set L is damaged", "hash")
    with pytest.raises(BackupError, match="damaged"):
        work(server, tools=tools)
    assert server.log == ["prepare 2", "hash"]


@pytest.mark.parametrize("what", ["create", "load auth__new_L", "rename"])
def test_a_failure_leaves_what_is_live_and_nothing_else(work, what):
    server = Server(mlflow="mine", auth=None)
    server.fail[what] = BackupError("it failed", "somewhere")
    with pytest.raises(BackupError, match="it failed"):
        work(server)
    assert {name: found.comment for name, found in server.found.items()} == {"mlflow": "mine", "auth": None}
    assert server.log.count("stop") == server.log.count("start")


@pytest.mark.parametrize(
    "content, message",
    [
        (({"public.runs": 4, "public.tags": 2}, {"alembic_version": "abc"}), "public.runs has 4 rows"),
        (({"public.runs": 5, "public.tags": 2}, {"alembic_version": "b"}), "is at revision b"),
    ],
)
def test_what_is_not_what_was_dumped_gets_no_name(work, content, message):
    server = Server(mlflow="mine", auth=None)
    server.content_of["auth__new_L"] = content
    with pytest.raises(BackupError, match=f"loaded into 'auth__new_L' is not what was dumped: .*{message}") as caught:
        work(server)
    assert caught.value.phase == "compare"
    assert set(server.found) == {"mlflow", "auth"}


@pytest.mark.parametrize("back", [True, False])
def test_a_server_that_goes_away_is_cleaned_when_it_is_back(work, back):
    server = Server(mlflow=None)
    server.back = back
    server.fail = {"load": BackupError("gone", "load"), "drop": BackupError("gone", "clean")}
    with pytest.raises(BackupError, match="gone") as caught:
        work(server)
    assert caught.value.phase == "load"
    assert ("mlflow__new_L" in server.found) is not back


def test_an_answer_of_postgres_is_told_with_its_phase(work, fault):
    server = Server(mlflow=None)
    server.fail["load"] = ServerError(fault("ERROR:  no", "42501"))
    with pytest.raises(BackupError, match="no") as caught:
        work(server)
    assert caught.value.phase == "load"


def test_artifacts_come_before_the_databases(work):
    server = Server(mlflow=None, auth=None)
    result = work(server, Options(mode="swap", restore_artifacts=True), Tools(server, Artifacts(server)))
    order = [line for line in server.log if line in ("look", "bring back", "rename")]
    assert order == ["look", "bring back", "rename"]
    assert server.log.index("look") < server.log.index("create mlflow__new_L")
    assert (result["restored_artifacts"], result["different_artifacts"]) == (["an/artifact"], ["different"])
    assert (result["artifacts_checked"], result["missing_artifacts"]) == (True, [])


FORCED = Options(mode="swap", restore_artifacts=True, force=True)
NOT_KNOWN = (
    " The server could not be asked whether the databases have their new names, so the set's artifacts stay, and the"
    " live ones that they had replaced lie at copies/kept/L: run this restore again once the server answers; where the"
    " databases are the set's already, nothing is left to do."
)


def test_sessions_that_stay_are_told_before_artifacts_are_touched(work):
    server = Server(mlflow=None, auth=None)
    server.fail["wait for others"] = BackupError("Sessions use the database.", "swap")
    with pytest.raises(BackupError, match="^Sessions use the database.$"):
        work(server, FORCED, Tools(server, Artifacts(server)))
    assert "wait for others mlflow mlflow__new_L auth auth__new_L" in server.log
    assert "bring back" not in server.log
    # They may be those of a unit that is stopped for the swap.
    tools = Tools(server, Artifacts(server))
    tools.stops_units = True
    assert work(server, FORCED, tools)["restored_artifacts"] == ["an/artifact"]


@pytest.mark.parametrize("where", ["rename", "artifacts"])
@pytest.mark.parametrize(
    "error, told",
    [
        (lambda: BackupError("It stays in use.", "swap"), "It stays in use. They were put back."),
        (
            lambda: Interrupted("interrupted by SIGTERM"),
            "The restore was interrupted by SIGTERM; every live database is whole, as it was or as it is in the set."
            " They were put back.",
        ),
        (lambda: OSError(28, "No space left on device"), "/work: No space left on device. They were put back."),
        (lambda: KeyError("a bug"), "'a bug'"),
    ],
)
def test_without_a_swap_live_artifacts_are_put_back(work, where, error, told):
    server = Server(mlflow="mine", auth=None)
    server.fail = {"rename": error()} if where == "rename" else {}
    artifacts = Artifacts(server, fail=error() if where == "artifacts" else None)
    with pytest.raises((BackupError, KeyError)) as caught:
        work(server, FORCED, Tools(server, artifacts))
    assert str(caught.value) == told
    assert server.log.count("put back") == 1
    assert set(server.found) == {"mlflow", "auth"}


@pytest.mark.parametrize("with_artifacts", [True, False])
def test_where_nothing_was_put_aside_nothing_is_put_back(work, with_artifacts):
    server = Server(mlflow=None)
    server.fail["rename"] = BackupError("It stays in use.", "swap")
    artifacts = Artifacts(server, aside=None) if with_artifacts else None
    with pytest.raises(BackupError, match="^It stays in use.$"):
        work(server, FORCED, Tools(server, artifacts))
    assert "put back" not in server.log


@pytest.mark.parametrize("answer", ["at once", "later", "never"])
@pytest.mark.parametrize("swapped", [True, False])
def test_a_swap_that_breaks_off_at_its_end_is_asked_for(work, monkeypatch, swapped, answer):
    server = Server(mlflow=None, auth=None)
    renamed = swap.rename

    def rename(server, renames, comments):
        if swapped:
            renamed(server, renames, comments)
        if answer != "at once":
            server.lost = True
        raise Interrupted("interrupted by SIGTERM")

    def databases():
        if getattr(server, "lost", False):
            raise BackupError("The server went away.", "server")
        return dict(server.found)

    def wait_until_back(seconds):
        server.lost = answer == "never"
        return answer == "later"

    monkeypatch.setattr(swap, "rename", rename)
    server.databases, server.wait_until_back = databases, wait_until_back
    with pytest.raises(BackupError, match="interrupted by SIGTERM") as caught:
        work(server, FORCED, Tools(server, Artifacts(server)))
    put_back, unknown = not swapped and answer != "never", answer == "never"
    assert ("put back" in server.log, "They were put back" in caught.value.message) == (put_back, put_back)
    assert (NOT_KNOWN in caught.value.message) == unknown


def leaving():
    """A server that tells its databases once and then no more."""
    server = Server(mlflow=None, auth=None)
    answers = iter([dict(server.found)])

    def databases():
        found = next(answers, None)
        if found is None:
            raise BackupError("The server went away.", "server")
        return found

    server.databases = databases
    return server


def test_a_server_that_comes_and_goes_has_perhaps_swapped(work):
    server = leaving()
    server.fail["rename"] = BackupError("It went away.", "swap")
    with pytest.raises(BackupError) as caught:
        work(server, FORCED, Tools(server, Artifacts(server)))
    assert caught.value.message == f"It went away.{NOT_KNOWN}"
    assert "put back" not in server.log


def test_a_server_that_goes_away_before_the_swap_has_not_swapped(work):
    server = leaving()
    artifacts = Artifacts(server, fail=BackupError("The store is away.", "artifacts"))
    with pytest.raises(BackupError, match="^The store is away. They were put back.$"):
        work(server, FORCED, Tools(server, artifacts))
    # Nor did it have to be waited for.
    assert "wait" not in server.log


def test_artifacts_are_left_alone_where_that_is_said(work):
    server = Server(mlflow=None)
    assert work(server, SWAP, Tools(server, Artifacts(server)))["restored_artifacts"] == []
    assert "bring back" not in server.log


@pytest.mark.parametrize(
    "options, other, warned",
    [
        ({}, [], None),
        ({}, ["x"], r"1 artifacts .* \(x\): with force"),
        ({"restore_artifacts": True}, list("dcba"), r"4 artifacts .* \(a, b, c, …\): with force"),
        ({"restore_artifacts": True, "force": True}, ["an/artifact"], None),
        ({"restore_artifacts": True, "force": True}, ["an/artifact", "x"], r"1 artifacts .* \(x\): there are no cop"),
        ({"force": True}, ["x"], r"1 artifacts .* \(x\): with force, and artifacts.restore"),
        ({"mode": "scratch"}, ["x"], None),
    ],
)
def test_a_live_store_that_has_something_else_is_told(work, options, other, warned):
    server = Server(mlflow=None, auth=None)
    artifacts = Artifacts(server)
    artifacts.other = other
    result = work(server, Options(**{"mode": "swap", **options}), Tools(server, artifacts))
    found = [text for text in result["warnings"] if "live store" in text]
    assert result["different_artifacts"] == other
    assert len(found) == bool(warned)
    assert warned is None or re.search(warned, found[0])


@pytest.mark.parametrize(
    "missing, shown",
    [(["a", "b"], "2 artifacts .* copies .a, b.: bring"), (list("abcd"), "4 artifacts .* copies .a, b, c, ….: bring")],
)
def test_missing_artifacts_keep_the_live_databases(work, missing, shown):
    server = Server(mlflow=None)
    tools = Tools(server, Artifacts(server, missing))
    with pytest.raises(BackupError, match=shown) as caught:
        work(server, SWAP, tools)
    assert (caught.value.phase, caught.value.safe_to_retry) == ("check_artifacts", False)
    assert "create mlflow__new_L" not in server.log
    assert caught.value.result()["missing_artifacts"] == missing
    for options in (Options(mode="swap", force=True), Options()):
        assert work(server, options, tools)["missing_artifacts"] == missing
