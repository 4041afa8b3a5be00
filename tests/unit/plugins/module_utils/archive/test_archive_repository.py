# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.archive import repository

# 2026-11-21T12:00:00Z
NOON = 1795262400
HOUR = 3600


def backup(label, stop, cluster=1, size=1 << 30):
    return {"label": label, "timestamp": {"start": stop - 60, "stop": stop}, "database": {"id": cluster}} | {
        "info": {"size": size}
    }


def info(*backups, code=0, clusters=(7001,), message="ok", repositories=(), version="17"):
    return json.dumps(
        [
            {
                "backup": list(backups),
                "db": [{"id": number, "system-id": id_, "version": version} for number, id_ in enumerate(clusters, 1)],
                "name": "main",
                "repo": [{"status": {"code": code_, "message": text}} for code_, text in repositories],
                "status": {"code": code, "message": message},
            }
        ]
    )


HISTORY = info(backup("F1", NOON), backup("D1", NOON + HOUR), backup("D2", NOON + 2 * HOUR))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "new"),
        (info(code=1, clusters=()), "new"),
        (info(code=2), "empty"),
        (info(backup("F1", NOON, cluster=1), clusters=(7000, 7001)), "empty"),
        (info(backup("F1", NOON)), "ready"),
    ],
)
def test_what_is_still_to_be_done(text, expected):
    assert repository.state(text, 7001, "17") == expected


def test_the_archive_of_another_cluster_is_left_alone():
    with pytest.raises(repository.ArchiveError, match="^The archive is that of another database cluster: "):
        repository.state(HISTORY, "7002", 17)


def test_the_archive_of_another_version_takes_a_machine_of_that_version():
    text = info(backup("F1", NOON), version="15")
    new = "on a new machine with postgres_version: '15' and postgres_repository: pgdg"
    with pytest.raises(repository.ArchiveError) as error:
        repository.state(text, "7002", "17")
    assert str(error.value) == (
        "The archive is that of another database cluster, of PostgreSQL 15: run playbooks/recover_point_in_time.yml "
        f"{new} to get that one back, or set postgres_archive_path to another place."
    )
    with pytest.raises(repository.ArchiveError) as error:
        repository.recovery(text, "", NOON, 2000, "17")
    assert str(error.value) == (
        f"The archive is of PostgreSQL 15, which another version cannot read, and the host has 17: recover {new}."
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            info(code=99, message="other", repositories=[(0, "ok"), (99, "[HostConnectError] unable to connect")]),
            "The archive cannot be read: [HostConnectError] unable to connect.",
        ),
        (
            info(code=99, message="other", repositories=[(99, "[FormatError] unable to load 'a':\nFormatError: ?h6$")]),
            "The archive cannot be read: [FormatError] unable to load 'a'. Where it is encrypted otherwise, set "
            "postgres_archive_encrypt and database_archive_passphrase to what they were when it was begun.",
        ),
        (info(code=4, message="different across repos"), "The archive cannot be read: different across repos."),
    ],
)
def test_an_archive_that_cannot_be_read(text, sentence):
    with pytest.raises(repository.ArchiveError) as error:
        repository.state(text, 7001, "17")
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        (HISTORY, True),
        (info(code=2), True),
        # Nothing is there, or it is encrypted with another one, or it is not encrypted.
        ("[]", False),
        (info(code=1, clusters=()), False),
        (info(code=99, repositories=[(99, "[CryptoError] unable to load info file")]), False),
        (info(code=99, repositories=[(99, "[FormatError] unable to load info file")]), False),
        # Nobody knows.
        (info(code=99, repositories=[(99, "[HostConnectError] unable to connect to 'store:8443'")]), True),
        ("", True),
    ],
)
def test_only_an_archive_that_was_asked_goes_without_its_passphrase(text, needed):
    assert repository.needs_passphrase(text) is needed


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-21T12:00:00Z", NOON),
        ("2026-11-21 12:00z", NOON),
        ("2026-11-21T13:00:00+01:00", NOON),
        ("2026-11-21T13:00:00+01", NOON),
        ("2026-11-21T06:30:00.25-0530", NOON + 0.25),
        (datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc), NOON),
    ],
)
def test_moments(text, seconds):
    assert repository.moment(text).timestamp() == seconds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "yesterday",
            "postgres_recover_time: 'yesterday' is no time: write it as 2026-11-21T13:45:00+01:00 or "
            "2026-11-21T12:45:00Z.",
        ),
        (
            "2026-11-21T12:00:00",
            "postgres_recover_time: '2026-11-21T12:00:00' has no time zone: add one, such as 2026-11-21T12:00:00Z for "
            "UTC.",
        ),
        ("2026-02-30T12:00:00Z", "postgres_recover_time: '2026-02-30T12:00:00Z' is no time: day "),
    ],
)
def test_what_is_no_moment(text, sentence):
    with pytest.raises(repository.ArchiveError) as error:
        repository.moment(text)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("time", "chosen", "until"),
    [
        ("2026-11-21T12:00:00Z", "F1", "2026-11-21 12:00:00.000000+00:00"),
        ("2026-11-21T13:59:59.5+01:00", "F1", "2026-11-21 12:59:59.500000+00:00"),
        ("2026-11-21T13:30:00Z", "D1", "2026-11-21 13:30:00.000000+00:00"),
        ("2026-11-21T14:30:00Z", "D2", "2026-11-21 14:30:00.000000+00:00"),
    ],
)
def test_a_recovery_begins_with_the_newest_backup_before_its_time(time, chosen, until):
    found = repository.recovery(HISTORY, time, str(NOON + 3 * HOUR), 2000, "17")
    assert found == {
        "backup": chosen,
        "newest": "D2",
        "options": [
            "--type=time",
            "--target=%s" % until,
            "--target-action=promote",
            "--set=%s" % chosen,
            "--target-timeline=current",
        ],
        "until": until,
    }


def test_a_recovery_without_a_time_goes_to_the_end():
    found = repository.recovery(HISTORY, "", NOON, 2000, "17")
    assert found["options"] == ["--type=default", "--set=D2", "--target-timeline=current"]
    assert found["until"] == "the end of the archive"


@pytest.mark.parametrize(
    ("text", "time", "free_mb", "sentence"),
    [
        (
            HISTORY,
            "2026-11-21T11:59:59Z",
            2000,
            "postgres_recover_time: 2026-11-21T11:59:59Z lies before the end of the oldest base backup, "
            "2026-11-21T12:00:00Z: the archive reaches back to then.",
        ),
        (
            HISTORY,
            "2026-11-21T15:00:01Z",
            2000,
            "postgres_recover_time: 2026-11-21T15:00:01Z lies in the future: it is 2026-11-21T15:00:00Z on the host.",
        ),
        (
            HISTORY,
            "",
            1000,
            "The base backup D2 needs 1126 MiB beside the data there is, which is kept, and 1000 MiB are free: make "
            "room.",
        ),
        (
            info(code=1, clusters=()),
            "",
            2000,
            "The archive has no base backup to begin with: nothing can be recovered from it.",
        ),
    ],
)
def test_a_recovery_that_cannot_be_made(text, time, free_mb, sentence):
    with pytest.raises(repository.ArchiveError) as error:
        repository.recovery(text, time, NOON + 3 * HOUR, free_mb, "17")
    assert str(error.value) == sentence
