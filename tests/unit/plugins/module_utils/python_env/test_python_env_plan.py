# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.python_env import plan

LOCK = """
# made by a tool
uv==0.13.8 \\
    --hash=sha256:00
"""
MARKER = {"requirements_sha256": "aa", "interpreter": "/usr/bin/python3.13"}
WANTED = {"path": "/opt/x/env", "marker": MARKER}


def test_comments_do_not_count_in_a_fingerprint():
    assert plan.fingerprint("a==1\n  # via b\n\n") == plan.fingerprint("a==1")
    assert plan.fingerprint("a==1") != plan.fingerprint("a==2")


@pytest.mark.parametrize(
    "text, name, version",
    [
        (LOCK, "uv", "0.13.8"),
        ("uvloop==1\nUV == 2 ; python_version > '3'", "uv", "2"),
        ("uvloop==1", "uv", None),
    ],
)
def test_pinned_version(text, name, version):
    assert plan.pinned_version(text, name) == version


def test_uv_version():
    assert plan.uv_version(LOCK, None) == "0.13.8"
    assert plan.uv_version(LOCK, "0.13.8") == "0.13.8"


@pytest.mark.parametrize(
    "text, wanted, words",
    [
        ("a==1", None, "must pin uv"),
        (LOCK, "1.0", "uv_version is 1.0, but uv_requirements pins uv to 0.13.8"),
        ("uv==../x", None, "not a version"),
    ],
)
def test_uv_version_refused(text, wanted, words):
    with pytest.raises(plan.Invalid, match=words):
        plan.uv_version(text, wanted)


@pytest.mark.parametrize("path", ["opt/x/y", "/opt", "/", "/opt/../x", "/opt/x/", "//x"])
def test_folder_refused(path):
    with pytest.raises(plan.Invalid, match="path must be an absolute path"):
        plan.check_folder("path", path)


def test_folder_allowed():
    plan.check_folder("path", "/opt/mlops-stack")


@pytest.mark.parametrize("text, words", [("# nothing\n", "is empty"), ("a==1", "carries no hashes")])
def test_requirements_refused(text, words):
    with pytest.raises(plan.Invalid, match=words):
        plan.check_requirements(text)


def test_requirements_allowed():
    plan.check_requirements(LOCK)


@pytest.mark.parametrize(
    "kind, marker, action, reason",
    [
        ("absent", {}, "build", "it does not exist"),
        ("leftover", {}, "build", "an earlier build was interrupted"),
        ("complete", MARKER, "none", "it is complete"),
        ("complete", {}, "rebuild", "its requirements differ"),
        ("complete", dict(MARKER, interpreter="/usr/bin/python3.11"), "rebuild", "its Python interpreter differs"),
    ],
)
def test_decide(kind, marker, action, reason):
    assert plan.decide(WANTED, {"kind": kind, "marker": marker}) == (action, reason)


def test_foreign_files_are_left_alone():
    with pytest.raises(plan.Invalid, match="/opt/x/env holds files that this module did not make"):
        plan.decide(WANTED, {"kind": "foreign", "marker": {}})


def test_describe():
    assert plan.describe("/e", "absent", {}) == "path: /e\nstate: absent\n"
    assert plan.describe("/e", "foreign", {}) == "path: /e\nstate: unknown files\n"
    assert plan.describe("/e", "complete", {"interpreter": "/p"}) == (
        "path: /e\nstate: complete\ninterpreter: /p\nrequirements_sha256: unknown\n"
    )


def test_network_environment_without_options():
    env = plan.network_environment(None, None, None)
    assert env["UV_CONCURRENT_DOWNLOADS"] == "16"
    assert not {"UV_DEFAULT_INDEX", "PIP_INDEX_URL", "SSL_CERT_FILE", "PIP_CERT", "HTTP_PROXY"} & set(env)


def test_network_environment_with_all_options():
    env = plan.network_environment(
        "https://u:p@index/simple", "/ca.pem", {"http": None, "https": "http://proxy:1", "no_proxy": "a,b"}
    )
    assert env["UV_DEFAULT_INDEX"] == env["PIP_INDEX_URL"] == "https://u:p@index/simple"
    assert env["SSL_CERT_FILE"] == env["PIP_CERT"] == "/ca.pem"
    assert env["HTTPS_PROXY"] == env["https_proxy"] == "http://proxy:1"
    assert env["NO_PROXY"] == env["no_proxy"] == "a,b"
    assert "http_proxy" not in env


