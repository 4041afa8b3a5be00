# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import struct
import sys

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.host import read
from ansible_collections.mlops.stack.plugins.module_utils.host.read import Host

HEADER = "  sl  local_address rem_address   st\n"


class Socket:
    """A socket whose routes are given, and what the kernel says of its listeners; without that, it says nothing."""

    def __init__(self, routes, answers):
        self.routes = routes
        self.answers = list(answers)
        self.family = None

    def __call__(self, family, _kind, _protocol=0):
        self.family = family
        if family == socket.AF_NETLINK and not self.answers:
            raise OSError(93, "Protocol not supported")
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

    def sendto(self, data, _address):
        assert len(data) == 16 + 56

    def recv(self, _size):
        return self.answers.pop(0)


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
    facts = host(machine).facts({"data": "/var/lib/x"}, "/opt/mlops-stack")
    assert facts["os"]["id"] == "linux"
    assert facts["cpus"] >= 1
    assert facts["disks"]["data"]["path"] == "/var/lib/x"
    assert facts["disks"]["data"]["free_mb"] > 0
    nothing = ("packages", "users", "envs", "clusters", "listeners")
    assert [facts[name] for name in nothing] == [[]] * 5
    assert (facts["memory_mb"], facts["unit_envs"], facts["default_address"]) == (0, {}, None)


def test_this_machine():
    facts = Host().facts({"all": "/", "more": "/nowhere/at/all"}, "/opt")
    assert facts["memory_mb"] > 0
    assert facts["python"] == "%d.%d" % sys.version_info[:2]
    assert facts["disks"]["all"]["free_mb"] > 0
    assert facts["disks"]["all"]["device"] == facts["disks"]["more"]["device"] == os.stat("/").st_dev


def test_the_system(machine):
    machine("/usr/lib/os-release", "ID=debian\n")
    machine("/etc/passwd", "root:x:0:0::/:/bin/sh\n")
    machine("/var/lib/dpkg/status", "Package: a\nStatus: install ok installed\n")
    machine("/var/lib/dpkg/updates/0001", "Package: b\nStatus: install ok installed\n")
    machine("/var/lib/dpkg/updates/tmp.i", "Package: c\nStatus: install ok installed\n")
    machine("/opt/mlops-stack/uv/.complete", "")
    machine("/opt/mlops-stack/half/bin", "")
    machine("/etc/systemd/system/mlflow.service", "[Service]\nExecStart=/opt/mlops-stack/mlflow-1/bin/mlflow server\n")
    machine("/etc/systemd/system/other.service", "[Service]\nExecStart=/usr/bin/other\n")
    machine(
        "/etc/systemd/system/mlflow.service.old", "[Service]\nExecStart=/opt/mlops-stack/mlflow-0/bin/mlflow server\n"
    )
    facts = host(machine).facts({}, "/opt/mlops-stack")
    assert (facts["os"]["id"], facts["packages"], facts["users"]) == ("debian", ["a", "b"], ["root"])
    assert (facts["envs"], facts["unit_envs"]) == (["uv"], {"mlflow.service": "mlflow-1"})


def cluster(machine, version, name, *databases):
    data = f"/var/lib/postgresql/{version}/{name}"
    machine(f"/etc/postgresql/{version}/{name}/postgresql.conf", f"data_directory = '{data}'\n")
    machine(f"{data}/PG_VERSION", f"{version}\n")
    for database in ("1", "4", "5", *databases):
        os.makedirs(f"{machine.root}{data}/base/{database}")


