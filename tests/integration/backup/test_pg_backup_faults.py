# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with a backup: earlier sets stay, nothing half-made is seen, and the next backup succeeds."""

from __future__ import annotations

import pytest

SETS = "/srv/backup-test/sets"

# Text that takes seconds to be compressed: long enough to do something terrible meanwhile.
SLOWLY = {"databases": ["big"], "compress": "gzip:9", "verify": "none"}


@pytest.fixture
def first(host):
    """One good set, which nothing that happens afterwards may touch."""
    assert host.run().status == 0
    labels = host.labels
    before = host.shell(f"cd /srv/backup-test/sets/{labels[0]}; find . -type f | sort | xargs sha256sum")
    yield labels[0]
    assert labels[0] in host.labels
    assert host.shell(f"cd /srv/backup-test/sets/{labels[0]}; find . -type f | sort | xargs sha256sum") == before
    host.wait_quiet()
    assert host.run(minimum_redundancy=1).status == 0
    assert host.leftovers == ""


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("pkill -9 -o -x pg_dump", "was ended by signal 9"),
        ("pkill -9 -n -x pg_dump", "pg_dump of big at 127.0.0.1:5432 failed"),
    ],
)
def test_pg_dump_is_killed(host, first, what, message):
    place = host.start(**SLOWLY)
    host.dumping()
    host.shell(what)
    ended = host.end(place)
    assert ended.status == 1
    assert message in ended.err
    assert host.leftovers == ""
    assert host.labels == [first]


def test_the_server_ends_the_session(host, first):
    place = host.start(**SLOWLY)
    host.dumping()
    host.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'")
    ended = host.end(place)
    assert ended.status == 1
    assert "the server went away" in ended.err
    assert host.leftovers == ""
    assert host.labels == [first]


def test_the_backup_is_killed(host, first):
    place = host.start(**SLOWLY)
    host.dumping()
    host.shell(f"kill -9 $(cat {place}/pid)")
    assert host.end(place).status == 137
    # What it was writing is no set; who began to write it ends by itself.
    assert host.labels == [first]
    host.wait_quiet()
    info = host.run("info", minimum_redundancy=1)
    assert "A backup was interrupted and left .partial-" in info.err


@pytest.mark.parametrize("signal", ["TERM", "HUP"])
def test_the_backup_is_asked_to_end(host, first, signal):
    place = host.start(**SLOWLY)
    host.dumping()
    host.shell(f"kill -{signal} $(cat {place}/pid)")
    ended = host.end(place)
    assert ended.status == 1
    assert f"The backup was interrupted by SIG{signal}" in ended.err
    assert host.leftovers == ""
    assert host.labels == [first]


def test_two_at_once(host, first):
    host.hold_table("big", "big")
    place = host.start(**SLOWLY)
    host.until(f"ls -d {SETS}/.partial-*")
    second = host.run(lock_timeout=0)
    assert second.status == 75
    assert "Another process works on the sets in" in second.err
    assert "state=present" in second.err
    info = host.run("info", minimum_redundancy=1).result
    assert (info["locked"], info["running"]["phase"], info["orphans"]) == (True, "dump", [])
    third = host.start(lock_timeout=60)
    host.release_table()
    assert host.end(place).status == 0
    assert host.end(third).status == 0
    assert len(host.labels) == 3


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ("size=2m", "there is no space left"),
        ("size=100m,nr_inodes=7", "inode"),
        ("ro", "Read-only file system"),
    ],
)
def test_a_disk_that_is_full_or_read_only(host, mount, message):
    host.shell(f"mkdir /srv/backup-test/disk; mount -t tmpfs -o mode=0700,{mount} tmpfs /srv/backup-test/disk")
    ended = host.run(dest="/srv/backup-test/disk", databases=["big"], compress="gzip:1", free_space_factor=0)
    assert ended.status == 1
    assert message in ended.err
    assert "/srv/backup-test/disk" in ended.err
    assert host.shell("ls -A /srv/backup-test/disk | grep -v -e '^.lock$' -e '^last.json$' || true") == ""
    host.shell("umount /srv/backup-test/disk")


def test_a_disk_that_is_known_to_be_too_small(host):
    host.shell("mkdir /srv/backup-test/disk; mount -t tmpfs -o mode=0700,size=2m tmpfs /srv/backup-test/disk")
    ended = host.run(dest="/srv/backup-test/disk", databases=["big"])
    assert ended.status == 1
    assert "MiB free and the backup may need" in ended.err
    host.shell("umount /srv/backup-test/disk")


