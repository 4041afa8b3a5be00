# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.jupyter import explain

URI = "http://192.0.2.7:5000"


@pytest.mark.parametrize(
    ("stdout", "expected"),
    [
        ("", None),
        ("warning\n[1]\n", None),
        ("warning\n" + json.dumps({"phase": "upload", "ok": True}) + "\nlater\n", {"phase": "upload", "ok": True}),
    ],
)
def test_read(stdout, expected):
    assert explain.read(stdout) == expected


@pytest.mark.parametrize(("text", "line"), [("", "it said nothing"), ("a\n b \n\n", "b")])
def test_last_line(text, line):
    assert explain.last_line(text) == line


def test_no_python():
    assert "python3 that runs (not found)" in explain.no_python("example/x", "exec: python3\nnot found\n")


@pytest.mark.parametrize(
    ("phase", "kind", "error", "words"),
    [
        ("start Jupyter", "URLError", "refused", "Jupyter does not answer inside the container (refused)"),
        ("check the token", "AssertionError", "Jupyter refuses its own token", "config_dir"),
        ("import mlflow", "ModuleNotFoundError", "No module named 'mlflow'", "use an image that has it"),
        (
            "compare versions",
            "AssertionError",
            "mlflow 2.9.0 is older than the server",
            "use an image with mlflow 3.17 or",
        ),
        (
            "log a run",
            "E",
            "403: Invalid Host header - possible DNS rebinding",
            "192.0.2.7 is not among its allowed hosts",
        ),
        (
            "log a run",
            "E",
            "error code 401 You are not authenticated.",
            "refuses the user (401): give a credentials_file",
        ),
        ("upload", "E", "403 Client Error: FORBIDDEN Permission denied", "forbids this user to upload (403)"),
        ("log a run", "E", "SSLError(CERTIFICATE_VERIFY_FAILED)", "is not trusted inside the container: set ca_cert"),
        ("log a run", "E", "Max retries exceeded with url", "cannot be reached from inside the container at"),
        ("upload", "TimeoutError", "it took more than 60 seconds", "cannot be reached from inside"),
        (
            "download",
            "AssertionError",
            "the file came back different",
            "fails against http://192.0.2.7:5000: download (the",
        ),
    ],
)
def test_sentence(options, phase, kind, error, words):
    said = {"phase": phase, "kind": kind, "error": error, "ok": False}
    assert words in explain.sentence(said, URI, "192.0.2.7", options())
