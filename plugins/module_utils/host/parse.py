# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure readers of what Linux and its package manager write down about a host.

Everything here takes the text (or bytes) of a file and returns plain data.
Nothing here opens a file, and a text that makes no sense yields an empty result.
"""

from __future__ import annotations

import json
import re
import socket
import struct

INSTALLED_STATES = frozenset((b"installed", b"triggers-awaited", b"triggers-pending"))
TCP_LISTEN = "0A"
UNLIMITED = 1 << 60
# linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h
NETLINK_ERROR = 2
NETLINK_DONE = 3
NETLINK_DUMP = 0x301
SOCK_DIAG_BY_FAMILY = 20
DIAG_LISTEN = 1 << 10
# PostgreSQL's FirstNormalObjectId
FIRST_OWN_DATABASE = 16384
# login.defs gives people these numbers, and nobody is 65534.
FIRST_PERSON = 1000
LAST_PERSON = 65000
# linux/route.h: the route leads somewhere.
ROUTE_UP = 1
# Bridges that Docker Engine makes itself: their networks are the engine's own, not the site's.
ENGINE_BRIDGE = re.compile(r"(docker0|docker_gwbridge|br-[0-9a-f]{12})$")
# An engine's label in the daemon.json that the role docker_host writes; JSON has no comments.
ENGINE_LABEL = "mlops.stack=managed"
# Memory of a GPU's own, in amdgpu's words for the kinds of memory (kfd_crat.h).
AMD_OWN_MEMORY = (1, 2)


def os_release(text):
    """Return the operating system's id, version_id, codename and name from /etc/os-release."""
    values = {}
    for line in text.splitlines():
        key, sign, value = line.strip().partition("=")
        if not sign or key.startswith("#"):
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[key] = value.replace("\\", "")
    return {
        "id": values.get("ID", "linux"),
        "version_id": values.get("VERSION_ID", ""),
        "codename": values.get("VERSION_CODENAME") or values.get("UBUNTU_CODENAME", ""),
        "name": values.get("PRETTY_NAME") or values.get("NAME", "Linux"),
    }


def total_memory(meminfo):
    """Return MemTotal of /proc/meminfo in bytes, or None."""
    for line in meminfo.splitlines():
        name, sign, value = line.partition(":")
        if name == "MemTotal" and sign:
            number = value.split()[:1]
            return int(number[0]) * 1024 if number and number[0].isdigit() else None
    return None


def cgroup_paths(text):
    """Return {controller: path} of a /proc/PID/cgroup; the unified hierarchy (v2) has the name ""."""
    paths = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                paths[controller] = parts[2]
    return paths


def cgroup_ancestors(path):
    """Return a cgroup's path and those of all its parents, the root ("") last.

    A path that leads out of a namespace (/../..) is cut down to what can be seen from here.
    """
    names = [name for name in path.split("/") if name not in ("", ".", "..")]
    return ["/" + "/".join(names[:length]) for length in range(len(names), 0, -1)] + [""]


def memory_limit(text):
    """Return the bytes in memory.max or memory.limit_in_bytes, or None where nothing is limited."""
    text = text.strip()
    if not text.isdigit() or int(text) >= UNLIMITED:
        return None
    return int(text)


def cpu_limit_v2(text):
    """Return the processors (a float) that cpu.max allows, or None where nothing is limited."""
    parts = text.split()
    if len(parts) != 2:
        return None
    return cpu_limit_v1(parts[0], parts[1])


def cpu_limit_v1(quota, period):
    """Return the processors (a float) of cpu.cfs_quota_us over cpu.cfs_period_us, or None."""
    quota, period = quota.strip(), period.strip()
    if not quota.isdigit() or not period.isdigit() or int(period) == 0 or int(quota) == 0:
        return None
    return int(quota) / int(period)


def unit_of(cgroup):
    """Return the systemd service a process belongs to, from its /proc/PID/cgroup, or None.

    The last component that is a service counts, so the unit is found below slices, below a
    container's own path (/docker/ID/system.slice/mlflow.service) and above a unit's own sub-groups.
    """
    paths = cgroup_paths(cgroup)
    for hierarchy in ("name=systemd", ""):
        for name in reversed(paths.get(hierarchy, "").split("/")):
            if name.endswith(".service"):
                return name
    return None


