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
