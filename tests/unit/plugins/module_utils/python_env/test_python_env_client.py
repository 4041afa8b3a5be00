# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import json
import os

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted, Result
from ansible_collections.mlops.stack.plugins.module_utils.python_env import client as client_file
from ansible_collections.mlops.stack.plugins.module_utils.python_env import plan, work
from ansible_collections.mlops.stack.plugins.module_utils.python_env.client import Client, Failed

UV_LOCK = "uv==1.2.3 --hash=sha256:00"
LOCK = "a==1 --hash=sha256:00"
OK = Result(0, "", "", False, 0.1)


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Runner:
    """Does what pip, uv and the interpreter leave on the disk; a step can be told to answer otherwise."""

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.calls = []

    def __call__(self, argv, timeout, env=None):
        step = self.step(argv)
        self.calls.append((step, argv, env))
        answer = self.answers.get(step, OK)
        if isinstance(answer, BaseException):
            raise answer
        if answer.rc == 0 and not answer.timed_out:
            self.leave(step, argv)
        return answer

    @staticmethod
    def step(argv):
        if "--target" in argv:
            return "pip"
        return {"--version": "version", "venv": "venv", "pip": "install"}.get(argv[1], "warm")

    @staticmethod
    def leave(step, argv):
        if step == "pip":
            tree = argv[argv.index("--target") + 1]
            os.makedirs(os.path.join(tree, "bin"))
            with open(os.path.join(tree, "bin", "uv"), "w", encoding="utf-8"):
                os.chmod(os.path.join(tree, "bin", "uv"), 0o755)
        elif step == "venv":
            with open(os.path.join(argv[-1], "pyvenv.cfg"), "w", encoding="utf-8") as handle:
                handle.write("home = x")

    def steps(self):
        return [call[0] for call in self.calls]


@pytest.fixture(name="place")
def _place(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "pip-25.1-py3-none-any.whl").write_text("")
    return tmp_path


@pytest.fixture(name="make")
def _make(place):
    def make(runner=None, **options):
        values = dict(
            path=str(place / "envs" / "one"),
            uv_root=str(place / "uv"),
            python="/bin/sh",
            timeout=10,
            wheels=str(place / "wheels"),
            clock=Clock(),
        )
        return Client(run=runner or Runner(), **dict(values, **options))

    return make


@pytest.fixture(name="ensure")
def _ensure(place, make):
    def ensure(runner=None, check_mode=False, **changed):
        params = dict(
            path=str(place / "envs" / "one"),
            requirements=LOCK,
            python="/bin/sh",
            uv_requirements=UV_LOCK,
            uv_version=None,
            uv_root=str(place / "uv"),
            index_url=None,
            ca_bundle=None,
            proxies=None,
            warm_imports=[],
            timeout=10,
        )
        params.update(changed)

        def client_class(path, uv_root, python, index_url, ca_bundle, proxies, timeout):
            return make(
                runner,
                path=path,
                uv_root=uv_root,
                python=python,
                index_url=index_url,
                ca_bundle=ca_bundle,
                proxies=proxies,
                timeout=timeout,
            )

        return work.ensure(params, check_mode, client_class)

    return ensure


def test_build_then_nothing(place, ensure):
    runner = Runner()
    failed, result = ensure(runner, warm_imports=["a.b"])
    assert not failed and result["changed"] and result["action"] == "build"
    assert runner.steps() == ["pip", "version", "venv", "install", "warm"]
    env = place / "envs" / "one"
    assert sorted(os.listdir(env)) == [".complete", "pyvenv.cfg"]
    assert os.listdir(place / "envs") == ["one"]
    assert sorted(os.listdir(place / "uv")) == [".lock", "1.2.3"]
    assert result["diff"]["before"].endswith("state: absent\n") and "state: complete" in result["diff"]["after"]
    again = Runner()
    failed, result = ensure(again, warm_imports=["a.b"])
    assert (failed, result["changed"], result["action"], again.calls) == (False, False, "none", [])
    assert "diff" not in result


def test_check_mode_changes_nothing(place, ensure):
    runner = Runner()
    failed, result = ensure(runner, check_mode=True, python="/nowhere/python")
    assert not failed and result["changed"] and runner.calls == []
    assert not (place / "envs").exists() and not (place / "uv").exists()