def test_clusters(machine):
    assert host(machine).clusters() == []
    cluster(machine, "15", "old", "16384", "16385")
    cluster(machine, "17", "main", "16384")
    machine("/etc/postgresql/17/main/conf.d/mlops-stack.conf", "")
    cluster(machine, "17", "second")
    machine("/etc/postgresql/17/second/mlops-stack_hba.conf", "")
    # Only prepared, as the role does it before the package makes the cluster.
    machine("/etc/postgresql/18/main/conf.d/mlops-stack.conf", "")
    # Dropped, but for its configuration.
    machine("/etc/postgresql/16/gone/postgresql.conf", "data_directory = '/var/lib/postgresql/16/gone'\n")
    machine("/var/lib/postgresql/17/second/pg_tblspc/16390/PG_17", "")
    usual = {"tablespaces": 0, "recovery": None}
    assert host(machine).clusters() == [
        {"version": "15", "name": "old", "managed": False, "databases": 2, **usual},
        {"version": "17", "name": "main", "managed": True, "databases": 1, **usual},
        {"version": "17", "name": "second", "managed": True, "databases": 0, **usual, "tablespaces": 1},
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["main/PG_VERSION", "main/global/pg_control"], None),
        # Nothing is there yet, a part of the base backup, all of it, and its log is replayed.
        (["main.recovering/PG_VERSION"], "begun"),
        (["main.recovering/PG_VERSION", "main/PG_VERSION"], "begun"),
        (["main.recovering/PG_VERSION", "main/global/pg_control", "main/recovery.signal"], "begun"),
        (["main.recovering/PG_VERSION", "main/PG_VERSION", "main/global/pg_control"], "replayed"),
    ],
)
def test_how_far_a_recovery_came(machine, files, expected):
    machine("/etc/postgresql/17/main/postgresql.conf", "data_directory = '/var/lib/postgresql/17/main'\n")
    for file in files:
        machine(f"/var/lib/postgresql/17/{file}", "17\n")
    assert [cluster["recovery"] for cluster in host(machine).clusters()] == [expected]


def test_archive(machine):
    assert host(machine).archive(b"") == {"version": None, "place": None, "encrypted": False, "backed_up": None}
    machine("/etc/pgbackrest/pgbackrest.conf", "[global]\nrepo1-path=/srv/archive\nrepo1-cipher-pass=canary\n")
    machine("/etc/pgbackrest/mlops-stack-backed-up", "# Managed\ntype=s3 path=/srv/other\n")
    assert host(machine).archive(b"Package: pgbackrest\nVersion: 2.45-1\n") == {
        "version": "2.45",
        "place": "path=/srv/archive",
        "encrypted": True,
        "backed_up": "type=s3 path=/srv/other",
    }


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
    assert Host("/nowhere/at/all").disk("/a/b/") == {"path": "/a/b/", "device": 0, "free_mb": 0}


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


def message(kind, body=b""):
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def listener(address, port, inode, uid=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address).ljust(16, b"\0")
    return message(20, struct.pack("!BBBBHH", family, 10, 0, 0, port, 0) + packed + bytes(28 + 12)
                   + struct.pack("=II", uid, inode))  # fmt: skip


DONE = message(3, bytes(4))
ERROR = message(2, struct.pack("=i", -2) + bytes(16))


def test_listeners_as_the_kernel_tells_them(machine):
    machine("/etc/passwd", "root:x:0:0::/:/bin/sh\npostgres:x:7:7::/:/bin/sh\n")
    machine("/proc/net/tcp", HEADER + tcp(1, 99))
    process(machine, 30, "postgres", "postgresql@17-main.service", 11)
    answers = [
        listener("192.0.2.7", 5432, 11, 7),
        DONE,
        listener("::", 80, 12) + listener("::ffff:192.0.2.7", 81, 13) + DONE,
    ]
    found = host(machine, {}, answers).listeners()
    assert [(entry["address"], entry["port"], entry["user"], entry["unit"]) for entry in found] == [
        ("::", 80, "root", None),
        ("192.0.2.7", 81, "root", None),
        ("192.0.2.7", 5432, "postgres", "postgresql@17-main.service"),
    ]


@pytest.mark.parametrize("answers", [[ERROR], [listener("192.0.2.7", 80, 12) + DONE, ERROR], [message(20, bytes(8))]])
def test_listeners_where_the_kernel_does_not_tell_them(machine, answers):
    machine("/proc/net/tcp", HEADER + tcp(22, 12))
    assert [entry["port"] for entry in host(machine, {}, answers).listeners()] == [22]


def test_both_ways_find_the_same_listeners():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        both = [Host(), Host("", Socket({}, []))]
        first, second = ([entry for entry in each.listeners() if entry["port"] == port] for each in both)
    assert first == second
    assert (first[0]["pid"], first[0]["address"]) == (os.getpid(), "127.0.0.1")


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


