# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import struct

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.host import parse

DEBIAN = """PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
NAME="Debian GNU/Linux"
# VERSION_ID="12"
VERSION_ID="13"

VERSION_CODENAME=trixie
ID=debian
"""
UBUNTU = 'NAME=\'Ubuntu\'\nVERSION_ID="24.04"\nUBUNTU_CODENAME=noble\nID=ubuntu\nHOME_URL="\\$x"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DEBIAN, ("debian", "13", "trixie", "Debian GNU/Linux 13 (trixie)")),
        (UBUNTU, ("ubuntu", "24.04", "noble", "Ubuntu")),
        ("", ("linux", "", "", "Linux")),
    ],
)
def test_os_release(text, expected):
    assert tuple(parse.os_release(text).values()) == expected


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("MemTotal:  2048 kB\nMemFree: 1 kB\n", 2048 * 1024),
        ("MemFree: 1 kB\nMemTotal: 1 kB\n", 1024),
        ("MemTotal: many\n", None),
        ("MemTotal:\n", None),
        ("MemTotal\n", None),
        ("", None),
    ],
)
def test_total_memory(text, size):
    assert parse.total_memory(text) == size


def test_cgroup_paths():
    text = "12:cpu,cpuacct:/a\n1:name=systemd:/b:c\nnonsense\n0::/d\n"
    assert parse.cgroup_paths(text) == {"cpu": "/a", "cpuacct": "/a", "name=systemd": "/b:c", "": "/d"}


@pytest.mark.parametrize(
    ("path", "ancestors"),
    [("/a/b", ["/a/b", "/a", ""]), ("/", [""]), ("", [""]), ("/../../a/./b", ["/a/b", "/a", ""])],
)
def test_cgroup_ancestors(path, ancestors):
    assert parse.cgroup_ancestors(path) == ancestors


@pytest.mark.parametrize(
    ("text", "limit"), [("1048576\n", 1048576), ("max\n", None), ("9223372036854771712\n", None), ("", None)]
)
def test_memory_limit(text, limit):
    assert parse.memory_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "limit"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("", None), ("100000 0", None)]
)
def test_cpu_limit_v2(text, limit):
    assert parse.cpu_limit_v2(text) == limit


@pytest.mark.parametrize(
    ("quota", "period", "limit"),
    [("200000\n", "100000\n", 2.0), ("-1\n", "100000\n", None), ("0", "100000", None), ("1", "", None)],
)
def test_cpu_limit_v1(quota, period, limit):
    assert parse.cpu_limit_v1(quota, period) == limit


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/mlflow.service\n", "mlflow.service"),
        ("0::/docker/abc/system.slice/postgresql@17-main.service/child\n", "postgresql@17-main.service"),
        ("5:cpu:/system.slice/docker.service\n1:name=systemd:/system.slice/a.service\n0::/x\n", "a.service"),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/web.service\n", "web.service"),
        ("0::/user.slice\n", None),
        ("", None),
    ],
)
def test_unit_of(text, unit):
    assert parse.unit_of(text) == unit


