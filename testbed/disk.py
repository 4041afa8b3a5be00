# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A disk for the Docker Engine, in a file, where the machine's own disk has no journal.

ext4 without a journal, which sandboxes' virtual machines have, does not give an inode out again for minutes after its
file was deleted, and looks at every such inode anew for each file that is made. Once a few nodes were removed, a
package is installed up to six times slower (perf shows the kernel in recently_deleted). With a journal it does not.

Nothing that somebody has in the file is ever removed: it goes when it is mounted and the engine on it is empty.
"""

from __future__ import annotations

import json
import os
import pathlib

import host

DATA = pathlib.Path("/var/lib/docker")
FILE = pathlib.Path("/var/lib/mlops-stack-testbed.ext4")
PARTIAL = FILE.with_suffix(".partial")
SETTINGS = pathlib.Path("/etc/docker/daemon.json")
# What the kernel tells: a disk's name by its number, and of each ext4 whether it has a journal.
DEVICES = pathlib.Path("/sys/dev/block")
EXT4 = pathlib.Path("/sys/fs/ext4")
# Space that the disk does not promise to nodes. The file is sparse: it takes what is in it.
RESERVE_MB = 10_000
# A node with MLflow in it has 40,000 files.
BYTES_PER_INODE = 8192


def ensure() -> None:
    """Mount the disk for the engine, which does not run; where it cannot be had, the machine's own serves, slowly."""
    made = False
    try:
        if not is_wanted():
            return
        if not FILE.exists():
            make()
            made = True
        host.run(host.as_root(["mkdir", "--parents", str(DATA)]))
        host.run(host.as_root(["mount", "--options", "loop,discard,noinit_itable", str(FILE), str(DATA)]))
    except (host.TestbedError, OSError, ValueError) as failure:
        host.say(f"no disk with a journal for the Docker Engine, which makes nodes slower: {failure}")
        if made:
            host.run(host.as_root(["rm", "--force", str(FILE)]), check=False)
        return
    host.say(f"the Docker Engine has its data in {FILE}: this machine's disk has no journal")


def is_wanted() -> bool:
    """Tell whether the engine's folder is nobody's yet, and lies on ext4 without a journal."""
    if SETTINGS.exists() and "data-root" in json.loads(SETTINGS.read_text(encoding="utf-8") or "{}"):
        return False
    if DATA.exists() and host.run(host.as_root(["ls", "--almost-all", str(DATA)])).stdout.strip():
        return False
    where = str(DATA if DATA.exists() else DATA.parent)
    found = host.run(["findmnt", "--noheadings", "--output", "FSTYPE,MAJ:MIN", "--target", where]).stdout.split()
    journal = EXT4 / (DEVICES / found[1]).resolve().name / "journal_task"
    return found[0] == "ext4" and journal.exists() and journal.read_text(encoding="utf-8").strip() == "<none>"


def make() -> None:
    """Make the file and the file system in it, whole or not at all."""
    free = os.statvfs(FILE.parent)
    size = (free.f_bavail * free.f_frsize >> 20) - RESERVE_MB
    if size < RESERVE_MB:
        raise host.TestbedError(f"{FILE.parent} has less than {2 * RESERVE_MB} MB free")
    host.run(host.as_root(["rm", "--force", str(PARTIAL)]))
    host.run(host.as_root(["truncate", f"--size={size}M", str(PARTIAL)]))
    # All that nodes hold is in it, private keys among it.
    host.run(host.as_root(["chmod", "600", str(PARTIAL)]))
    mkfs = host.find_command("mkfs.ext4") or "mkfs.ext4"
    host.run(host.as_root([mkfs, "-q", "-i", str(BYTES_PER_INODE), str(PARTIAL)]))
    host.run(host.as_root(["mv", str(PARTIAL), str(FILE)]))


def remove() -> None:
    """Unmount the disk and remove its file, once the engine that had it, and nothing else, has stopped."""
    if not FILE.exists() or not os.path.ismount(DATA):
        return
    if host.run(host.as_root(["umount", str(DATA)]), check=False).returncode == 0:
        host.run(host.as_root(["rm", "--force", str(FILE), str(PARTIAL)]))


def remains() -> str:
    """Return a sentence on the disk where it is still there, and nothing where it is not."""
    return f"The Docker Engine's disk stays in {FILE}." if FILE.exists() else ""
