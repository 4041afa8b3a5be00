# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import struct

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.host import read
from ansible_collections.mlops.stack.plugins.module_utils.host.read import Host

HEADER = "  sl  local_address rem_address   st\n"
DONE = struct.pack("=IHHII", 20, 3, 0, 1, 0) + bytes(4)


class Socket:
    """A socket whose route and netlink answers are given."""

    def __init__(self, routes, answers):
        self.routes = routes
        self.answers = list(answers)
        self.family = None

    def __call__(self, family, _kind):
        self.family = family
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_problem):
        pass

    def connect(self, _address):
        if self.family not in self.routes:
            raise OSError(101, "Network is unreachable")

    def getsockname(self):
        return (self.routes[self.family], 40000)

    def settimeout(self, _seconds):
        pass

    def sendto(self, _data, _address):
        if not self.answers:
            raise OSError(93, "Protocol not supported")

    def recv(self, _size):
        return self.answers.pop(0)


def new_address(text):
    packed = socket.inet_aton(text)
    body = struct.pack("=BBBBI", socket.AF_INET, 24, 0, 0, 2) + struct.pack("=HH", 8, 1) + packed
    return struct.pack("=IHHII", 16 + len(body), 20, 0, 1, 0) + body


@pytest.fixture(name="machine")
def _machine(tmp_path):
    """A machine of files: call it with a path and a text."""

    def write(path, text):
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    write.root = str(tmp_path)
    return write


def host(machine, routes=None, answers=()):
    return Host(machine.root, Socket(routes or {}, answers))


def tcp(port, inode, uid=0, address="0100007F"):
    return f"   0: {address}:{port:04X} 00000000:0000 0A 0:0 00:0 0 {uid} 0 {inode} 1\n"


def process(machine, pid, name, unit, *inodes):
    machine(f"/proc/{pid}/comm", name + "\n")
    machine(f"/proc/{pid}/cgroup", f"0::/system.slice/{unit}\n")
    folder = os.path.join(machine.root, "proc", str(pid), "fd")
    os.mkdir(folder)
    for number, inode in enumerate(inodes):
        os.symlink(f"socket:[{inode}]", os.path.join(folder, str(number)))


def test_an_empty_machine(machine):
    facts = host(machine).facts(["/var/lib/x"], "/opt/mlops-stack")
    assert facts["os"]["id"] == "linux"
    assert facts["cpus"] >= 1
    assert facts["disks"]["/var/lib/x"] > 0
    nothing = ("packages", "users", "envs", "listeners", "addresses")
    assert [facts[name] for name in nothing] == [[]] * 5
    assert (facts["memory_mb"], facts["systemd"], facts["system_python"], facts["default_address"]) == (
        0,
        False,
        None,
        None,
    )


def test_this_machine():
    facts = Host().facts(["/"], "/opt")
    assert facts["memory_mb"] > 0
    assert facts["hostname"] == os.uname().nodename
    assert facts["disks"]["/"] > 0


def test_the_system(machine):
    machine("/usr/lib/os-release", "ID=debian\n")
    machine("/etc/passwd", "root:x:0:0::/:/bin/sh\n")
    machine("/var/lib/dpkg/status", "Package: a\nStatus: install ok installed\n")
    machine("/var/lib/dpkg/updates/0001", "Package: b\nStatus: install ok installed\n")
    machine("/var/lib/dpkg/updates/tmp.i", "Package: c\nStatus: install ok installed\n")
    machine("/opt/mlops-stack/uv/.complete", "")
    machine("/opt/mlops-stack/half/bin", "")
    os.makedirs(machine.root + "/run/systemd/system")
    os.makedirs(machine.root + "/usr/bin")
    os.symlink("python3.13", machine.root + "/usr/bin/python3")
    facts = host(machine).facts([], "/opt/mlops-stack")
    assert (facts["os"]["id"], facts["systemd"], facts["system_python"]) == ("debian", True, "3.13")
    assert (facts["packages"], facts["users"], facts["envs"]) == (["a", "b"], ["root"], ["uv"])


V1 = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n"


