# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import jupyter

FILER = {8888: ("seaweedfs_cluster_filer_port", "seaweedfs")}


@pytest.mark.parametrize(
    ("variables", "taken", "expected", "words"),
    [
        ({}, {}, 8888, ""),
        ({}, FILER, 8889, ""),
        ({"jupyter_port": "9000"}, FILER, 9000, ""),
        ({"jupyter_port": 8888}, FILER, 8888, "port 8888 on gpu1 is also taken by seaweedfs_cluster_filer_port"),
        ({"jupyter_port": 70000}, {}, 8888, "jupyter_port: 70000 on gpu1 is no port"),
        ({"jupyter_port": "http"}, {}, 8888, "jupyter_port: 'http' on gpu1 is no port"),
    ],
)
def test_port(variables, taken, expected, words):
    number, problems = jupyter.port("gpu1", variables, taken)
    assert number == expected
    assert words in " ".join(problems)
    assert bool(words) == bool(problems)


@pytest.mark.parametrize(
    ("variables", "ok"),
    [
        ({"ansible_user": "cc"}, True),
        ({"ansible_user": "cc", "jupyter_user": "ann"}, False),
        ({}, False),
        ({"ansible_user": "root"}, False),
        ({"ansible_user": "postgres"}, False),
    ],
)
def test_account(variables, ok):
    accounts = dict.fromkeys(("root", "cc"), {"uid": 1000, "gid": 1000, "home": "/home/x"})
    assert (jupyter.account("gpu1", variables, {"accounts": accounts}) == []) == ok


GOOD = {"url": "https://example.org/a.tar", "checksum": "sha256:" + "0" * 64, "path": "/mnt/a", "variable": "A"}
STORE = {"bucket": "b", "key": "a.tar", "access_key": "x", "secret_key": "y"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ""),
        ({"food11": GOOD}, ""),
        ({"food11": {**GOOD, "url": None, "s3": STORE}}, ""),
        (["food11"], "jupyter_datasets: is a mapping"),
        ({"food 11": GOOD}, "jupyter_datasets.food 11: is the name of a Docker volume"),
        ({"food11": "https://example.org"}, "jupyter_datasets.food11: is a mapping with path"),
        (
            {"food11": {**GOOD, "archive": "a.tar"}},
            "jupyter_datasets.food11: has 2 sources: give one of url, archive, s3.",
        ),
        ({"food11": {**GOOD, "url": None}}, "has 0 sources"),
        ({"food11": {**GOOD, "url": "file:///srv/a.tar"}}, "url is one of HTTP: begin it with https://"),
        ({"food11": {**GOOD, "checksum": "md5:1"}}, "needs the archive's checksum"),
        ({"food11": {**GOOD, "path": "mnt"}}, "needs a path in the container"),
        ({"food11": {**GOOD, "path": "/mnt:ro"}}, "needs a path in the container"),
        ({"food11": {**GOOD, "url": None, "s3": {"bucket": "b"}}}, "s3 lacks key, access_key, secret_key: add it."),
    ],
)
def test_datasets(given, words):
    said = jupyter.datasets(given)
    assert len(said) == bool(words)
    assert words in " ".join(said)


@pytest.mark.parametrize(
    ("variables", "ok"),
    [
        ({}, True),
        ({"common_python_index_url": "https://example.org/simple"}, True),
        ({"common_python_index_url": "https://me:secret@example.org/simple"}, False),
        ({"common_python_index_url": "https://me:secret@example.org/simple", "jupyter_image": "a@sha256:1"}, True),
    ],
)
def test_image(variables, ok):
    said = " ".join(jupyter.image("gpu1", variables))
    assert (said == "") == ok
    assert "secret" not in said


def test_host():
    number, problems = jupyter.host("gpu1", {"jupyter_datasets": {"a": {}}}, {"accounts": {}}, {})
    assert number == 8888
    assert [sentence.partition(":")[0] for sentence in problems] == ["jupyter_user", *["jupyter_datasets.a"] * 3]
