# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Point in time: a real PostgreSQL archives to a folder, over SFTP and to S3, and goes back to any time from there.

The tests run in the order of this file: each goes on with what the one before left.
"""

from __future__ import annotations

import pytest

NOT_STARTED = "SELECT pg_postmaster_start_time()"
TRACKING_STARTED = "systemctl show --property=InvocationID --value mlflow"
PASSPHRASE = "passphrase-canary-0123456789"


def test_a_second_run_changes_nothing_and_check_mode_says_so(db):
    assert db.site("--tags", "postgres", "--check").succeeded().changes == 0
    assert db.site("--tags", "postgres").succeeded().changes == 0
    assert len(db.backups()) == 1
    assert db.archive()["status"]["code"] == 0
    timers = db.shell("systemctl list-timers --no-legend 'postgres-archive-*'")
    assert "postgres-archive-full.timer" in timers and "postgres-archive-differential.timer" in timers
    # What is to be is told, and nothing is done.
    assert db.site("--tags", "postgres", "--check", postgres_archive_keep_full=9).succeeded().changes > 0
    assert "retention-full=4" in db.shell("cat /etc/pgbackrest/pgbackrest.conf")


def test_both_units_make_base_backups(db):
    db.shell("systemctl start postgres-archive-differential.service")
    assert [label[-1] for label in db.backups()] == ["F", "D"]
    exposure = db.shell("systemd-analyze security postgres-archive-full.service | tail -1")
    assert float(exposure.split(":")[1].split()[0]) < 2.0


def test_everything_is_as_it_was_then(db):
    db.sql("INSERT INTO kept VALUES ('second')")
    then = db.now()
    db.sql("INSERT INTO kept VALUES ('third'); DELETE FROM kept WHERE name = 'first'; DROP TABLE experiments CASCADE")
    backups = db.backups()
    outcome = db.recover_stack(then).succeeded()
    assert db.rows() == ["first", "second"]
    assert db.sql("SELECT count(*) FROM experiments") == "1"
    assert db.serves()
    # A base backup of the new history, and the old data, which the user is told of.
    assert len(db.backups()) == len(backups) + 1
    assert db.archive()["archive"][0]["max"].startswith("00000002")
    (kept,) = (name for name in db.folders() if name.startswith("main."))
    assert kept.startswith("main.before-") and kept in outcome.output
    assert db.shell(f"stat -c '%a %U' /var/lib/postgresql/*/{kept}") == "700 postgres"
    # PostgreSQL has forgotten how it came here.
    assert db.sql("SELECT name FROM pg_settings WHERE pending_restart OR sourcefile LIKE '%auto.conf'") == ""
    assert db.site("--tags", "postgres").succeeded().changes == 0


def test_a_time_after_the_last_change_is_reached_as_well(db):
    db.sql("INSERT INTO kept VALUES ('last')")
    db.recover(db.now()).succeeded()
    assert db.rows() == ["first", "last", "second"]


def test_what_a_recovery_undid_can_be_had_back(db):
    db.sql("INSERT INTO kept VALUES ('undone')")
    undone = db.now()
    db.sql("DELETE FROM kept")
    before = db.now()
    db.shell("systemctl start postgres-archive-differential.service")
    db.recover(undone).succeeded()
    assert "undone" in db.rows()
    # That time lies in a history that was left, and after the backup that both histories share.
    db.recover(before).succeeded()
    assert db.rows() == []
    db.recover(undone).succeeded()
    assert "undone" in db.rows()


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ("2020-01-01T00:00:00Z", "lies before the end of the oldest base backup"),
        ("2100-01-01T00:00:00+01:00", "lies in the future"),
        ("2026-11-21T12:00:00", "has no time zone"),
    ],
)
def test_a_time_that_cannot_be_is_refused_before_anything_stops(db, when, sentence):
    started, tracking = db.sql(NOT_STARTED), db.tracking.shell(TRACKING_STARTED)
    assert sentence in db.recover_stack(when).failure
    assert (db.sql(NOT_STARTED), db.tracking.shell(TRACKING_STARTED)) == (started, tracking)


def test_tablespaces_are_refused_before_anything_stops(db):
    started, place = db.sql(NOT_STARTED), "/var/lib/postgresql/space"
    db.shell(f"install -d -m 700 -o postgres -g postgres {place}")
    db.sql(f"CREATE TABLESPACE space LOCATION '{place}'")
    assert "db has 1 tablespace(s), whose data a recovery cannot keep" in db.recover(db.now()).failure
    assert db.sql(NOT_STARTED) == started
    # The folder stays, for recoveries in which PostgreSQL makes the tablespace again.
    db.sql("DROP TABLESPACE space")


def test_check_mode_tells_and_changes_nothing(db):
    started, folders = db.sql(NOT_STARTED), db.folders()
    outcome = db.play("playbooks/recover_point_in_time.yml", "--check", postgres_recover_time=db.now()).succeeded()
    assert outcome.changes > 0 and "go to 2" in outcome.output
    assert (db.sql(NOT_STARTED), db.folders()) == (started, folders)


def test_a_recovery_that_fails_leaves_everything_as_it_was(db):
    db.sql("INSERT INTO kept VALUES ('failure')")
    then = db.now()
    # An earlier recovery was interrupted when PostgreSQL had come to its end, and people have worked since.
    db.shell("cd /var/lib/postgresql/17; cp -a main main.recovering")
    db.sql("INSERT INTO kept VALUES ('survivor')")
    rows, folders = db.rows(), db.folders()
    # Somebody takes the newest part of the log out of the archive while PostgreSQL archives nothing more.
    db.sql("ALTER SYSTEM SET archive_command = 'true'; SELECT pg_reload_conf()")
    outcome = db.recover_stack(then)
    assert outcome.status != 0
    assert "PostgreSQL runs with the data that it had before" in outcome.failures[-1]
    assert db.rows() == rows
    (kept,) = set(db.folders()) - set(folders)
    assert kept.startswith("main.before-") and kept in outcome.output
    assert set(folders) - set(db.folders()) == {"main.recovering"}
    assert db.serves()
    db.sql("ALTER SYSTEM RESET archive_command; SELECT pg_reload_conf()")
    # The archive has a gap now, which ends with the next base backup.
    db.shell("systemctl start postgres-archive-full.service")


def test_an_interrupted_recovery_is_taken_back_first(db):
    db.sql("INSERT INTO kept VALUES ('interrupted')")
    then = db.now()
    db.sql("DELETE FROM kept")
    db.shell("systemctl start postgres-archive-full.service")
    db.shell(
        "systemctl stop postgresql@17-main; cd /var/lib/postgresql/17; mv main main.recovering; "
        "install -d -m 700 -o postgres -g postgres main; touch main/half"
    )
    assert "A recovery of db has not ended" in db.site("--tags", "postgres").failure
    # The base backup at its end makes the one expire that it began with. That is no reason to undo it.
    oldest = {"postgres_recover_time": then, "postgres_archive_keep_full": 1}
    db.play("tests/integration/archive/recover.yml", **oldest).succeeded()
    assert [label[-1] for label in db.backups()] == ["F", "D"]
    assert "interrupted" in db.rows()
    (interrupted,) = (name for name in db.folders() if name.startswith("main.interrupted-"))
    assert db.shell(f"ls /var/lib/postgresql/17/{interrupted}") == "half"


def test_sftp_with_encryption(db, store):
    db.variables = {
        "postgres_archive": "sftp",
        "postgres_archive_path": "/srv/archive/stack",
        "postgres_archive_sftp": store.serve_sftp(),
        "postgres_archive_encrypt": True,
        "common_secrets": {"database_archive_passphrase": PASSPHRASE},
    }
    outcome = db.site("--tags", "postgres").succeeded()
    assert PASSPHRASE not in outcome.output
    assert db.site("--tags", "postgres").succeeded().changes == 0
    assert db.archive()["cipher"] == "aes-256-cbc"
    # Neither a lost passphrase nor another one takes the place of the only one that opens the archive.
    config = db.shell("sha256sum /etc/pgbackrest/pgbackrest.conf")
    assert "secrets database_archive_passphrase are not in" in db.site("--tags", "postgres", common_secrets={}).failure
    other = {"database_archive_passphrase": "another-canary-0123456789"}
    outcome = db.site("--tags", "postgres", common_secrets=other)
    assert "the archive needs the passphrase in /etc/pgbackrest/pgbackrest.conf on db" in outcome.failure
    assert PASSPHRASE not in outcome.output and "another-canary" not in outcome.output
    assert db.shell("sha256sum /etc/pgbackrest/pgbackrest.conf") == config
    assert store.machine.shell("ls /srv/archive/stack") == "archive\nbackup"
    db.sql("INSERT INTO kept VALUES ('by sftp')")
    then = db.now()
    db.sql("DELETE FROM kept")
    outcome = db.recover(then).succeeded()
    assert PASSPHRASE not in outcome.output
    assert "sftp" in db.rows()
    for path in ("/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest/id_sftp"):
        assert db.shell(f"runuser -u nobody -- cat {path} 2>/dev/null || echo refused") == "refused"


def test_another_host_key_is_not_trusted(db):
    path, other = "/etc/pgbackrest/known_hosts", f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'a' * 43}"
    db.shell(f"cp {path} /root; sed -i 's#ssh-ed25519 .*#{other}#; /rsa/d; /ecdsa/d' {path}")
    assert "mismatch in known hosts" in db.shell("cd /; runuser -u postgres -- pgbackrest --stanza=main info")
    db.shell(f"cp /root/known_hosts {path}")


def test_a_machine_that_is_gone(db, spare):
    """Everything but the archive and the control machine's secrets is lost."""
    db.sql("TRUNCATE kept; INSERT INTO kept VALUES ('rescued'); SELECT pg_switch_wal()")
    db.shell("cd /; runuser -u postgres -- pgbackrest --stanza=main check; systemctl stop postgresql@17-main")
    spare.variables, spare.secrets = db.variables, db.secrets
    # A wrong passphrase that a host has is no reason to refuse the right one.
    wrong = {"database_archive_passphrase": "another-canary-0123456789"}
    assert "Where it is encrypted otherwise, set" in spare.site("--tags", "postgres", common_secrets=wrong).failure
    assert "The archive is that of another database cluster" in spare.site("--tags", "postgres").failure
    spare.recover().succeeded()
    assert spare.rows() == ["rescued"]
    assert spare.site("--tags", "postgres").succeeded().changes == 0
    db.shell("systemctl start postgresql@17-main")