@pytest.mark.parametrize(
    ("cgroup", "limit", "megabytes"),
    [
        ("0::/init.scope\n", "/sys/fs/cgroup/memory.max", 512),
        ("0::/lxc/a\n", "/sys/fs/cgroup/lxc/memory.max", 512),
        (V1, "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", 512),
        (V1, "/sys/fs/cgroup/memory/memory.limit_in_bytes", 512),
        ("", "/sys/fs/cgroup/elsewhere/memory.max", 2048),
    ],
)
def test_memory(machine, cgroup, limit, megabytes):
    machine("/proc/meminfo", "MemTotal: 2097152 kB\n")
    machine("/proc/1/cgroup", cgroup)
    machine(limit, "536870912\n")
    assert host(machine).memory_mb() == megabytes


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 8),
        ({"/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "50000",
          "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000"}, 1),
    ],
)  # fmt: skip
def test_cpus(machine, monkeypatch, files, count):
    monkeypatch.setattr(read, "usable_cpus", lambda: 8)
    machine("/proc/1/cgroup", V1)
    for path, text in files.items():
        machine(path, text)
    assert host(machine).cpus() == count


def test_cpus_of_a_system_without_affinity(monkeypatch):
    assert read.usable_cpus() >= 1

    def missing(_pid):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "sched_getaffinity", missing)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert read.usable_cpus() == 1


def test_free_space_ends_at_the_root():
    assert Host("/nowhere/at/all").free_mb("/a/b/") == 0


def test_listeners(machine):
    machine("/etc/passwd", "root:x:0:0::/:/bin/sh\npostgres:x:7:7::/:/bin/sh\n")
    machine("/proc/net/tcp", HEADER + tcp(5432, 11, 7) + tcp(22, 12) + tcp(9000, 13, 999))
    machine("/proc/net/tcp6", HEADER + tcp(80, 14, address="0" * 32))
    process(machine, 1, "systemd", "init.scope", 12, 14)
    process(machine, 30, "postgres", "postgresql@17-main.service", 11, 5)
    process(machine, 31, "postgres", "other.service", 11)
    process(machine, 200, "sshd", "ssh.service", 12)
    found = host(machine).listeners()
    names = ("address", "port", "user", "pid", "process", "unit")
    assert [tuple(entry[name] for name in names) for entry in found] == [
        ("127.0.0.1", 22, "root", 200, "sshd", "ssh.service"),
        ("::", 80, "root", 1, "systemd", None),
        ("127.0.0.1", 5432, "postgres", 30, "postgres", "postgresql@17-main.service"),
        ("127.0.0.1", 9000, "999", None, None, None),
    ]


def test_listeners_of_processes_that_are_gone(machine):
    machine("/proc/net/tcp", HEADER + tcp(22, 12))
    process(machine, 200, "", "x.slice", 12)
    os.remove(machine.root + "/proc/200/cgroup")
    assert [(entry["pid"], entry["process"], entry["unit"]) for entry in host(machine).listeners()] == [
        (200, None, None)
    ]
    os.remove(machine.root + "/proc/200/fd/0")
    assert host(machine).listeners()[0]["pid"] is None


@pytest.mark.parametrize(
    ("routes", "address"),
    [
        ({socket.AF_INET: "192.0.2.7", socket.AF_INET6: "2001:db8::7"}, "192.0.2.7"),
        ({socket.AF_INET6: "2001:db8::7"}, "2001:db8::7"),
        ({socket.AF_INET: "127.0.0.1", socket.AF_INET6: "2001:db8::7"}, "2001:db8::7"),
        ({socket.AF_INET: "169.254.1.1"}, None),
        ({}, None),
    ],
)
def test_default_address(machine, routes, address):
    assert host(machine, routes).default_address() == address


def test_addresses(machine):
    answers = [new_address("192.0.2.8"), new_address("192.0.2.7") + new_address("192.0.2.8") + DONE]
    assert host(machine, {}, answers).addresses("192.0.2.7") == ["192.0.2.7", "192.0.2.8"]
    assert host(machine).addresses("192.0.2.7") == ["192.0.2.7"]
    assert host(machine).addresses(None) == []


def test_no_process_is_looked_at_once_all_owners_are_known(machine):
    machine("/proc/net/tcp", HEADER + tcp(22, 12))
    process(machine, 200, "sshd", "ssh.service", 12)
    process(machine, 201, "other", "other.service", 12)
    (entry,) = host(machine).listeners()
    assert entry["pid"] == 200