def test_no_process_is_looked_at_once_all_owners_are_known(machine):
    machine("/proc/net/tcp", HEADER + tcp(22, 12))
    process(machine, 200, "sshd", "ssh.service", 12)
    process(machine, 201, "other", "other.service", 12)
    (entry,) = host(machine).listeners()
    assert entry["pid"] == 200


def test_nothing_of_docker_and_no_gpu(machine):
    facts = host(machine).facts({}, "/opt")
    assert (facts["gpus"], facts["routes"], facts["group_ids"]) == ([], [], {})
    assert facts["docker"] == {
        "package": None,
        "version": None,
        "config": "absent",
        "data_dir": "/var/lib/docker",
        "objects": 0,
        "users": [],
    }


def test_docker(machine):
    machine("/etc/group", "docker:x:101:ops\nrender:x:993:\n")
    machine("/var/lib/dpkg/status", "Package: docker-ce\nStatus: install ok installed\nVersion: 5:27.3.1-1\n")
    machine("/etc/docker/daemon.json", '{"data-root": "/srv/docker", "labels": ["mlops.stack=managed"]}')
    machine("/srv/docker/volumes/metadata.db", "")
    machine("/srv/docker/volumes/backingFsBlockDev", "")
    assert host(machine).facts({}, "/opt")["docker"]["objects"] == 0
    machine("/srv/docker/volumes/notebooks/_data/a", "")
    machine("/srv/docker/containers/0123/config.v2.json", "")
    facts = host(machine).facts({}, "/opt")
    assert facts["group_ids"] == {"render": 993}
    assert facts["docker"] == {
        "package": "docker-ce",
        "version": "27.3.1",
        "config": "managed",
        "data_dir": "/srv/docker",
        "objects": 2,
        "users": ["ops"],
    }


def test_routes(machine):
    line = "eth0 {} 00000000 0001 0 0 0 {}\n".format(
        *["%08X" % struct.unpack("=I", bytes(p)) for p in ([10, 1, 0, 0], [255, 255, 0, 0])]
    )
    machine("/proc/net/route", "Iface\n" + line + line)
    machine("/proc/net/ipv6_route", f"fd{'0' * 30} 40 {'0' * 32} 00 {'0' * 32} 0 0 0 00000001 eth0\n")
    assert host(machine).routes() == [
        {"network": "10.1.0.0/16", "interface": "eth0"},
        {"network": "fd00::/64", "interface": "eth0"},
    ]


def test_nvidia_gpus(machine):
    machine("/proc/driver/nvidia/gpus/0000:81:00.0/information", "Model: \t NVIDIA A100 80GB PCIe\n")
    assert host(machine).nvidia_gpus() == [
        {"vendor": "nvidia", "model": "NVIDIA A100 80GB PCIe", "memory_mb": None, "driver": None}
    ]
    machine("/sys/module/nvidia/version", "535.129.03\n")
    assert host(machine).nvidia_gpus()[0]["driver"] == "535.129.03"


def test_amd_gpus(machine):
    nodes = "/sys/class/kfd/kfd/topology/nodes"
    machine(f"{nodes}/0/properties", "cpu_cores_count 64\nsimd_count 0\n")
    machine(f"{nodes}/1/properties", "simd_count 480\ndrm_render_minor 128\n")
    machine(f"{nodes}/1/name", "arcturus\n")
    machine(f"{nodes}/1/mem_banks/0/properties", "heap_type 1\nsize_in_bytes 34342961152\n")
    # Without the device nothing can be computed, whatever else the kernel tells.
    assert host(machine).amd_gpus() == []
    machine("/dev/kfd", "")
    gpu = {"vendor": "amd", "model": "arcturus", "memory_mb": 32752, "driver": None}
    assert host(machine).amd_gpus() == [gpu]
    machine("/sys/class/drm/renderD128/device/product_name", "AMD Instinct MI100\n")
    machine("/sys/module/amdgpu/version", "6.3.6\n")
    assert host(machine).amd_gpus() == [gpu | {"model": "AMD Instinct MI100", "driver": "6.3.6"}]


def test_amd_gpus_that_the_kernel_does_not_describe(machine):
    machine("/dev/kfd", "")
    assert host(machine).amd_gpus() == []
    machine("/dev/dri/card0", "")
    machine("/dev/dri/renderD128", "")
    assert host(machine).amd_gpus() == [{"vendor": "amd", "model": None, "memory_mb": None, "driver": None}]