def test_s3_over_tls(db, store):
    place = store.serve_s3()
    db.write("/etc/ssl/store-ca.pem", store.ca_file.read_text(encoding="utf-8"))
    db.variables = {
        "postgres_archive": "s3",
        "postgres_archive_s3": {**place, "ca_bundle": "/etc/ssl/store-ca.pem"},
        # The host has the only other copy of it, until its configuration is that of another archive.
        "common_secrets": {"database_archive_passphrase": PASSPHRASE},
    }
    outcome = db.site("--tags", "postgres").succeeded()
    assert place["secret_key"] not in outcome.output
    assert db.site("--tags", "postgres").succeeded().changes == 0
    db.sql("INSERT INTO kept VALUES ('s3')")
    then = db.now()
    db.sql("DELETE FROM kept")
    db.recover(then).succeeded()
    assert "s3" in db.rows()
    assert db.shell("ls /etc/pgbackrest") == "mlops-stack-backed-up\npgbackrest.conf"
    found = store.client().list_objects_v2(Bucket="wal", Prefix="postgres/backup/main/")
    assert found["KeyCount"] > 10


def test_s3_needs_a_certificate_that_is_trusted(db):
    trust = "--repo1-storage-ca-file=/etc/ssl/certs/ca-certificates.crt"
    assert "certificate" in db.shell(
        f"cd /; runuser -u postgres -- pgbackrest --stanza=main {trust} --io-timeout=5 info"
    )


