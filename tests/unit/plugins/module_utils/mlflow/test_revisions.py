# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import revisions

FIRST = 'revision = "a1"\ndown_revision = None\n\ndef upgrade():\n    op.create_table(\n        "runs",\n    )\n'
SECOND = "revision: str = 'b2'  # second\ndown_revision: str | None = 'a1'\n"
MERGE = 'revision = "m3"\ndown_revision = ("b2", "c2")\n'


def test_parse_scripts_finds_heads_and_tables():
    found = revisions.parse_scripts([FIRST, SECOND, "# no revision here\n", "revision = make()\n"])
    assert found.known == {"a1", "b2"}
    assert found.heads == ("b2",)
    assert found.tables == {"runs"}


def test_parse_scripts_with_branches():
    third = "revision = 'c2'\ndown_revision = 'a1'\n"
    assert revisions.parse_scripts([FIRST, SECOND, third]).heads == ("b2", "c2")
    assert revisions.parse_scripts([FIRST, SECOND, third, MERGE]).heads == ("m3",)
    assert revisions.parse_scripts(["revision = 'z'\n"]).heads == ("z",)


@pytest.fixture(name="env")
def fixture_env(tmp_path):
    package = tmp_path / "lib" / "python3.13" / "site-packages" / "mlflow"
    scripts = package / revisions.TRACKING_SCRIPTS
    scripts.mkdir(parents=True)
    (scripts / "a1.py").write_text(FIRST)
    (package / "version.py").write_text('import re\n\nVERSION = "3.17.2"\n')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("")
    return tmp_path


def test_installed(env):
    found = revisions.Installed(str(env))
    assert found.version == "3.17.2"
    assert found.python == str(env / "bin" / "python")
    assert found.scripts(revisions.TRACKING_SCRIPTS).heads == ("a1",)
    with pytest.raises(revisions.NotInstalled, match="0 revisions instead of one"):
        found.scripts(revisions.AUTH_SCRIPTS)


def test_installed_of_unknown_version(env):
    (env / "lib" / "python3.13" / "site-packages" / "mlflow" / "version.py").write_text("")
    assert revisions.Installed(str(env)).version == "unknown"


def test_not_installed(env, tmp_path):
    (env / "bin" / "python").unlink()
    for path in (env, tmp_path / "nothing"):
        with pytest.raises(revisions.NotInstalled, match="no MLflow in"):
            revisions.Installed(str(path))
