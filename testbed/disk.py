# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A disk for the Docker Engine, in a file, where the machine's own disk has no journal.

ext4 without a journal, which sandboxes' virtual machines have, does not give an inode out again for minutes after its
file was deleted, and looks at every such inode anew for each file that is made. Once a few nodes were removed, a
package is installed up to six times slower (perf shows the kernel in recently_deleted). With a journal it does not.
"""

from __future__ import annotations

import os
import pathlib

import host

DATA = pathlib.Path("/var/lib/docker")
FILE = pathlib.Path("/var/lib/mlops-stack-testbed.ext4")
# Of the space that is free. The file is sparse: it takes what is in it.
SHARE = 0.9
# A node with MLflow in it has 40,000 files.
BYTES_PER_INODE = 8192


def ensure() -> None:
    """Mount the disk for the engine, which does not run; where it cannot be had, the machine's own serves, slowly."""
    if not is_wanted():
        return
    try:
        if not FILE.exists():
            make()
        host.run(host.as_root(["mkdir", "--parents", str(DATA)]))
        host.run(host.as_root(["mount", "--options", "loop,discard,noinit_itable", str(FILE), str(DATA)]))
    except host.TestbedError as failure:
        host.run(host.as_root(["rm", "--force", str(FILE)]))
        host.say(f"no disk with a journal for the Docker Engine, which makes nodes slower: {failure}")
        return
    host.say(f"the Docker Engine has its data in {FILE}: this machine's disk has no journal")


def is_wanted() -> bool:
    """Tell whether the engine's folder is nobody's yet, and lies on ext4 without a journal."""
    if host.run(host.as_root(["ls", "--almost-all", str(DATA)]), check=False).stdout.strip():
        return False
    where = host.run(["findmnt", "--noheadings", "--output", "FSTYPE,SOURCE", "--target", "/var/lib"], check=False)
    kind, _space, device = where.stdout.strip().partition(" ")
    journal = pathlib.Path("/sys/fs/ext4") / pathlib.Path(device.strip()).name / "journal_task"
    try:
        return kind == "ext4" and journal.read_text(encoding="utf-8").strip() == "<none>"
    except OSError:
        return False


def make() -> None:
    """Make the file and the file system in it, whole or not at all."""
    free = os.statvfs(FILE.parent)
    size = int(free.f_bavail * free.f_frsize * SHARE) >> 20
    partial = f"{FILE}.partial"
    host.run(host.as_root(["rm", "--force", partial]))
    host.run(host.as_root(["truncate", f"--size={size}M", partial]))
    host.run(host.as_root(["mkfs.ext4", "-q", "-i", str(BYTES_PER_INODE), partial]))
    host.run(host.as_root(["mv", partial, str(FILE)]))


def remove() -> None:
    """Unmount the disk and remove its file, once the engine that had it has stopped."""
    if not FILE.exists():
        return
    if os.path.ismount(DATA) and host.run(host.as_root(["umount", str(DATA)]), check=False).returncode:
        host.say(f"{DATA} is still in use, so {FILE} stays")
        return
    host.run(host.as_root(["rm", "--force", str(FILE)]))
