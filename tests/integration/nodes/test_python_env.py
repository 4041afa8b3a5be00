# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import time

import pytest

from .conftest import CLONE

ROOT = "/opt/it-stack"
PATH = f"{ROOT}/one"
UV = (CLONE / "roles" / "common" / "files" / "uv.txt").read_text(encoding="utf-8")
IDNA = "idna==3.10 --hash=sha256:946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3\n"
ZEROS = "0" * 64


@pytest.fixture(scope="module", name="pip_wheel", autouse=True)
def _pip_wheel(node):
    node.shell("test -e /usr/share/python-wheels/pip-*.whl || apt-get update")
    node.shell("DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-pip-whl")


@pytest.fixture(autouse=True)
def _clean(node):
    yield
    node.shell(f"umount {ROOT}/small 2>/dev/null; rm -rf {ROOT}/one {ROOT}/.one.* {ROOT}/small")


def options(**changed):
    values = {"path": PATH, "requirements": IDNA, "uv_requirements": UV, "uv_root": f"{ROOT}/uv"}
    return {**values, "warm_imports": ["idna"], **changed}


def left(node):
    return node.shell(f"ls -A {ROOT}")


def test_check_then_build_then_nothing(node):
    planned = node.module("python_env", options(), check=True)
    assert planned["changed"] and planned["action"] == "build"
    node.shell(f"test -e {PATH}", fails=True)
    built = node.module("python_env", options())
    assert built["changed"] and "msg" not in built
    assert "idna" in node.shell(f"runuser -u nobody -- {PATH}/bin/python -c 'import idna; print(idna.__name__)'")
    # The bytecode is there for users who may not write it, and all may read everything.
    assert node.shell(f"find {PATH} -path '*/idna/__pycache__/core.*.pyc'")
    assert node.shell(f"find {PATH} ! -perm -o+r ! -type l") == ""
    assert left(node) == "one\nuv"
    again = node.module("python_env", options())
    assert not again["changed"] and again["action"] == "none"
    changed = node.module("python_env", options(requirements=f"{IDNA.strip()} --hash=sha256:{ZEROS}"))
    assert changed["action"] == "rebuild" and left(node) == "one\nuv"


def test_what_a_killed_build_left_is_mended(node):
    node.shell(f"mkdir -p {PATH}/bin {ROOT}/.one.cache; touch {PATH}/.building")
    result = node.module("python_env", options())
    assert result["reason"] == "an earlier build was interrupted" and left(node) == "one\nuv"


def test_files_of_others_are_not_touched(node):
    node.shell(f"mkdir -p {PATH}; echo mine > {PATH}/file")
    assert "holds files that this module did not make" in node.module("python_env", options())["msg"]
    assert node.shell(f"cat {PATH}/file") == "mine"


def test_two_builds_at_once(node):
    node.shell(f"rm -rf {ROOT}/uv")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _turn: node.module("python_env", options()), range(2)))
    assert not any("msg" in result for result in results)
    assert left(node) == "one\nuv" and node.shell(f"test -e {PATH}/.complete") == ""


def test_an_index_that_cannot_be_reached(node):
    # uv is there or not: pip and uv must say the same.
    for words in (f"rm -rf {ROOT}/uv", "true"):
        node.shell(words)
        began = time.monotonic()
        result = node.module("python_env", options(index_url="http://me:s3same@127.0.0.1:9/simple"))
        assert time.monotonic() - began < 60
        assert result["kind"] == "unreachable" and result["safe_to_retry"]
        assert result["msg"] == (
            f"The Python environment {PATH} cannot be built: the package index 127.0.0.1:9 cannot be reached from this"
            " host (Connection refused); check index_url, proxies and the network."
        )
        assert "s3same" not in str(result)
        node.shell(f"test -e {PATH}", fails=True)
        if words != "true":
            assert "msg" not in node.module("python_env", options())
            node.shell(f"rm -r {PATH}")


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"requirements": f"idna==3.10 --hash=sha256:{ZEROS}"}, "hash", "idna==3.10 as downloaded from"),
        ({"requirements": f"numpy==1.21.0 --hash=sha256:{ZEROS}"}, "no_wheel", "numpy==1.21.0 has no wheel for"),
        ({"requirements": f"idna==99.9 --hash=sha256:{ZEROS}"}, "no_version", "does not have idna==99.9"),
        ({"ca_bundle": "/etc/hostname"}, "tls", "shows a certificate that this host does not trust"),
        ({"ca_bundle": "/nowhere"}, "invalid", "ca_bundle is /nowhere, which cannot be read on this host"),
        ({"proxies": {"https": "http://me:s3same@127.0.0.1:9"}}, "unreachable", "cannot be reached from this host"),
        ({"warm_imports": ["nothing"]}, "import", "nothing cannot be imported in the new environment"),
        ({"uv_version": "0.0.1"}, "invalid", "uv_version is 0.0.1, but uv_requirements pins uv to"),
        ({"python": "/usr/bin/python9"}, "invalid", "python is /usr/bin/python9, which is no program"),
    ],
)
def test_failures_are_one_clear_sentence(node, changed, kind, words):
    result = node.module("python_env", options(**changed))
    assert result.get("kind") == kind and words in result["msg"]
    assert "\n" not in result["msg"] and "s3same" not in str(result)
    node.shell(f"test -e {PATH}", fails=True)


def test_a_full_disk(node):
    node.shell(f"mkdir -p {ROOT}/small; mount -t tmpfs -o size=96k none {ROOT}/small")
    result = node.module("python_env", options(path=f"{ROOT}/small/one"))
    assert result["kind"] == "disk_full" and f"the disk that holds {ROOT}/small/one is full" in result["msg"]
    assert node.shell(f"ls -A {ROOT}/small") == ""
