# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import stat

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import secrets


def test_generated_once_for_its_owner_alone(tmp_path):
    folder = tmp_path / "inventory" / "secrets"
    first = secrets.find("database_password", {}, str(folder))
    assert len(first) == 32
    assert first.isalnum()
    assert secrets.find("database_password", {}, str(folder)) == first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "database_password").stat().st_mode) == 0o600
    assert [entry.name for entry in folder.iterdir()] == ["database_password"]


def test_the_inventory_wins_and_no_file_is_made(tmp_path):
    given = {"database_password": "from the vault"}
    assert secrets.find("database_password", given, str(tmp_path)) == "from the vault"
    assert list(tmp_path.iterdir()) == []


def test_check_mode_makes_nothing(tmp_path):
    assert secrets.find("database_password", {}, str(tmp_path), generate=False) == secrets.PLACEHOLDER
    assert list(tmp_path.iterdir()) == []


def test_unknown_name(tmp_path):
    with pytest.raises(secrets.SecretError, match="no secret of the stack"):
        secrets.find("nonsense", {}, str(tmp_path))


def test_unusable_value_of_the_inventory(tmp_path):
    with pytest.raises(secrets.SecretError, match="at least 12"):
        secrets.find("database_password", {"database_password": "short"}, str(tmp_path))


def test_a_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "database_password"
    path.write_text("long enough to be a password\n")
    path.chmod(0o644)
    with pytest.raises(secrets.SecretError, match="run chmod 600"):
        secrets.find("database_password", {}, str(tmp_path))


def test_the_first_of_two_writers_wins(tmp_path):
    path = tmp_path / "database_password"
    secrets.create(str(path), "the first value")
    secrets.create(str(path), "the second value")
    assert secrets.read(str(path)) == "the first value"
    assert [entry.name for entry in tmp_path.iterdir()] == ["database_password"]