def test_secrets_are_scrubbed():
    secrets = plan.secrets_of([None, "https://plain/simple", "https://user:s%40cret@h/simple", "https://token@h/"])
    assert {"user:s%40cret", "s%40cret", "s@cret", "token"} <= set(secrets)
    text = "at https://user:s%40cret@h/simple, s@cret, s%40cret, token, https://other:word@x/"
    scrubbed = plan.scrub(text, secrets)
    assert scrubbed == "at https://***@h/simple, ***, ***, ***, https://***@x/"


def test_argument_lists_carry_no_url():
    lists = [
        plan.pip_argv("/usr/bin/python3", "/w/pip.whl", "/lock", "/target"),
        plan.venv_argv("/uv", "/usr/bin/python3", "/env"),
        plan.install_argv("/uv", "/env", "/lock"),
        plan.warm_argv("/env", ["a.b"]),
    ]
    assert all("://" not in word for argv in lists for word in argv)
    assert lists[0][:3] == ["/usr/bin/python3", "-I", "/w/pip.whl/pip"]
    assert "--require-hashes" in lists[0] and "--require-hashes" in lists[2]
    assert lists[3][-1] == "a.b"


UV_REFUSED = """error: Request failed after 3 retries in 5.3s
  cause: Failed to fetch: http://index.example:9/simple/idna/
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""


@pytest.mark.parametrize(
    "text, kind, words, retry",
    [
        (
            UV_REFUSED,
            "unreachable",
            "the package index index.example:9 cannot be reached from this host (Connection refused)",
            True,
        ),
        (
            "failed to lookup address information: Name or service not known",
            "unreachable",
            "the package index cannot be reached from this host (Name or service not known)",
            True,
        ),
        ("error: client error (Connect)", "unreachable", "cannot be reached from this host;", True),
        ("HTTP status server error (503 Service Unavailable)", "unreachable", "does not serve downloads now", True),
        (
            "cause: invalid peer certificate: UnknownIssuer",
            "tls",
            "does not trust (UnknownIssuer); set ca_bundle",
            False,
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1)",
            "tls",
            "does not trust (self-signed certificate); set ca_bundle",
            False,
        ),
        ("SSLCertVerificationError: certificate verify failed", "tls", "does not trust (unknown authority)", False),
        ("HTTP status client error (401 Unauthorized)", "credentials", "refuses the download (", False),
        ("407 Proxy Authentication Required", "credentials", "refuses the download (407 Proxy)", False),
        ("Hash mismatch for `idna==3.20`", "hash", "idna==3.20 as downloaded", False),
        (
            "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE FILE. Somebody.\n    uv==1 from https://h.example/uv.whl",
            "hash",
            "uv==1 as downloaded from the package index h.example does not have the hash",
            False,
        ),
        ("failed to write to file: No space left on device (os error 28)", "disk_full", "/opt/env is full", True),
        (
            "Because numpy==1.21.0 has no usable wheels and you require numpy==1.21.0",
            "no_wheel",
            "numpy==1.21.0 has no wheel for /usr/bin/python3",
            False,
        ),
        ("Because numpy==2.0.0 has no wheels with a matching Python ABI tag", "no_wheel", "numpy==2.0.0 has no", False),
        ("Because there is no version of idna==99.9 and", "no_version", "does not have idna==99.9", False),
        ("Because idna was not found in the package registry and", "no_version", "the package idna;", False),
        ("No matching distribution found for uv==9", "no_version", "has no uv==9 for", False),
        ("no trusted hash was provided for: `x`", "lock", "x is needed", False),
        (
            "requirements must have a hash, but none were provided for: idna==3.10",
            "lock",
            "no hash for idna==3.10",
            False,
        ),
        ("error: Couldn't parse requirement in `-` at position 0", "lock", "cannot be read: Couldn't parse", False),
        ("first\n\nlast\n", "other", "last", False),
        ("", "other", "it said nothing", False),
    ],
)
def test_explain(text, kind, words, retry):
    found, sentence, again = plan.explain(text, "/opt/env", "/usr/bin/python3")
    assert (found, again) == (kind, retry)
    assert words in sentence


def test_explain_names_the_index_that_was_given():
    sentence = plan.explain(UV_REFUSED, "/e", "/p", "https://u:p@mirror.example/simple")[1]
    assert "the package index mirror.example cannot" in sentence
