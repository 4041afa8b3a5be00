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
    assert sorted(entry.name for entry in folder.iterdir()) == [".gitignore", "database_password"]
    assert (folder / ".gitignore").read_text() == "*\n"


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


def test_a_file_with_a_secret_that_is_too_short_is_named(tmp_path):
    path = tmp_path / "database_password"
    path.write_text("short\n")
    path.chmod(0o600)
    with pytest.raises(secrets.SecretError, match=f"The file {path} cannot be used.*has 5 characters"):
        secrets.find("database_password", {}, str(tmp_path))


def test_what_cannot_be_read_or_written_is_named(tmp_path):
    (tmp_path / "database_password").mkdir()
    with pytest.raises(secrets.SecretError, match="database_password cannot be read: Is a directory"):
        secrets.find("database_password", {}, str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(secrets.SecretError, match="file/database_password cannot be read: Not a directory"):
        secrets.find("database_password", {}, str(tmp_path / "file"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at all")
    with pytest.raises(secrets.SecretError, match="link/database_password cannot be written"):
        secrets.find("database_password", {}, str(tmp_path / "link"))


def test_present(tmp_path):
    secrets.find("database_password", {}, str(tmp_path))
    given = {"mlflow_session_key": "long enough for a key"}
    assert secrets.present(given, str(tmp_path)) == ["database_password", "mlflow_session_key"]
    path = tmp_path / "s3_admin_secret_key"
    path.write_text("x")
    path.chmod(0o644)
    with pytest.raises(secrets.SecretError, match="s3_admin_secret_key can be read by others"):
        secrets.present(given, str(tmp_path))
