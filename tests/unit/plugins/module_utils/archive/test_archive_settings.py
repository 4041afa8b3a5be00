# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.archive import settings


def facts(system, version_id, name, installed=None):
    return {"os": {"id": system, "version_id": version_id, "name": name}, "archive": {"version": installed}}


BOOKWORM = facts("debian", "12", "Debian GNU/Linux 12")
TRIXIE = facts("debian", "13", "Debian GNU/Linux 13")
JAMMY = facts("ubuntu", "22.04", "Ubuntu 22.04")
# An older release is there before the inventory changes, or one from another repository.
INSTALLED = facts("debian", "12", "Debian GNU/Linux 12", "2.45")
NEWER = facts("debian", "12", "Debian GNU/Linux 12", "2.58.0")
SFTP = {"host": "store1", "user": "archive", "private_key_file": "keys/archive", "host_keys": ["ssh-ed25519 AAAA"]}
S3 = {"endpoint_url": "https://s3.example.org", "bucket": "wal", "access_key": "key", "secret_key": "canary"}
TO_SFTP = {"postgres_archive": "sftp", "postgres_archive_path": "/srv/archive", "postgres_archive_sftp": SFTP}
TO_S3 = {"postgres_archive": "s3", "postgres_archive_s3": S3}


def problems(variables, facts=None):
    hosts = {"db1": {"variables": variables, "facts": facts or TRIXIE}, "ml1": {"variables": {}, "facts": TRIXIE}}
    return settings.problems({"postgres": ["db1"], "mlflow": ["ml1"]}, hosts)


@pytest.mark.parametrize(
    ("variables", "facts"),
    [
        ({}, BOOKWORM),
        ({"postgres_archive": None}, BOOKWORM),
        # What is off is not looked at.
        ({"postgres_archive": "none", "postgres_archive_path": "here", "postgres_archive_keep_full": 0}, BOOKWORM),
        ({"postgres_archive": "folder"}, BOOKWORM),
        (
            {
                "postgres_archive": "folder",
                "postgres_archive_path": "/mnt/archive",
                "postgres_archive_keep_full": "3",
                "postgres_archive_full_schedule": "0 1 1 * *",
            },
            BOOKWORM,
        ),
        (TO_SFTP, TRIXIE),
        (TO_SFTP, None),
        ({**TO_SFTP, "postgres_repository": "pgdg"}, BOOKWORM),
        # It is upgraded first.
        ({**TO_SFTP, "postgres_repository": "pgdg"}, INSTALLED),
        (TO_SFTP, NEWER),
        (TO_S3, BOOKWORM),
    ],
)
def test_archive_is_accepted(variables, facts):
    assert problems(variables, facts) == []


def test_a_stack_without_postgresql_has_no_archive():
    assert settings.problems({"postgres": []}, {}) == []


@pytest.mark.parametrize(
    ("variables", "facts", "sentence"),
    [
        ({"postgres_archive": "s4"}, TRIXIE, "postgres_archive: 's4' is unknown: use one of none, folder, sftp, s3."),
        (
            TO_SFTP,
            BOOKWORM,
            "postgres_archive: sftp needs pgBackRest 2.48 or newer, and db1 with Debian GNU/Linux 12 has 2.45: set "
            "postgres_repository to pgdg, or use postgres_archive: folder or s3.",
        ),
        (
            {**TO_SFTP, "postgres_archive_path": None},
            TRIXIE,
            "postgres_archive_path: is not set, and an SFTP server has no folder of its own for it: set it.",
        ),
        (
            {**TO_S3, "postgres_archive_path": "archive"},
            TRIXIE,
            "postgres_archive_path: 'archive' is no absolute path: write it as /srv/archive.",
        ),
        (
            {**TO_S3, "postgres_archive_s3": {**S3, "bucket": "", "secret_key": None}},
            TRIXIE,
            "postgres_archive_s3: postgres_archive: s3 also needs bucket, secret_key: add it.",
        ),
        (
            {**TO_SFTP, "postgres_archive_sftp": None},
            TRIXIE,
            "postgres_archive_sftp: postgres_archive: sftp also needs host, user, private_key_file, host_keys: add it.",
        ),
        (
            {**TO_SFTP, "postgres_archive_sftp": "store1"},
            TRIXIE,
            "postgres_archive_sftp: sftp has to be a dictionary with host, user, private_key_file, host_keys.",
        ),
        (
            {**TO_S3, "postgres_archive_s3": {**S3, "endpoint_url": "http://store1:8333"}},
            TRIXIE,
            "postgres_archive_s3.endpoint_url: 'http://store1:8333' is not encrypted, and pgBackRest speaks S3 over "
            "TLS only: give the store a certificate and write https://, or use postgres_archive: folder or sftp.",
        ),
        (
            {"postgres_archive": "folder", "postgres_archive_keep_full": 0},
            TRIXIE,
            "postgres_archive_keep_full: 0 is no number of backups to keep: use 1 or more.",
        ),
        (
            {"postgres_archive": "folder", "postgres_archive_differential_schedule": "0 25 * * *"},
            TRIXIE,
            "postgres_archive_differential_schedule: '25' cannot be the hour: it goes from 0 to 23.",
        ),
    ],
)
def test_archive_is_refused(variables, facts, sentence):
    assert problems(variables, facts) == [sentence]


@pytest.mark.parametrize(
    ("facts", "repository", "expected"),
    [
        (JAMMY, "distribution", False),
        (BOOKWORM, "distribution", True),
        (JAMMY, "pgdg", True),
        (facts(None, None, "Linux"), "distribution", True),
        (facts("ubuntu", "22.04", "Ubuntu 22.04", "2.39"), "distribution", True),
    ],
)
def test_small_files_are_bundled_where_pgbackrest_can(facts, repository, expected):
    assert settings.bundles(facts, repository) is expected


@pytest.mark.parametrize(
    ("facts", "repository", "expected"),
    [
        (BOOKWORM, "pgdg", False),
        (INSTALLED, "pgdg", True),
        (INSTALLED, "distribution", False),
        (NEWER, "pgdg", False),
        (facts("debian", "12", "Debian GNU/Linux 12", "2.48"), "pgdg", False),
    ],
)
def test_a_pgbackrest_from_before_the_repository_changed_is_upgraded(facts, repository, expected):
    assert settings.outdated(facts, repository) is expected
