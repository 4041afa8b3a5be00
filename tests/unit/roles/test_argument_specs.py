# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every variable of a role is documented where Ansible checks it, and nothing is documented that does not exist."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

ROLES = sorted((pathlib.Path(__file__).parents[3] / "roles").iterdir())
NAMES = [role.name for role in ROLES]


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def defaults(role):
    """Names in defaults/main.yml, those without a meaningful default (commented out) included."""
    text = (role / "defaults" / "main.yml").read_text(encoding="utf-8")
    return set(re.findall(rf"^(?:# )?({role.name}_[a-z0-9_]+):(?: |$)", text, re.MULTILINE))


def specs(role):
    return read(role / "meta" / "argument_specs.yml")["argument_specs"]


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_every_default_is_documented_and_nothing_else(role):
    documented = {name for entry in specs(role).values() for name in entry["options"]}
    assert documented == defaults(role)


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_every_entry_point_exists(role):
    for name, entry in specs(role).items():
        assert (role / "tasks" / f"{name}.yml").is_file()
        assert entry["short_description"]


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_documented_defaults_are_the_true_ones(role):
    actual = read(role / "defaults" / "main.yml") or {}
    for entry in specs(role).values():
        for name, option in entry["options"].items():
            if "default" in option:
                assert actual[name] == option["default"], name


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_every_default_has_a_comment_of_its_own(role):
    lines = (role / "defaults" / "main.yml").read_text(encoding="utf-8").splitlines()
    bare = [
        line
        for before, line in zip(lines, lines[1:])
        if re.match(rf"^{role.name}_[a-z0-9_]+:", line) and not before.startswith("# ")
    ]
    assert bare == []