def hex_address(text):
    """Return (address, port) of an entry such as 0100007F:1F90 in /proc/net/tcp or tcp6."""
    address, sign, port = text.partition(":")
    words = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
    packed = struct.pack("=%dI" % len(words), *words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return unmapped(socket.inet_ntop(family, packed)), int(port, 16)


def listening(text):
    """Return [(address, port, inode, uid)] of the listening sockets in a /proc/net/tcp or tcp6."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == TCP_LISTEN:
            address, port = hex_address(fields[1])
            found.append((address, port, fields[9], fields[7]))
    return found


def diag_request(family):
    """Return the netlink request for all listening TCP sockets of a family of addresses."""
    body = struct.pack("=BBxxI48x", family, socket.IPPROTO_TCP, DIAG_LISTEN)
    return struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NETLINK_DUMP, 0, 0) + body


def diag_answer(data):
    """Return ([(address, port, inode, uid)], done) of a part of the answer; OSError where the kernel cannot tell."""
    found, offset = [], 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if kind == NETLINK_DONE:
            return found, True
        if kind == NETLINK_ERROR or length < 16 + 72:
            raise OSError("the kernel does not tell its sockets")
        family, port = struct.unpack_from("!B3xH", data, offset + 16)
        uid, inode = struct.unpack_from("=II", data, offset + 16 + 64)
        size = 4 if family == socket.AF_INET else 16
        address = socket.inet_ntop(family, data[offset + 24 : offset + 24 + size])
        found.append((unmapped(address), port, str(inode), str(uid)))
        offset += (length + 3) & ~3
    return found, False


def unmapped(address):
    """Return an address as IPv4 where it is one inside an IPv6 one."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address


def installed_packages(*texts):
    """Return the sorted names of the packages installed, from dpkg's status and, later ones winning, its updates."""
    states = {}
    for text in texts:
        for stanza in text.split(b"\n\n"):
            name = _field(stanza, b"Package: ")
            if name:
                status = _field(stanza, b"Status: ").rpartition(b" ")[2]
                states[name, _field(stanza, b"Architecture: ")] = status
    return sorted(
        {name.decode("ascii", "replace") for (name, _arch), status in states.items() if status in INSTALLED_STATES}
    )


def _field(stanza, key):
    if stanza.startswith(key):
        start = len(key)
    else:
        start = stanza.find(b"\n" + key) + len(key) + 1
        if start == len(key):
            return b""
    end = stanza.find(b"\n", start)
    return stanza[start:] if end < 0 else stanza[start:end]


def package_version(status, name):
    """Return the upstream version, without epoch and revision, of an installed package in dpkg's status, or None."""
    start = (b"\n" + status).find(b"\nPackage: %s\n" % name.encode("ascii"))
    version = _field(status[start:].split(b"\n\n", 1)[0], b"Version: ").decode("ascii", "replace") if start >= 0 else ""
    match = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return match.group(1) if match else None


def account_names(passwd):
    """Return the sorted names of the accounts in an /etc/passwd."""
    return sorted({line.partition(":")[0] for line in passwd.splitlines() if ":" in line and line[0] not in "#+-:"})


def people(passwd):
    """Return number, group and home by the name of each account of a person in an /etc/passwd, root among them."""
    found = {}
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) != 7 or not (fields[2].isdigit() and fields[3].isdigit()):
            continue
        uid = int(fields[2])
        if uid == 0 or FIRST_PERSON <= uid < LAST_PERSON:
            found[fields[0]] = {"uid": uid, "gid": int(fields[3]), "home": fields[5]}
    return found


def account_of(passwd, uid):
    """Return the name of the account with a uid (both as text) in an /etc/passwd; the uid where there is none."""
    for line in passwd.splitlines():
        fields = line.split(":")
        if fields[2:3] == [uid]:
            return fields[0]
    return uid


