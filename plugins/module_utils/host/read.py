# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a host: its files below a root folder, its sockets' owners and its address."""

from __future__ import annotations

import math
import os
import socket
import sys

from ansible_collections.mlops.stack.plugins.module_utils.archive import configuration
from ansible_collections.mlops.stack.plugins.module_utils.host import parse

# Nothing is ever sent to these: they are set aside for documentation and only choose a route.
FAR_AWAY = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
MARKER = ".complete"
UNITS = "/etc/systemd/system"
CLUSTERS = "/etc/postgresql"
# Files that the role postgres writes for a cluster; either of them shows that the cluster is the stack's.
MANAGED = ("conf.d/mlops-stack.conf", "mlops-stack_hba.conf")
# What the role adds to the name of a cluster's data while it recovers the cluster beside it.
ASIDE = ".recovering"
# Packages with a Docker Engine: the distributions' own, Docker's, and Microsoft's.
ENGINES = ("docker.io", "docker-ce", "moby-engine")
ENGINE_DATA = "/var/lib/docker"
# Files that an engine without any container or volume has there.
ENGINE_OWN = ("backingFsBlockDev", "metadata.db")
NVIDIA = "/proc/driver/nvidia/gpus"
AMD = "/sys/class/kfd/kfd/topology/nodes"
# Groups that own the device files of GPUs; the number of render differs from host to host.
DEVICE_GROUPS = ("video", "render")
MEBIBYTE = 1 << 20
NETLINK_SOCK_DIAG = 4