@pytest.mark.parametrize(
    ("family", "address", "expected"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0", "0.0.0.0"),
        (socket.AF_INET6, "::", "::"),
        (socket.AF_INET6, "2001:db8::7", "2001:db8::7"),
        (socket.AF_INET6, "::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_hex_address(family, address, expected):
    packed = socket.inet_pton(family, address)
    words = struct.unpack("=%dI" % (len(packed) // 4), packed)
    assert parse.hex_address("".join("%08X" % word for word in words) + ":1538") == (expected, 5432)


def tcp(state, inode, uid=0):
    address = "%08X" % struct.unpack("=I", socket.inet_aton("127.0.0.1"))
    fields = ["0:", address + ":1538", "00000000:0000", state, "0:0", "00:0", "0", str(uid), "0", inode, "1"]
    return "  " + " ".join(fields) + "\n"


def test_listening():
    text = "  sl  local_address ...\n" + tcp("0A", "77", 7) + tcp("01", "78") + "  1: short\n"
    assert parse.listening(text) == [("127.0.0.1", 5432, "77", "7")]
    assert parse.listening("") == []


def test_installed_packages():
    status = (
        b"Package: b\nStatus: install ok installed\nArchitecture: amd64\nDescription: x\n Package: y\n\n"
        b"Package: b\nStatus: install ok installed\nArchitecture: i386\n\n"
        b"Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\n\n"
        b"Source: x\nPackage: a\nStatus: install ok triggers-pending\nArchitecture: all\n\n"
        b"Package: half\nStatus: install ok unpacked\nArchitecture: all\n\n"
        b"\nnonsense"
    )
    assert parse.installed_packages(status) == ["a", "b"]
    update = b"Package: half\nStatus: install ok installed\nArchitecture: all"
    removal = b"Package: a\nArchitecture: all\nStatus: deinstall ok config-files"
    assert parse.installed_packages(status, update, removal) == ["b", "half"]
    assert parse.installed_packages(b"") == []


PASSWD = "root:x:0:0:root:/root:/bin/sh\npostgres:x:7:7::/:/bin/false\n\n#off:x:8:8\n+nis::9\nbroken\n"


def test_account_names():
    assert parse.account_names(PASSWD) == ["postgres", "root"]


def test_people():
    passwd = (
        "root:x:0:0::/root:/bin/sh\ncc:x:1000:1001::/home/cc:/bin/bash\nbad:x:1000\nodd:x:no:1::/:/bin/sh\n" + PASSWD
    )
    assert parse.people(passwd + "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n")["cc"] == {
        "uid": 1000,
        "gid": 1001,
        "home": "/home/cc",
    }
    assert set(parse.people(passwd)) == {"root", "cc"}


@pytest.mark.parametrize(("uid", "name"), [("0", "root"), ("7", "postgres"), ("64055", "64055")])
def test_account_of(uid, name):
    assert parse.account_of(PASSWD, uid) == name


@pytest.mark.parametrize(
    ("unit", "env"),
    [
        (
            "[Service]\nExecStart=/opt/stack/mlflow-3-py3.13-abc/bin/mlflow server \\\n    --port 1\n",
            "mlflow-3-py3.13-abc",
        ),
        ("ExecStartPre=/opt/stack/other/bin/x\nExecStart = -/opt/stack/weed/bin/weed s3\n", "weed"),
        ("ExecStart=/usr/bin/env --chdir=/opt/stack/weed/bin x\n", None),
        ("ExecStart=/opt/stackling/weed/bin/weed\n", None),
        ("[Service]\nType=exec\n", None),
        ("", None),
    ],
)
def test_started_from(unit, env):
    assert parse.started_from(unit, "/opt/stack") == env
    assert parse.started_from(unit, "/opt/stack/") == env


@pytest.mark.parametrize(
    ("config", "folder"),
    [
        (
            "# data_directory = '/old'\ndata_directory = '/var/lib/postgresql/17/main'\t\t# use data\n",
            "/var/lib/postgresql/17/main",
        ),
        ("data_directory='/srv/pg'\n", "/srv/pg"),
        ("data_directory = ''\n", None),
        ("data_directory\nhba_file = '/x'\n", None),
        ("", None),
    ],
)
def test_data_directory(config, folder):
    assert parse.data_directory(config) == folder


def test_databases():
    assert parse.databases(["1", "4", "5", "16383", "pgsql_tmp"]) == 0
    assert parse.databases(["1", "16384", "5", "24577"]) == 2


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("169.254.1.1", True),
        ("::1", True),
        ("fe80::1", True),
        ("feb0::1", True),
        ("192.0.2.7", False),
        ("2001:db8::1", False),
        ("fd00::7", False),
    ],
)
def test_is_local(address, local):
    assert parse.is_local(address) is local


STATUS = b"""\
Package: docker-cli
Status: install ok installed
Version: 9.9

Package: docker.io
Status: install ok installed
Architecture: amd64
Version: 26.1.5+dfsg1-9+deb13u1

Package: docker-ce
Version: 5:27.3.1-1~debian.12~bookworm

Package: odd
Version: unknown

Package: silent
Status: install ok installed
"""


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("docker-cli", "9.9"),
        ("docker.io", "26.1.5"),
        ("docker-ce", "27.3.1"),
        ("odd", None),
        ("silent", None),
        ("docker", None),
    ],
)
def test_package_version(name, version):
    assert parse.package_version(STATUS, name) == version


GROUPS = "root:x:0:\nvideo:x:44:a\nrender:x:993:\ndocker:x:101:ops,,ann\nbroken\nodd:x:y:\n"


def test_groups():
    assert parse.group_ids(GROUPS, ("video", "render", "odd", "broken")) == {"video": 44, "render": 993}
    assert parse.group_ids("", ("video",)) == {}
    assert parse.group_members(GROUPS, "docker") == ["ann", "ops"]
    assert parse.group_members(GROUPS, "render") == parse.group_members(GROUPS, "broken") == []
    assert parse.group_members(GROUPS, "missing") == []


def route(interface, address, mask, flags=1):
    """A line of /proc/net/route, as a machine of this byte order writes it."""
    words = [struct.unpack("=I", socket.inet_aton(text))[0] for text in (address, mask)]
    return f"{interface}\t{words[0]:08X}\t00000000\t{flags:04X}\t0\t0\t0\t{words[1]:08X}\t0\t0\t0\n"


@pytest.mark.parametrize(
    ("line", "routes"),
    [
        (route("eth0", "10.1.2.0", "255.255.255.0"), [("10.1.2.0/24", "eth0")]),
        (route("tun0", "10.0.0.0", "255.0.0.0", 3), [("10.0.0.0/8", "tun0")]),
        (route("virbr0", "192.168.122.0", "255.255.255.0"), [("192.168.122.0/24", "virbr0")]),
        (route("br-office", "10.9.0.0", "255.255.0.0"), [("10.9.0.0/16", "br-office")]),
        # Where everything goes, also as two halves.
        (route("eth0", "0.0.0.0", "0.0.0.0", 3), []),
        (route("tun0", "128.0.0.0", "128.0.0.0", 3), []),
        # Docker's own bridges.
        (route("docker0", "172.17.0.0", "255.255.0.0"), []),
        (route("br-0123456789ab", "172.18.0.0", "255.255.0.0"), []),
        # Down, cut off, and of this cable alone.
        (route("eth1", "10.2.0.0", "255.255.0.0", 0), []),
        ("eth0\t0\t0\n", []),
        (route("eth0", "169.254.0.0", "255.255.0.0"), []),
    ],
)
def test_routes(line, routes):
    assert parse.routes_v4("Iface\tDestination\n" + line) == routes


@pytest.mark.parametrize(
    ("network", "length", "interface", "routes"),
    [
        ("fd00:1::", 64, "eth0", [("fd00:1::/64", "eth0")]),
        ("2001:db8::7", 128, "eth0", [("2001:db8::7/128", "eth0")]),
        ("2001:db8::7", 128, "lo", []),
        ("fe80::", 64, "eth0", []),
        ("ff00::", 8, "eth0", []),
        ("::", 0, "eth0", []),
    ],
)
def test_routes_of_ipv6(network, length, interface, routes):
    packed = socket.inet_pton(socket.AF_INET6, network).hex()
    line = f"{packed} {length:02x} {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 {{}} {interface}\n"
    assert parse.routes_v6(line.format("00000001")) == routes
    assert parse.routes_v6(line.format("00200200")) == parse.routes_v6("cut off\n") == []


@pytest.mark.parametrize(
    ("text", "kind", "folder"),
    [
        ("", "absent", None),
        (" \n", "absent", None),
        ("{}", "absent", None),
        ('{"labels": ["a=b", "mlops.stack=managed"], "data-root": "/srv"}', "managed", "/srv"),
        ('{"labels": ["a=b"]}', "foreign", None),
        ('{"labels": "mlops.stack=managed", "data-root": 1}', "foreign", None),
        ('{"data-root": "/srv"}', "foreign", "/srv"),
        ("[]", "foreign", None),
        ("{", "foreign", None),
    ],
)
def test_engine_config(text, kind, folder):
    assert parse.engine_config(text) == (kind, folder)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("Model: \t\t NVIDIA A100 80GB PCIe\nIRQ:   \t 150\n", "NVIDIA A100 80GB PCIe"),
        ("IRQ: 1\nModel:\n", None),
        ("", None),
    ],
)
def test_nvidia_model(text, model):
    assert parse.nvidia_model(text) == model


def test_amd_properties():
    assert parse.properties("simd_count 480\nname arcturus\n\nsize_in_bytes 1\n") == {
        "simd_count": 480,
        "size_in_bytes": 1,
    }
    own, shared = {"heap_type": 1, "size_in_bytes": 32 << 30}, {"heap_type": 0, "size_in_bytes": 64 << 30}
    assert parse.amd_memory_mb([own, shared, {"heap_type": 2}]) == 32768
    assert parse.amd_memory_mb([shared]) is None