def started_from(unit, env_root):
    """Return the name of the environment below env_root that a unit file starts its service from, or None."""
    for line in unit.splitlines():
        name, sign, command = line.partition("=")
        if sign and name.strip() == "ExecStart":
            before, found, rest = command.partition(env_root.rstrip("/") + "/")
            if found and not before.strip("-@:+! "):
                return rest.partition("/")[0]
    return None


def data_directory(config):
    """Return the folder of a PostgreSQL cluster's data from the text of its postgresql.conf, or None."""
    for line in config.splitlines():
        name, sign, value = line.partition("=")
        if sign and name.strip() == "data_directory":
            return value.partition("#")[0].strip().strip("'") or None
    return None


def databases(names):
    """Return how many databases people made in a cluster, from the names in its folder base.

    PostgreSQL gives smaller numbers to those that a new cluster begins with.
    """
    return sum(1 for name in names if name.isdigit() and int(name) >= FIRST_OWN_DATABASE)


def is_local(address):
    """Tell whether nobody but this host, or nobody beyond its cable, can reach the address."""
    first = address.partition(":")[0]
    return (
        address.startswith(("127.", "169.254."))
        or address in ("::1", "0.0.0.0", "::")
        or (len(first) == 4 and first.startswith(("fe8", "fe9", "fea", "feb")))
    )


def group_ids(groups, names):
    """Return the number of each of the named groups that is in an /etc/group."""
    found = {}
    for line in groups.splitlines():
        fields = line.split(":")
        if fields[0] in names and len(fields) > 2 and fields[2].isdigit():
            found[fields[0]] = int(fields[2])
    return found


def group_members(groups, name):
    """Return the sorted accounts that an /etc/group lists in a group."""
    for line in groups.splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 3:
            return sorted(member for member in fields[3].split(",") if member)
    return []


def routes_v4(text):
    """Return [(network, interface)] of a /proc/net/route: those that another network could collide with."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and int(fields[3], 16) & ROUTE_UP:
            address, mask = (struct.pack("=I", int(fields[column], 16)) for column in (1, 7))
            length = bin(int.from_bytes(mask, "big")).count("1")
            found.append((socket.inet_ntop(socket.AF_INET, address), length, fields[0]))
    return _networks(found)


def routes_v6(text):
    """Return the same of a /proc/net/ipv6_route."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 9 and int(fields[8], 16) & ROUTE_UP:
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[0]))
            found.append((address, int(fields[1], 16), fields[9]))
    return _networks(found)


def _networks(routes):
    """Leave out what stays on this host or its cable, Docker's own bridges, and routes to all or half of the world."""
    return [
        ("%s/%d" % (address, length), interface)
        for address, length, interface in routes
        if length > 1
        and interface != "lo"
        and not is_local(address)
        and not (":" in address and address.startswith("ff"))
        and not ENGINE_BRIDGE.match(interface)
    ]


def engine_config(text):
    """Return (kind, data folder) of a daemon.json: kind is absent, managed (by the role docker_host) or foreign.

    A file without any setting counts as absent. The data folder is None where the file names none.
    """
    if not text.strip():
        return "absent", None
    try:
        settings = json.loads(text)
    except ValueError:
        return "foreign", None
    if not isinstance(settings, dict):
        return "foreign", None
    if not settings:
        return "absent", None
    labels, folder = settings.get("labels"), settings.get("data-root")
    kind = "managed" if isinstance(labels, list) and ENGINE_LABEL in labels else "foreign"
    return kind, folder if isinstance(folder, str) else None


def nvidia_model(information):
    """Return the model in the information that NVIDIA's driver gives for a GPU, or None."""
    for line in information.splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == "Model":
            return value.strip() or None
    return None


def properties(text):
    """Return {name: number} of a file of properties in the kernel's description of AMD's GPUs."""
    found = {}
    for line in text.splitlines():
        name, _space, value = line.partition(" ")
        if value.isdigit():
            found[name] = int(value)
    return found


def amd_memory_mb(banks):
    """Return the MiB of a GPU's own memory from the properties of its banks, or None where none is its own."""
    own = [bank.get("size_in_bytes", 0) for bank in banks if bank.get("heap_type") in AMD_OWN_MEMORY]
    return sum(own) >> 20 if own else None
