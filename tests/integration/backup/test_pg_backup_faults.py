# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with a backup: earlier sets stay, nothing half-made is seen, and the next backup succeeds."""

from __future__ import annotations

import subprocess

import harm
import pytest

from .conftest import COMMAND, DISK, SETS

# Text that takes seconds to be compressed: long enough to do something terrible meanwhile.
SLOWLY = {"databases": ["big"], "compress": "gzip:9", "verify": "none"}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("pkill -9 -o -x pg_dump", "was ended by signal 9"),
        ("pkill -9 -n -x pg_dump", "pg_dump of big at 127.0.0.1:5432 failed"),
    ],
)
@pytest.mark.fault(1)
def test_pg_dump_is_killed(host, first, what, message):
    place = host.start(**SLOWLY)
    host.dumping()
    host.shell(what)
    ended = host.end(place)
    assert ended.status == 1
    assert message in ended.err
    assert host.leftovers == ""
    assert host.labels == [first]


@pytest.mark.fault(2)
def test_the_server_ends_the_session(host, first):
    place = host.start(**SLOWLY)
    host.dumping()
    host.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'")
    ended = host.end(place)
    assert ended.status == 1
    assert "the server went away" in ended.err
    assert host.leftovers == ""
    assert host.labels == [first]


@pytest.mark.fault(3, 11)
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
@pytest.mark.fault(4)
def test_the_backup_is_asked_to_end(host, first, signal):
    place = host.start(**SLOWLY)
    host.dumping()
    host.shell(f"kill -{signal} $(cat {place}/pid)")
    ended = host.end(place)
    assert ended.status == 1
    assert f"The backup was interrupted by SIG{signal}" in ended.err
    assert host.leftovers == ""
    assert host.labels == [first]


