# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When the Docker Engine gets a disk in a file, and that nothing in such a file is lost.

The machine is a stand-in: commands are written down and answered, and all paths lie in a folder of the test.
"""

from __future__ import annotations

import subprocess

import disk
import host
import pytest


class Machine:
    """Answers commands; ``broken`` is the first word of one that fails."""

    def __init__(self, folder):
        self.folder = folder
        self.kind = "ext4"
        self.broken = None
        self.commands = []

    def run(self, argv, *, check=True, **_kwargs):
        self.commands.append(argv[0].rpartition("/")[2])
        if self.commands[-1] == self.broken:
            if check:
                raise host.TestbedError(f"{self.broken} failed")
            return subprocess.CompletedProcess(argv, 1, "", "")
        output = ""
        if argv[0] == "findmnt":
            output = f"{self.kind} 254:0\n"
        elif argv[0] == "ls":
            output = "\n".join(path.name for path in disk.DATA.iterdir())
        elif argv[0] == "mv":
            disk.FILE.write_text("made")
        elif argv[0] == "rm" and str(disk.FILE) in argv:
            disk.FILE.unlink(missing_ok=True)
        return subprocess.CompletedProcess(argv, 0, output, "")

    def journal(self, text):
        """What the kernel says of the disk's journal."""
        file = self.folder / "vda" / "journal_task"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    found = Machine(tmp_path)
    for name in ("DATA", "FILE", "PARTIAL", "SETTINGS"):
        monkeypatch.setattr(disk, name, tmp_path / getattr(disk, name).name)
    monkeypatch.setattr(disk, "DEVICES", tmp_path / "block")
    monkeypatch.setattr(disk, "EXT4", tmp_path)
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "254:0").symlink_to(tmp_path / "vda")
    monkeypatch.setattr(host, "run", found.run)
    monkeypatch.setattr(host, "as_root", list)
    monkeypatch.setattr(host, "say", lambda _text: None)
    monkeypatch.setattr(disk, "RESERVE_MB", 1)
    found.journal("<none>\n")
    return found


def test_a_disk_is_made_and_mounted(machine):
    disk.ensure()
    assert machine.commands == ["findmnt", "rm", "truncate", "chmod", "mkfs.ext4", "mv", "mkdir", "mount"]
    assert disk.remains() == f"The Docker Engine's disk stays in {disk.FILE}."


def test_the_disk_that_is_there_is_mounted(machine):
    disk.FILE.write_text("somebody's images")
    disk.ensure()
    assert machine.commands == ["findmnt", "mkdir", "mount"]


@pytest.mark.parametrize("why", ["another file system", "a journal", "an engine's data", "data elsewhere"])
def test_no_disk_is_wanted(machine, why):
    if why == "another file system":
        machine.kind = "btrfs"
    elif why == "a journal":
        machine.journal("123\n")
    elif why == "an engine's data":
        (disk.DATA / "overlay2").mkdir(parents=True)
    else:
        disk.SETTINGS.write_text('{"data-root": "/data"}')
    disk.ensure()
    assert not disk.FILE.exists()
    assert not {"mount", "mkfs.ext4"} & set(machine.commands)


@pytest.mark.parametrize("broken", ["findmnt", "mkfs.ext4", "mount"])
def test_what_cannot_be_had_is_done_without(machine, broken):
    machine.broken = broken
    disk.ensure()
    assert disk.remains() == ""


def test_somebodys_images_outlive_a_mount_that_fails(machine):
    disk.FILE.write_text("somebody's images")
    machine.broken = "mount"
    disk.ensure()
    assert disk.FILE.read_text() == "somebody's images"


@pytest.mark.parametrize("mounted, busy, there", [(True, False, False), (True, True, True), (False, False, True)])
def test_only_a_disk_that_was_unmounted_is_removed(machine, monkeypatch, mounted, busy, there):
    disk.FILE.write_text("the engine was empty")
    monkeypatch.setattr(disk.os.path, "ismount", lambda _path: mounted)
    machine.broken = "umount" if busy else None
    disk.remove()
    assert disk.FILE.exists() is there