class Host:
    """One host, read from the files below C(root). Whatever cannot be read counts as empty."""

    def __init__(self, root="", open_socket=socket.socket):
        self.root = root
        self.open_socket = open_socket

    def data(self, path):
        """Return a file's bytes, none where it cannot be read."""
        try:
            with open(self.root + path, "rb", 0) as file:
                return file.read()
        except OSError:
            return b""

    def text(self, path):
        """Return a file's text, empty where it cannot be read."""
        return self.data(path).decode("utf-8", "replace")

    def names(self, path):
        """Return the sorted names in a folder, none where it cannot be read."""
        try:
            return sorted(os.listdir(self.root + path))
        except OSError:
            return []

    def link(self, path):
        """Return what a symbolic link says, empty where there is none that can be read."""
        try:
            return os.readlink(self.root + path)
        except OSError:
            return ""

    def facts(self, paths, env_root, marker=MARKER):
        """Return everything there is to know about the host, as one dictionary.

        :param paths: the path to measure, by what it is for.
        """
        status = self.data("/var/lib/dpkg/status")
        packages = self.packages(status)
        groups = self.text("/etc/group")
        return {
            "os": parse.os_release(self.text("/etc/os-release") or self.text("/usr/lib/os-release")),
            "python": "%d.%d" % sys.version_info[:2],
            "cpus": self.cpus(),
            "memory_mb": self.memory_mb(),
            "default_address": self.default_address(),
            "packages": packages,
            "users": parse.account_names(self.text("/etc/passwd")),
            "accounts": parse.people(self.text("/etc/passwd")),
            "envs": self.environments(env_root, marker),
            "unit_envs": self.unit_environments(env_root),
            "clusters": self.clusters(),
            "archive": self.archive(status),
            "disks": {purpose: self.disk(path) for purpose, path in paths.items()},
            "listeners": self.listeners(),
            "routes": self.routes(),
            "group_ids": parse.group_ids(groups, DEVICE_GROUPS),
            "gpus": self.nvidia_gpus() + self.amd_gpus(),
            "docker": self.docker(status, packages, groups),
        }

    def cgroup_limits(self, read):
        """Return what C(read(folder)) finds for the first process and every group above it."""
        paths = parse.cgroup_paths(self.text("/proc/1/cgroup"))
        folders = []
        for controller in ("memory", "cpu"):
            folders += [
                "/sys/fs/cgroup/" + controller + group for group in parse.cgroup_ancestors(paths.get(controller, ""))
            ]
        folders += ["/sys/fs/cgroup" + group for group in parse.cgroup_ancestors(paths.get("", ""))]
        return [limit for limit in map(read, folders) if limit is not None]

    def memory_mb(self):
        """Return the MiB of memory that the host, or the container that it is, may use."""
        limits = self.cgroup_limits(
            lambda folder: parse.memory_limit(
                self.text(folder + "/memory.max") or self.text(folder + "/memory.limit_in_bytes")
            )
        )
        total = parse.total_memory(self.text("/proc/meminfo"))
        return min(limits + [total] if total else limits, default=0) // MEBIBYTE

    def cpus(self):
        """Return how many processors this host, or the container that it is, may use; parts count as one."""
        limits = self.cgroup_limits(
            lambda folder: (
                parse.cpu_limit_v2(self.text(folder + "/cpu.max"))
                or parse.cpu_limit_v1(self.text(folder + "/cpu.cfs_quota_us"), self.text(folder + "/cpu.cfs_period_us"))
            )
        )
        return max(1, math.ceil(min(limits + [usable_cpus()])))

    def packages(self, status):
        """Return the names of the installed Debian packages, from dpkg's status; none on a system without dpkg."""
        updates = [name for name in self.names("/var/lib/dpkg/updates") if name.isdigit()]
        return parse.installed_packages(status, *[self.data("/var/lib/dpkg/updates/" + name) for name in updates])

    def environments(self, env_root, marker):
        """Return the names of the Python environments whose installation was completed."""
        return [
            name for name in self.names(env_root) if os.path.isfile("%s%s/%s/%s" % (self.root, env_root, name, marker))
        ]

    def unit_environments(self, env_root):
        """Return the name of the Python environment by the systemd service that is started from it."""
        found = {}
        for name in self.names(UNITS):
            if name.endswith(".service"):
                env = parse.started_from(self.text("%s/%s" % (UNITS, name)), env_root)
                if env:
                    found[name] = env
        return found

    def clusters(self):
        """Return the PostgreSQL clusters that Debian's tools know of and that have data."""
        found = []
        for version in self.names(CLUSTERS):
            for name in self.names("%s/%s" % (CLUSTERS, version)):
                config = "%s/%s/%s" % (CLUSTERS, version, name)
                data = parse.data_directory(self.text(config + "/postgresql.conf"))
                if data and (self.data(data + "/PG_VERSION") or self.data(data + ASIDE + "/PG_VERSION")):
                    managed = any(os.path.isfile("%s%s/%s" % (self.root, config, file)) for file in MANAGED)
                    found.append(
                        dict(
                            version=version,
                            name=name,
                            managed=managed,
                            databases=parse.databases(self.names(data + "/base")),
                            tablespaces=len(self.names(data + "/pg_tblspc")),
                            recovery=self.recovery(data),
                        )
                    )
        return found

    def recovery(self, data):
        """Return how far a recovery of a cluster came that did not end, or None where each of them did.

        PostgreSQL removes its signal once it has replayed its log, and pgBackRest gives the file that no cluster starts
        without its name last of all.
        """
        if not os.path.isdir(self.root + data + ASIDE):
            return None
        replayed = self.data(data + "/global/pg_control") and "recovery.signal" not in self.names(data)
        return "replayed" if replayed else "begun"

    def archive(self, status):
        """Return where PostgreSQL's archive lies by what pgBackRest is told here, and what has been made of it."""
        told = configuration.read(self.text(configuration.FILE))
        return {
            "version": parse.package_version(status, "pgbackrest"),
            "place": told["place"] or None,
            "encrypted": bool(told["passphrase"]),
            "backed_up": self.text(configuration.BACKED_UP).strip().rpartition("\n")[2] or None,
        }

    def disk(self, path):
        """Return a path with its file system's number and the MiB free there for ordinary users.

        For a path that does not exist yet, its nearest parent that does is looked at.
        """
        place = path
        while True:
            try:
                info, device = os.statvfs(self.root + place), os.stat(self.root + place).st_dev
                return dict(path=path, device=device, free_mb=info.f_bavail * info.f_frsize // MEBIBYTE)
            except OSError:
                if place in ("", "/"):
                    return dict(path=path, device=0, free_mb=0)
                place = place.rstrip("/").rpartition("/")[0] or "/"

    def listeners(self):
        """Return the listening TCP sockets, each with the process and the unit that holds it where that can be seen."""
        sockets = self.sockets()
        owners = self.owners({inode for _address, _port, inode, _uid in sockets})
        found = []
        passwd = self.text("/etc/passwd")
        for address, port, inode, uid in sorted(sockets, key=lambda item: (item[1], item[0])):
            pid = owners.get(inode)
            folder = "/proc/%s" % pid
            found.append(
                {
                    "address": address,
                    "port": port,
                    "user": parse.account_of(passwd, uid),
                    "pid": pid,
                    "process": (self.text(folder + "/comm").strip() or None) if pid else None,
                    "unit": parse.unit_of(self.text(folder + "/cgroup")) if pid else None,
                }
            )
        return found

    def sockets(self):
        """Return [(address, port, inode, uid)] of the listening TCP sockets.

        The kernel writes its text files by looking through all connections that there could be. Where it can be asked
        for the listeners alone, that takes a fraction of the time.
        """
        try:
            found = []
            with self.open_socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as connection:
                connection.settimeout(2)
                for family in (socket.AF_INET, socket.AF_INET6):
                    connection.sendto(parse.diag_request(family), (0, 0))
                    done = False
                    while not done:
                        some, done = parse.diag_answer(connection.recv(1 << 16))
                        found += some
            return found
        except OSError:
            return parse.listening(self.text("/proc/net/tcp")) + parse.listening(self.text("/proc/net/tcp6"))

    def owners(self, inodes):
        """Return {inode: pid} for the sockets wanted: the oldest process, the init process only when alone."""
        owners, missing = {}, {"socket:[%s]" % inode: inode for inode in inodes}
        pids = sorted((int(name) for name in self.names("/proc") if name.isdigit()), key=lambda pid: (pid == 1, pid))
        for pid in pids:
            if not missing:
                break
            folder = "/proc/%d/fd/" % pid
            for name in self.names(folder):
                inode = missing.pop(self.link(folder + name), None)
                if inode is not None:
                    owners[inode] = pid
        return owners

    def routes(self):
        """Return the networks that this host has routes to, each with its interface."""
        found = parse.routes_v4(self.text("/proc/net/route")) + parse.routes_v6(self.text("/proc/net/ipv6_route"))
        return [dict(network=network, interface=interface) for network, interface in dict.fromkeys(found)]

    def docker(self, status, packages, groups):
        """Return what there is of Docker: its package, version, configuration, data and users."""
        package = next((name for name in ENGINES if name in packages), None)
        config, folder = parse.engine_config(self.text("/etc/docker/daemon.json"))
        folder = folder or ENGINE_DATA
        objects = self.names(folder + "/containers") + self.names(folder + "/volumes")
        return {
            "package": package,
            "version": parse.package_version(status, package) if package else None,
            "config": config,
            "data_dir": folder,
            "objects": len([name for name in objects if name not in ENGINE_OWN]),
            "users": parse.group_members(groups, "docker"),
        }

    def nvidia_gpus(self):
        """Return the GPUs that NVIDIA's driver knows of. It tells their memory to programs of its own only."""
        driver = self.text("/sys/module/nvidia/version").strip() or None
        return [
            dict(
                vendor="nvidia",
                model=parse.nvidia_model(self.text("%s/%s/information" % (NVIDIA, name))),
                memory_mb=None,
                driver=driver,
            )
            for name in self.names(NVIDIA)
        ]

    def amd_gpus(self):
        """Return AMD's GPUs that computations can use: without /dev/kfd there are none.

        Where the kernel does not describe them, each device to render with stands for one.
        """
        if "kfd" not in self.names("/dev"):
            return []
        driver = self.text("/sys/module/amdgpu/version").strip() or None
        found = []
        for name in self.names(AMD):
            folder = "%s/%s" % (AMD, name)
            seen = parse.properties(self.text(folder + "/properties"))
            # The host's processors are listed as well.
            if seen.get("simd_count"):
                device = "/sys/class/drm/renderD%d/device" % seen.get("drm_render_minor", 0)
                model = self.text(device + "/product_name").strip() or self.text(folder + "/name").strip() or None
                banks = self.names(folder + "/mem_banks")
                files = [self.text("%s/mem_banks/%s/properties" % (folder, bank)) for bank in banks]
                memory = parse.amd_memory_mb([parse.properties(text) for text in files])
                found.append(dict(vendor="amd", model=model, memory_mb=memory, driver=driver))
        devices = [name for name in self.names("/dev/dri") if name.startswith("renderD")]
        return found or [dict(vendor="amd", model=None, memory_mb=None, driver=driver) for _device in devices]

    def default_address(self):
        """Return the address from which this host reaches the rest of the world, or None without such a route."""
        for family, far in FAR_AWAY:
            try:
                with self.open_socket(family, socket.SOCK_DGRAM) as connection:
                    connection.connect((far, 9))
                    address = connection.getsockname()[0]
            except OSError:
                continue
            if not parse.is_local(address):
                return address
        return None


def usable_cpus():
    """Return how many processors this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1