@pytest.mark.fault(4)
@pytest.mark.parametrize("keys", [None, b"\x03"], ids=["gone", "Ctrl-C"])
def test_the_terminal_goes(host, first, keys):
    """SSH is cut, or somebody presses Ctrl-C in it."""
    place = host.place(**SLOWLY)
    command = f"sudo {COMMAND} run --config {place}/config; echo ended with $? | sudo tee {place}/out"
    terminal = subprocess.Popen(
        [*host.ssh[:-1], "-tt", host.ssh[-1], command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    host.dumping()
    if keys:
        said = terminal.communicate(keys, timeout=60)[0].decode()
        assert "The backup was interrupted by SIGINT" in said
    else:
        terminal.kill()
        terminal.communicate()
    host.wait_quiet()
    host.until(f"! pgrep -f {place}")
    assert host.leftovers == ""
    assert host.labels == [first]


@pytest.mark.fault(10)
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


@pytest.mark.fault(57)
def test_what_removes_artifacts_waits_for_a_backup_and_the_next_backup_for_it(host, first):
    """What playbooks/gc.yml does around ``mlflow gc``; tests/recovery.py runs that playbook."""
    host.hold_table("big", "big")
    place = host.start(**SLOWLY)
    host.until(f"ls -d {SETS}/.partial-*")
    assert host.run("hold", lock_timeout=0).status == 75
    holding = host.start("hold", lock_timeout=60)
    # Not before the backup that runs has ended.
    host.shell(f"sleep 1; ! grep 'held off' {holding}/err")
    host.release_table()
    assert host.end(place).status == 0
    host.until(f"grep 'held off' {holding}/err")
    refused = host.run(lock_timeout=0)
    assert refused.status == 75
    assert "holding backups off" in refused.err
    host.shell(f"kill $(cat {holding}/pid)")
    assert host.end(holding).status == 0


@pytest.mark.parametrize(
    ("mount", "meanwhile", "message"),
    [
        pytest.param("size=2m", "true", "there is no space left", marks=pytest.mark.fault(5), id="full"),
        # Enough of them to begin with.
        pytest.param(
            "nr_inodes=$(($(df --output=iused . | tail -1) + 80))",
            "mkdir filler; touch filler/{1..80}",
            "there is no space",
            marks=pytest.mark.fault(7),
            id="inodes",
        ),
        pytest.param("ro", "true", "Read-only file system", marks=pytest.mark.fault(8), id="read-only"),
    ],
)
def test_a_disk_that_is_full_or_read_only(host, disk, mount, meanwhile, message):
    host.shell(f"cd {DISK}; mount -o remount,{mount} {DISK}")
    watch = f"until ls .partial-*/databases/big/*.gz; do :; done; {meanwhile}"
    host.shell(f"cd {DISK}; timeout 60 bash -c '{watch}' >/dev/null 2>&1 &")
    ended = host.run(dest=DISK, databases=["big"], compress="gzip:9", free_space_factor=0)
    assert ended.status == 1
    assert message in ended.err
    assert DISK in ended.err
    assert host.shell(f"ls -A {DISK} | grep -v -e '^.lock$' -e '^last.json$' -e '^filler$'") == disk


def test_inodes_that_are_known_to_be_too_few(host, disk):
    host.shell(f"mount -o remount,nr_inodes=$(($(df --output=iused {DISK} | tail -1) + 60)) {DISK}")
    ended = host.run(dest=DISK, databases=["big"], free_space_factor=0)
    assert ended.status == 1
    assert "more files (inodes) and the backup needs 65" in ended.err


def test_a_disk_that_is_known_to_be_too_small(host, disk):
    host.shell(f"mount -o remount,size=2m {DISK}")
    ended = host.run(dest=DISK, databases=["big"])
    assert ended.status == 1
    assert "MiB free and the backup may need" in ended.err


@pytest.mark.fault(6)
def test_a_disk_that_is_full_when_the_manifest_is_written(host, disk):
    # Once all is dumped, it takes a while to read it back.
    fill = f"until grep -q read {DISK}/progress.json; do :; done; cat /dev/zero >{DISK}/filler"
    host.shell(f"timeout 60 bash -c '{fill}' >/dev/null 2>&1 &")
    ended = host.run(dest=DISK, databases=["big"], compress="gzip:9", free_space_factor=0)
    assert ended.status == 1
    assert "publish" in ended.err
    assert "there is no space (or no inode) left" in ended.err
    assert host.labels_in(DISK) == [disk, "filler"]


@pytest.mark.fault(16)
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


@pytest.mark.fault(18)
def test_a_table_that_is_locked(host, first):
    host.hold_table("mlflow", "runs")
    ended = host.run(lock_timeout=1)
    host.release_table()
    assert ended.status == 1
    assert "lock timeout" in ended.err or "longer than lock_timeout" in ended.err
    assert host.leftovers == ""


@pytest.mark.fault(19)
def test_an_empty_database_is_not_published(host, first):
    ended = host.run(databases=["empty"], min_size="10K", retention={"keep_last": 1}, minimum_redundancy=1)
    assert ended.status == 1
    assert "min_size is 10240" in ended.err
    assert host.labels == [first]
    assert host.leftovers == ""


@pytest.mark.fault(15)
@pytest.mark.slow
def test_thirty_failures_cost_no_set(host, first):
    second = host.run().result["label"]
    wanted = {"retention": {"keep_last": 2}, "minimum_redundancy": 1, "lock_timeout": 0}
    early = host.place(**wanted, login_port=1)
    late = host.place(**wanted, min_size="1G")
    failing = f"{COMMAND} run --config $place/config >>$place/out 2>&1; echo $? >>$place/status"
    with host.unchanged(f"{SETS}/{second}"):
        host.shell(f"for i in $(seq 15); do for place in {early} {late}; do {failing}; done; done")
    assert host.shell(f"cat {early}/status {late}/status | sort | uniq -c").split() == ["30", "1"]
    assert host.shell(f"grep -c 'nothing listens' {early}/out; grep -c 'min_size is' {late}/out").split() == ["15"] * 2
    # Of two sets of one second, chance says which name comes first.
    harm.check_sets(set(host.labels), {first, second})


# Where a package of the server's own version would put its programs; those of another release are here.
OLDER = "/opt/older"
OLDER_PACKAGE = f"""
[ -d {OLDER}/usr ] && exit 0
mkdir -p {OLDER}/lists/partial; cd {OLDER}; chown _apt .
sed s/trixie/bookworm/ /etc/apt/sources.list >sources
apt="apt-get -qq -o Dir::Etc::SourceList={OLDER}/sources -o Dir::Etc::SourceParts=- -o Dir::State::Lists={OLDER}/lists"
$apt update; $apt download postgresql-client-15
dpkg-deb -x postgresql-client-15_*.deb .
"""


@pytest.mark.fault(17)
def test_a_pg_dump_that_is_older_than_the_server(host, first):
    """The pg_dump of an older release takes the place of the right one."""
    host.shell(OLDER_PACKAGE)
    programs = "$(ls -d /usr/lib/postgresql/*/bin)"
    host.shell(f"mount --bind {OLDER}/usr/lib/postgresql/15/bin {programs}")
    try:
        ended = host.run()
        checked = host.node.module("pg_backup", host.options(), check=True)
    finally:
        host.shell(f"umount {programs}")
    assert ended.status == 1
    assert checked["msg"] in ended.err
    major = int(host.sql("SHOW server_version_num")) // 10000
    wanted = f"The server is PostgreSQL {major} and pg_dump 15 is too old for it: install the package"
    assert f"{wanted} postgresql-client-{major}." in ended.err
    assert host.labels == [first]


def test_a_database_that_is_not_there(host, first):
    assert "it has no database nothing; create it first" in host.run(databases=["nothing"]).err
    assert "has no database nothing; it has a/b, big" in host.run(databases=["mlflow", "nothing"]).err
    checked = host.node.module("pg_backup", host.options(databases=["mlflow", "nothing"]), check=True)
    assert "has no database nothing; it has a/b, big" in checked["msg"]


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
@pytest.mark.fault(13)
def test_a_clock_that_is_wrong_expires_nothing_that_should_stay(host, first, jump, keep):
    second = host.run().result["label"]
    place = host.start(prefix=f"faketime -f {jump}", retention={"keep_last": keep}, minimum_redundancy=1)
    assert host.end(place).status == 0
    harm.check_sets({first, second} - set(host.labels), set())