def test_a_disk_that_is_full_when_the_manifest_is_written(host, first):
    host.shell("mkdir /srv/backup-test/disk; mount -t tmpfs -o mode=0700,size=40m tmpfs /srv/backup-test/disk")
    options = {"dest": "/srv/backup-test/disk", "databases": ["mlflow"], "free_space_factor": 0}
    assert host.run(**options).status == 0
    # Room for the dump, and for nothing after it.
    place = host.start(prefix="", **{**options, "databases": ["big"], "compress": "gzip:9"})
    host.dumping("/srv/backup-test/disk")
    host.shell("head -c 100m /dev/zero >/srv/backup-test/disk/filler || true")
    ended = host.end(place)
    assert ended.status == 1
    assert "no space" in ended.err
    assert host.shell("cd /srv/backup-test/disk; ls -A | grep -c 2026 || true") == "1"
    host.shell("umount /srv/backup-test/disk")


def test_a_wrong_password_is_told_and_nobody_is_asked(host, first):
    host.write("/srv/backup-test/wrong", "wrong")
    ended = host.run(login_password_file="/srv/backup-test/wrong")
    assert ended.status == 1
    assert "it refuses the password of user mlops_backup" in ended.err
    no_password = host.options()
    del no_password["login_password_file"]
    result = host.node.module("pg_backup", no_password)
    assert result["phase"] == "connect"
    assert "wants a password" in result["msg"]


def test_a_table_that_is_locked(host, first):
    host.hold_table("mlflow", "runs")
    ended = host.run(lock_timeout=1)
    host.release_table()
    assert ended.status == 1
    assert "lock timeout" in ended.err or "longer than lock_timeout" in ended.err
    assert host.leftovers == ""


def test_an_empty_database_is_not_published(host, first):
    ended = host.run(databases=["empty"], min_size="10K", retention={"keep_last": 1}, minimum_redundancy=1)
    assert ended.status == 1
    assert "min_size is 10240" in ended.err
    assert host.labels == [first]
    assert host.leftovers == ""


def test_a_database_that_is_not_there(host, first):
    assert "it has no database nothing; create it first" in host.run(databases=["nothing"]).err
    assert "has no database nothing; it has a/b, big" in host.run(databases=["mlflow", "nothing"]).err


def test_a_right_that_is_missing(host, first):
    host.sql("REVOKE pg_read_all_data FROM mlops_backup")
    ended = host.run()
    host.sql("GRANT pg_read_all_data TO mlops_backup")
    assert ended.status == 1
    assert "permission denied" in ended.err
    assert host.leftovers == ""


def test_a_pooler_is_refused(host, first):
    ini = (
        "[databases]\n* = host=127.0.0.1 port=5432\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = 6432\n"
        "auth_type = plain\nauth_file = /srv/backup-test/users\nunix_socket_dir =\npool_mode = session\n"
        "logfile = /srv/backup-test/bouncer.log\npidfile = /srv/backup-test/bouncer.pid\n"
    )
    host.write("/srv/backup-test/ini", ini)
    host.shell('printf \'"mlops_backup" "%s"\\n\' "$(cat /srv/backup-test/password)" >/srv/backup-test/users')
    host.shell(
        "chmod 777 /srv/backup-test; chmod 644 /srv/backup-test/users; "
        "runuser -u postgres -- pgbouncer -d /srv/backup-test/ini"
    )
    try:
        ended = host.run(login_port=6432, sslmode="prefer")
    finally:
        host.shell("kill $(cat /srv/backup-test/bouncer.pid); chmod 755 /srv/backup-test")
    assert ended.status == 1
    assert "is a connection pooler" in ended.err


def test_damage_is_found(host, first):
    second = host.run(minimum_redundancy=1).result["label"]
    path = f"/srv/backup-test/sets/{second}"
    host.shell(f"printf x | dd of={path}/databases/mlflow/toc.dat bs=1 seek=300 conv=notrunc 2>/dev/null")
    told = host.node.module("pg_backup_info", {"dest": "/srv/backup-test/sets", "deep": True, "minimum_redundancy": 1})
    assert (told["healthy"], told["latest"]) == (False, first)
    assert f"The set {second} is damaged: folder: databases/mlflow/toc.dat is damaged" in told["problems"][0]
    host.shell(f"rm {path}/databases/mlflow/toc.dat")
    told = host.node.module("pg_backup_info", {"dest": "/srv/backup-test/sets", "minimum_redundancy": 1})
    assert (told["latest"], told["problems"][0]) == (
        first,
        f"The set {second} is damaged: folder: databases/mlflow/toc.dat is missing.",
    )


@pytest.mark.parametrize(("jump", "keep"), [("-2d", 1), ("+400d", 3)])
def test_a_clock_that_is_wrong_expires_nothing_that_should_stay(host, first, jump, keep):
    second = host.run(databases=["empty"]).result["label"]
    retention = {"keep_last": keep}
    place = host.start(prefix=f"faketime -f {jump}", retention=retention, databases=["empty"], minimum_redundancy=1)
    assert host.end(place).status == 0
    assert {first, second} <= set(host.labels)
