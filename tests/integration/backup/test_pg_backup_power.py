# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power fails: what a backup has said to be there is there, and what looks whole is whole.

Stand-ins: the disk is a file with ext4 on a loop device, and the power is cut by FS_IOC_SHUTDOWN, as the kernel's own
tests of file systems do it. From then on nothing reaches the file, neither data nor journal, so all that was not on
the disk is lost at the next mount, which replays the journal as after a power cut. What a disk's own cache would lose
is not tested. The database server's disk is another one.
"""

from __future__ import annotations

import random

import harm
import pytest

from .conftest import DISK, WORK

# What is below the disk takes nothing: a backup that begins after the cut would be made there.
BELOW = f"mount -t tmpfs -o ro none {DISK}"
# No commit of the journal but those that somebody waits for; without that, every five seconds would be one.
MOUNT = f"mount -o loop,commit=300 {WORK}/disk.img {DISK}"
LOOPS = """
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for i in $(seq 0 31); do [ -e /dev/loop$i ] || mknod /dev/loop$i b 7 $i; done
"""
CUT = f"""
python3 - <<'END'
import fcntl, os, struct
NOLOGFLUSH = 2
fcntl.ioctl(os.open("{DISK}", os.O_RDONLY), 0x8004587D, struct.pack("I", NOLOGFLUSH))
END
umount {DISK}
"""
BIG = {"dest": DISK, "databases": ["mlflow", "big"], "minimum_redundancy": 1}


@pytest.fixture
def earlier(host):
    """A disk whose power can be cut, with one good set."""
    host.shell(
        f"{LOOPS}\ntruncate -s 300M {WORK}/disk.img; mkfs.ext4 -q {WORK}/disk.img; mkdir {DISK}\n{BELOW}; {MOUNT}"
    )
    label = host.run(dest=DISK).result["label"]
    # Labels tell whole seconds: of two sets of one second, chance says which is the newer.
    host.shell("sleep 1")
    with host.unchanged(f"{DISK}/{label}"):
        yield label
    assert host.run(**BIG).status == 0
    assert host.shell(f"ls -d {DISK}/.partial-* {DISK}/.removed-* 2>/dev/null || true") == ""
    host.shell(f"umount {DISK}; umount {DISK}")


def look(host):
    return host.node.module("pg_backup_info", {"dest": DISK, "deep": True, "minimum_redundancy": 1})


@pytest.mark.fault(9)
def test_right_after_the_backup_said_that_it_was_done(host, earlier):
    label = host.run(**BIG).result["label"]
    host.shell(f"{CUT}\n{MOUNT}")
    told = look(host)
    assert (told["latest"], told["problems"], told["orphans"]) == (label, [], [])
    harm.check_sets(host.labels_in(DISK), [earlier, label])


@pytest.mark.fault(9)
@pytest.mark.parametrize("number", range(3))
def test_at_any_moment_of_a_backup(host, earlier, number, request):
    moment = random.Random(request.node.nodeid).uniform(0.3, 3)
    place = host.start(**BIG)
    host.shell(f"sleep {moment}; {CUT.replace('umount', 'umount -l')}")
    ended = host.end(place)
    host.until("! losetup --list | grep -q backup-test")
    host.shell(MOUNT)
    told = look(host)
    # What was interrupted is no problem of a set; each set that is seen is whole.
    assert not [problem for problem in told["problems"] if "damaged" in problem], (moment, told["problems"])
    harm.check_sets(host.labels_in(DISK)[:1], [earlier])
    if ended.status == 0:
        assert told["latest"] == ended.result["label"] != earlier