def test_other_requirements_replace_an_environment(place, ensure):
    ensure()
    runner = Runner()
    result = ensure(runner, requirements="a==2 --hash=sha256:00")[1]
    assert result["action"] == "rebuild" and runner.steps() == ["venv", "install"]
    assert os.listdir(place / "envs") == ["one"]


def test_a_failed_rebuild_puts_the_old_one_back(place, ensure):
    ensure()
    old = (place / "envs" / "one" / ".complete").read_text()
    failed, result = ensure(
        Runner({"install": Result(1, "", "Hash mismatch for `a==2`", False, 1)}), requirements="a==2 --hash=sha256:00"
    )
    assert failed and result["kind"] == "hash" and result["phase"] == "download" and result["rc"] == 1
    assert (place / "envs" / "one" / ".complete").read_text() == old
    assert os.listdir(place / "envs") == ["one"]


def test_a_failed_build_leaves_nothing(place, ensure):
    failed, result = ensure(Runner({"install": Result(2, "", "No space left on device", False, 1)}))
    assert failed and result["kind"] == "disk_full" and result["safe_to_retry"]
    assert result["msg"].startswith("The Python environment %s cannot be built: the disk" % (place / "envs" / "one"))
    assert os.listdir(place / "envs") == []


def test_leftovers_are_wiped(place, ensure, make):
    env = place / "envs" / "one"
    env.mkdir(parents=True)
    for leftover in (None, ".building", "pyvenv.cfg", ".complete"):
        if leftover:
            (env / leftover).write_text("not json")
        (place / "envs" / ".one.cache").mkdir()
        assert make().read_current()["kind"] == "leftover"
        assert ensure()[1]["reason"] == "an earlier build was interrupted"
        assert os.listdir(place / "envs") == ["one"]
        (env / ".complete").unlink()


def test_a_marker_without_a_table_is_another_environment(place, ensure):
    env = place / "envs" / "one"
    env.mkdir(parents=True)
    (env / ".complete").write_text("[]")
    assert ensure()[1]["action"] == "rebuild"


def test_an_interrupted_rebuild_is_seen(place, make):
    (place / "envs" / ".one.previous").mkdir(parents=True)
    assert make().read_current()["kind"] == "leftover"


def test_foreign_files_are_refused(place, ensure):
    env = place / "envs" / "one"
    env.mkdir(parents=True)
    (env / "thesis.txt").write_text("years of work")
    failed, result = ensure()
    assert failed and result["kind"] == "invalid" and result["phase"] == "options"
    assert (env / "thesis.txt").exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_foreign(place, make, kind):
    (place / "envs").mkdir()
    if kind == "file":
        (place / "envs" / "one").write_text("")
    else:
        (place / "envs" / "one").symlink_to(place)
    assert make().read_current()["kind"] == "foreign"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"python": "/nowhere/python"}, "python is /nowhere/python, which is no program on this host"),
        ({"ca_bundle": "/nowhere/ca.pem"}, "ca_bundle is /nowhere/ca.pem, which cannot be read"),
        ({"uv_requirements": "x"}, "must pin uv"),
        ({"requirements": ""}, "requirements is empty"),
        ({"uv_root": "/uv"}, "uv_root must be an absolute path"),
    ],
)
def test_options_that_cannot_work(ensure, options, words):
    failed, result = ensure(**options)
    assert failed and words in result["msg"] and "rc" not in result


def test_a_failed_import_is_told(place, ensure):
    answer = Result(1, "", "Traceback\nModuleNotFoundError: No module named 'a'", False, 1)
    failed, result = ensure(Runner({"warm": answer}), warm_imports=["a"])
    assert failed and result["phase"] == "import" and result["kind"] == "import"
    assert result["msg"].endswith(
        "a cannot be imported in the new environment: ModuleNotFoundError: No module named 'a'"
    )
    assert os.listdir(place / "envs") == []


def test_a_killed_import_is_told_as_that(ensure):
    failed, result = ensure(Runner({"warm": Result(-9, "", "", False, 1)}), warm_imports=["a"])
    assert failed and result["kind"] == "killed" and "memory ran out" in result["msg"]


def test_an_unknown_failure_carries_the_last_line(ensure):
    result = ensure(Runner({"venv": Result(2, "", "odd\nthing", False, 1)}))[1]
    assert result["kind"] == "other" and result["msg"].endswith("uv failed with status 2: thing")
    assert result["stderr_tail"] == "odd\nthing"


