# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import text


def test_systemd_environment():
    variables = {"A": "plain", "B": 5, "C": True, "D": None, "E": "a\"b\\c$d`e#f %g'h"}
    assert text.systemd_environment(variables) == ('A="plain"\nB="5"\nC="true"\nE="a\\"b\\\\c\\$d\\`e#f %g\'h"\n')


@pytest.mark.parametrize("value", ["a\nb", "a\rb"])
def test_systemd_environment_refuses_line_breaks(value):
    with pytest.raises(ValueError, match="PASSWORD: a line break"):
        text.systemd_environment({"PASSWORD": value})


def test_fingerprint():
    assert text.fingerprint("a") == "ca978112ca1b"