def test_s3_without_tls_is_refused_before_anything_is_changed(db):
    place = {**db.variables["postgres_archive_s3"], "endpoint_url": "http://store:8333"}
    outcome = db.site("--tags", "postgres", postgres_archive_s3=place)
    assert "pgBackRest speaks S3 over TLS only" in outcome.failure
    assert outcome.changes == 0


def test_switched_off_it_stops(db):
    archived, backups, db.variables = db.variables, db.backups(), {}
    # A recovery was interrupted when PostgreSQL had come to its end.
    db.shell("cd /var/lib/postgresql/17; cp -a main main.recovering")
    outcome = db.site("--tags", "postgres").succeeded()
    assert "main.recovering" not in db.folders()
    assert "before an earlier recovery, which was interrupted, is kept in" in outcome.output
    assert db.sql("SHOW archive_mode") == "off"
    assert db.shell("systemctl list-unit-files --no-legend 'postgres-archive-*'", check=False) == ""
    assert db.shell("ls /etc/pgbackrest") == ""
    assert db.site("--tags", "postgres").succeeded().changes == 0
    # Nobody can recover across what was not archived, so another base backup is made at once.
    db.variables = archived
    db.site("--tags", "postgres").succeeded()
    assert len(db.backups()) == len(backups) + 1
    assert db.site("--tags", "postgres").succeeded().changes == 0


def test_debian_12_cannot_use_sftp_and_can_use_a_folder(old):
    old.variables = {
        "postgres_archive": "sftp",
        "postgres_archive_path": "/srv/archive",
        "postgres_archive_sftp": {"host": "store", "user": "u", "private_key_file": "/none", "host_keys": ["k"]},
    }
    assert "needs pgBackRest 2.48 or newer, and old with Debian" in old.site("--tags", "postgres").failure
    assert old.shell("ls /etc/postgresql", check=False) == ""
    old.variables = {"postgres_archive": "folder"}
    old.site("--tags", "postgres").succeeded()
    old.sql("CREATE TABLE kept (name text); INSERT INTO kept VALUES ('old')")
    then = old.now()
    old.sql("DELETE FROM kept")
    old.recover(then).succeeded()
    assert old.rows() == ["old"]
    # Another repository is of no use to a package that is there already.
    outcome = old.site("--tags", "postgres", "--check", postgres_repository="pgdg").succeeded()
    assert "pgbackrest>=2.48" in outcome.messages