def test_the_time_limit_is_told(ensure):
    result = ensure(Runner({"install": Result(-9, "", "", True, 1)}))[1]
    assert result["kind"] == "timeout" and "within 10 s (timeout)" in result["msg"] and result["safe_to_retry"]


def test_an_interruption_cleans_up(place, ensure):
    failed, result = ensure(Runner({"install": Interrupted("interrupted by SIGTERM")}))
    assert failed and result["kind"] == "interrupted" and "was interrupted by SIGTERM; nothing" in result["msg"]
    assert os.listdir(place / "envs") == []


def test_a_failed_bootstrap_leaves_nothing(place, ensure):
    failed, result = ensure(Runner({"version": Result(126, "", "cannot execute", False, 1)}))
    assert failed and result["phase"] == "bootstrap"
    assert os.listdir(place / "uv") == [".lock"]
    assert not (place / "envs").exists()


def test_a_missing_pip_wheel_is_told(place, ensure):
    (place / "wheels" / "pip-25.1-py3-none-any.whl").unlink()
    failed, result = ensure()
    assert failed and result["kind"] == "missing" and "install the package python3-pip-whl" in result["msg"]


def test_credentials_travel_in_the_environment_alone(ensure):
    said = "Failed to fetch: https://me:s3same@index.example/simple s3same proxyword"
    runner = Runner({"install": Result(2, "", said, False, 1)})
    failed, result = ensure(
        runner,
        index_url="https://me:s3same@index.example/simple",
        proxies={"http": None, "https": "http://p:proxyword@proxy:1", "no_proxy": "x"},
    )
    assert failed and "index.example" in result["msg"]
    assert "s3same" not in json.dumps(result) and "proxyword" not in json.dumps(result)
    for step, argv, env in runner.calls:
        assert not any("s3same" in word or "proxyword" in word for word in argv), step
        assert env["UV_DEFAULT_INDEX"] == "https://me:s3same@index.example/simple"


def test_files_that_cannot_be_written(place, ensure):
    (place / "envs").write_text("a file in place of the folder")
    failed, result = ensure()
    assert failed and result["phase"] == "files" and str(place / "envs") in result["msg"]


def test_an_error_without_a_file(ensure):
    failed, result = ensure(Runner({"venv": OSError(5, "Input/output error")}))
    assert failed and result["msg"].endswith("cannot be built: Input/output error")


def test_the_system_ca_bundle_is_the_default(make, monkeypatch, place):
    bundle = place / "system.pem"
    bundle.write_text("")
    monkeypatch.setattr(client_file.plan, "SYSTEM_CA_BUNDLE", str(bundle))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert make().env["SSL_CERT_FILE"] == str(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", "/inherited.pem")
    assert make().env["SSL_CERT_FILE"] == "/inherited.pem" and "PIP_CERT" not in make().env
    assert make(ca_bundle="/mine.pem").env["PIP_CERT"] == "/mine.pem"


def test_another_build_is_waited_for(place, make):
    (place / "uv").mkdir()
    with open(place / "uv" / ".lock", "w", encoding="utf-8") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(Failed, match="another play on this host") as caught, make().locked():
            pass
        assert caught.value.kind == "locked" and caught.value.safe_to_retry
    with make().locked():
        pass


def test_what_another_play_built_meanwhile_is_taken(place, ensure, make, monkeypatch):
    lock = Client.locked

    @contextlib.contextmanager
    def locked(self):
        with lock(self):
            os.makedirs(self.path)
            marker = dict(requirements_sha256=plan.fingerprint(LOCK), interpreter=self.interpreter())
            self.complete(marker)
            yield

    monkeypatch.setattr(Client, "locked", locked)
    runner = Runner()
    failed, result = ensure(runner)
    assert not failed and runner.steps() == ["pip", "version"] and "build" not in result["seconds"]


def test_a_partial_uv_is_replaced(place, make):
    (place / "uv" / "1.2.3").mkdir(parents=True)
    (place / "uv" / ".1.2.3.partial").mkdir()
    runner = Runner()
    assert make(runner).bootstrap(UV_LOCK, "1.2.3") == str(place / "uv" / "1.2.3" / "bin" / "uv")
    assert runner.steps() == ["pip", "version"]
    assert make(runner).bootstrap(UV_LOCK, "1.2.3") and len(runner.calls) == 2
