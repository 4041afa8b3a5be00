# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import backup

TRIXIE = {"id": "debian", "version_id": "13", "name": "Debian GNU/Linux 13 (trixie)"}


def facts(**changed):
    return {"os": TRIXIE, "packages": [], "envs": [], **changed}


@pytest.mark.parametrize(
    ("members", "backend", "words"),
    [
        ([], "postgresql", []),
        ([], "sqlite", []),
        (["b"], "postgresql", []),
        (["a", "b"], "postgresql", ["group 'vault' has 2 hosts"]),
        (["b"], "sqlite", ["mlflow_server_backend is sqlite"]),
    ],
)
def test_group(members, backend, words):
    found = backup.group(members, "vault", backend)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("variables", "place", "refused"),
    [
        ({}, "s3", False),
        ({"backup_artifacts": "copy"}, "s3", False),
        ({}, "local", True),
        ({"backup_artifacts": "copy"}, "local", True),
        ({"backup_artifacts": "inventory"}, "local", True),
        ({"backup_artifacts": "none"}, "local", False),
    ],
)
def test_artifacts_that_nobody_would_back_up(variables, place, refused):
    found = backup.artifacts("b1", variables, place)
    assert bool(found) is refused
    assert all("b1 would back up MLflow's database without the artifacts" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        (None, False),
        ([], False),
        (["/usr/local/bin/alert", "--now"], False),
        ("/usr/local/bin/alert --now", True),
        ("", True),
        (["/usr/local/bin/alert", 1], True),
    ],
)
def test_a_command_that_would_be_taken_for_one_word(command, refused):
    found = backup.failure_command({} if command is None else {"backup_failure_command": command})
    assert bool(found) is refused
    assert all("backup_failure_command is %r" % (command,) in sentence for sentence in found)


def test_is_installed():
    assert backup.is_installed(facts(envs=["mlflow-1", "backup-py3.13-abc"]))
    assert not backup.is_installed(facts(envs=["backup-program-abc"]))


@pytest.mark.parametrize(
    ("known", "version", "repository", "refused"),
    [
        (facts(), "17", "distribution", False),
        (facts(), "15", "distribution", True),
        (facts(packages=["postgresql-client-15"]), "15", "distribution", False),
        (facts(), "15", "pgdg", False),
        (facts(), None, "distribution", False),
        (None, "15", "distribution", False),
        (facts(os={"id": "arch"}), "15", "distribution", False),
    ],
)
def test_host(known, version, repository, refused):
    found = backup.host("b1", known, version, repository)
    assert bool(found) is refused
    assert all("b1 is to make backups of PostgreSQL 15, and Debian" in sentence for sentence in found)
