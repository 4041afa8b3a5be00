# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes of a testbed: containers that boot a real systemd and are reached over SSH, as a user reaches machines."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import io
import json
import pathlib
import subprocess
import tarfile
import time

import host
import image

LABEL = "mlops.stack.testbed"
BOOT_WAIT = 90
NODE_FLAGS = (
    "--stop-signal=SIGRTMIN+3",
    "--cap-add=SYS_ADMIN",
    "--cap-add=NET_ADMIN",
    # On a real machine root may ask which process holds a port.
    "--cap-add=SYS_PTRACE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    # The same for cgroup v1 and v2: systemd finds its own group below the host's tree and makes its units there.
    "--cgroupns=host",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs=/run",
    "--tmpfs=/run/lock",
    "--tmpfs=/tmp:exec",
    "--env=container=docker",
)
# A node's own root is an overlay, on which the engine inside it could not make another.
DOCKER_FLAGS = ("--volume=/var/lib/docker",)
# /proc/sys is read-only in a node: the engine is told to go on where it cannot turn IPv6 off.
DOCKER_VARIABLES = {"docker_host_environment": {"DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE": "1"}}
# The name of a node's base image in the engine inside it.
INNER_IMAGE = "testbed-base:latest"


@dataclasses.dataclass(frozen=True)
class Node:
    """One node as asked for on the command line."""

    name: str
    suite: str
    flags: tuple[str, ...] = ()
    docker_inside: bool = False

    @property
    def all_flags(self) -> tuple[str, ...]:
        """The arguments of `docker create` that this node has and others do not."""
        return (*self.flags, *(DOCKER_FLAGS if self.docker_inside else ()))

    @property
    def spec(self) -> str:
        """A hash of what, when it changes, makes an existing container another machine."""
        return hashlib.sha256(json.dumps([self.suite, self.all_flags]).encode()).hexdigest()[:12]


class Testbed:
    """The nodes, network, key and state folder of one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prefix = f"{host.PREFIX}-{name}"
        self.folder = host.STATE / name
        self.key = self.folder / "id_ed25519"
        self.inventory_record = self.folder / "inventories.json"

    def known_hosts(self, node: str) -> pathlib.Path:
        """Return the path of the file that holds one node's host key."""
        return self.folder / f"{node}.known_hosts"

    # ---- up ----------------------------------------------------------------------------------------------------

    def up(self, nodes: list[Node]) -> tuple[bool, dict[str, dict]]:
        """Bring all nodes up; return whether anything was changed, and each node's address and container id."""
        with host.lock(f"testbed-{self.name}"):
            changed = self.ensure_key()
            existing = self.containers()
            missing = [node for node in nodes if node.name not in existing or existing[node.name]["spec"] != node.spec]
            images = {suite: image.ensure_image(suite) for suite in sorted({node.suite for node in missing})}
            changed |= self.ensure_network()
            with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
                work = [pool.submit(self.ensure_node, node, existing.get(node.name), images) for node in nodes]
                results = [future.result() for future in work]
            current = self.containers()
            return changed or any(results), {node.name: current[node.name] for node in nodes}

    def ensure_key(self) -> bool:
        """Make the testbed's SSH key; whole or not at all."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        public = self.key.with_suffix(".pub")
        if self.key.exists() and public.exists():
            return False
        host.install_missing({"ssh-keygen": ["openssh-client"], "ssh": ["openssh-client"]})
        for path in (self.key, public):
            path.unlink(missing_ok=True)
        comment = f"testbed {self.name}"
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(self.key)])
        return True

    def ensure_network(self) -> bool:
        """Make the testbed's own network; the engine picks a free subnet."""
        if host.docker("network", "inspect", self.prefix, check=False).returncode == 0:
            return False
        labels = [f"--label={LABEL}={self.name}", f"--label={LABEL}.clone={host.CLONE_ID}"]
        host.docker("network", "create", *labels, self.prefix)
        return True

    def containers(self) -> dict[str, dict]:
        """Return this testbed's containers by node name, whatever state they are in."""
        filters = [f"--filter=label={LABEL}={self.name}", f"--filter=label={LABEL}.clone={host.CLONE_ID}"]
        ids = host.docker("ps", "--all", "--quiet", *filters).stdout.split()
        if not ids:
            return {}
        # A container that somebody removes at this moment is only missing from the answer.
        found = json.loads(host.docker("inspect", *ids, check=False).stdout or "[]")
        containers = {}
        for entry in found:
            labels = entry["Config"]["Labels"]
            networks = entry["NetworkSettings"]["Networks"]
            containers[labels[f"{LABEL}.node"]] = {
                "id": entry["Id"][:12],
                "status": entry["State"]["Status"],
                "address": networks.get(self.prefix, {}).get("IPAddress", ""),
                "spec": labels[f"{LABEL}.spec"],
                "suite": labels[f"{LABEL}.suite"],
            }
        return containers

    def ensure_node(self, node: Node, found: dict | None, images: dict[str, str]) -> bool:
        """Make, start or leave one node, and return whether anything was changed."""
        container = f"{self.prefix}-{node.name}"
        if found and found["spec"] == node.spec and found["status"] == "running" and self.answers(node.name, found):
            return False
        began = time.monotonic()
        if found and (found["spec"] != node.spec or found["status"] not in ("running", "exited")):
            # Another machine is asked for, or a killed run left this one half made.
            host.docker("rm", "--force", "--volumes", container, check=False)
            found = None
        if not found:
            host.docker("rm", "--force", "--volumes", container, check=False)
            self.create(node, images.get(node.suite) or image.ensure_image(node.suite))
        self.authorise(container)
        host.docker("start", container)
        self.wait_booted(node.name, container)
        self.remember_host_key(node.name, container)
        self.wait_answers(node.name)
        host.say(f"{node.name} is up: Debian {node.suite}, {time.monotonic() - began:.1f} s")
        return True

    def create(self, node: Node, image_name: str) -> None:
        """Create a node's container, not started yet."""
        labels = {
            LABEL: self.name,
            f"{LABEL}.clone": host.CLONE_ID,
            f"{LABEL}.node": node.name,
            f"{LABEL}.spec": node.spec,
            f"{LABEL}.suite": node.suite,
        }
        flags = [*NODE_FLAGS, *(f"--label={key}={value}" for key, value in labels.items()), *node.all_flags]
        names = [f"--name={self.prefix}-{node.name}", f"--hostname={node.name}", f"--network-alias={node.name}"]
        host.docker("create", *names, f"--network={self.prefix}", *flags, image_name)

    def authorise(self, container: str) -> None:
        """Put the testbed's public key into the node, from outside as a cloud does."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            content = self.key.with_suffix(".pub").read_bytes()
            for path, kind, mode, data in (
                (".ssh", tarfile.DIRTYPE, 0o700, b""),
                (".ssh/authorized_keys", tarfile.REGTYPE, 0o600, content),
            ):
                entry = tarfile.TarInfo(path)
                entry.type, entry.mode, entry.size, entry.mtime = kind, mode, len(data), int(time.time())
                entry.uid = entry.gid = 1000
                tar.addfile(entry, io.BytesIO(data))
        host.docker("cp", "-", f"{container}:/home/{image.USER}", input=archive.getvalue(), text=False)

    def wait_booted(self, node: str, container: str) -> None:
        """Wait until systemd says that the node runs; a failed unit ends the wait with its name."""
        deadline = time.monotonic() + BOOT_WAIT
        state = ""
        while time.monotonic() < deadline:
            state = host.docker("exec", container, "systemctl", "is-system-running", check=False).stdout.strip()
            if state == "running":
                return
            if state == "degraded":
                failed = host.docker("exec", container, "systemctl", "--failed", "--plain", "--no-legend").stdout
                raise host.TestbedError(f"The node {node} booted with failed units:\n{failed.strip()}")
            status = host.docker("inspect", "--format={{.State.Status}}", container).stdout.strip()
            if status != "running":
                end = host.tail(host.docker("logs", "--tail=15", container, check=False).stdout)
                raise host.TestbedError(f"The node {node} stopped while it booted ({status}); its last lines:\n{end}")
            time.sleep(0.2)
        raise host.TestbedError(f"The node {node} did not finish booting within {BOOT_WAIT} s: systemd says '{state}'.")

    def remember_host_key(self, node: str, container: str) -> None:
        """Write a node's host key where ssh looks for it; it is read through the engine, so nothing is guessed."""
        key = host.docker("exec", container, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout.split()
        address = self.containers()[node]["address"]
        self.known_hosts(node).write_text(f"{address} {key[0]} {key[1]}\n", encoding="utf-8")

    def ssh_options(self, node: str) -> list[str]:
        """Return the options with which ssh trusts exactly this node and offers exactly this testbed's key."""
        return [
            "-o",
            f'UserKnownHostsFile="{self.known_hosts(node)}"',
            "-o",
            "GlobalKnownHostsFile=none",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
        ]

    def answers(self, node: str, container: dict) -> bool:
        """Tell whether a node lets the user in over SSH and gives root."""
        if not container["address"]:
            return False
        connect = ["-F", "none", "-i", str(self.key), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
        target = [f"{image.USER}@{container['address']}", "sudo", "-n", "true"]
        return host.run(["ssh", *connect, *self.ssh_options(node), *target], check=False).returncode == 0

    def wait_answers(self, node: str) -> None:
        """Wait until a node that has booted lets the user in."""
        deadline = time.monotonic() + 20
        while not self.answers(node, self.containers()[node]):
            if time.monotonic() > deadline:
                raise host.TestbedError(
                    f"The node {node} runs, but SSH to it as {image.USER} did not work within 20 s."
                )
            time.sleep(0.3)

    # ---- inventory ---------------------------------------------------------------------------------------------

    def write_inventory(
        self,
        path: pathlib.Path,
        nodes: dict[str, dict],
        groups: dict[str, list[str]],
        variables: dict[str, dict],
    ) -> bool:
        """Write the inventory file of the nodes, with further variables of some; return whether it was new."""
        path = path.resolve()
        lines = ["# Written by testbed/testbed.py: the addresses of the nodes it started.", "---", "all:", "  hosts:"]
        for node, container in sorted(nodes.items()):
            arguments = " ".join(
                # Ansible splits this text like a shell, and ssh takes the inner quotes for a path with spaces.
                f"'{option}'" if '"' in option else option
                for option in self.ssh_options(node)
            )
            lines += [
                f"    {node}:",
                f"      ansible_host: {container['address']}",
                f"      ansible_user: {image.USER}",
                f"      ansible_ssh_private_key_file: {json.dumps(str(self.key))}",
                f"      ansible_ssh_common_args: {json.dumps(arguments)}",
                # A later node may get the same address: a connection kept open belongs to one container only.
                f'      ansible_control_path: "%(directory)s/{container["id"]}"',
                *(f"      {name}: {json.dumps(value)}" for name, value in variables.get(node, {}).items()),
            ]
        if groups:
            lines.append("  children:")
        for group, members in groups.items():
            lines += [f"    {group}:", "      hosts:", *(f"        {member}: {{}}" for member in members)]
        content = "\n".join(lines) + "\n"
        self.record_inventory(path)
        if path.exists() and path.read_text(encoding="utf-8") == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(content, encoding="utf-8")
        partial.replace(path)
        return True

    def record_inventory(self, path: pathlib.Path) -> None:
        """Remember an inventory file, so that it goes when its nodes go."""
        known = self.recorded_inventories()
        if str(path) not in known:
            self.inventory_record.write_text(json.dumps([*known, str(path)]), encoding="utf-8")

    def recorded_inventories(self) -> list[str]:
        """Return the inventory files written for this testbed."""
        try:
            return json.loads(self.inventory_record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []

    # ---- Docker inside a node ----------------------------------------------------------------------------------

    def load_image(self, node: str) -> tuple[str, bool]:
        """Put a node's base image into the engine inside it; return its name there and whether it was missing."""
        found = self.containers().get(node)
        if not found:
            raise host.TestbedError(f"The testbed {self.name} has no node {node}.")
        inside = ("exec", "--interactive", found["id"], "docker")
        outer = host.docker("inspect", "--format={{.Config.Image}}", found["id"]).stdout.strip()
        if host.docker(*inside, "image", "inspect", INNER_IMAGE, check=False).returncode == 0:
            return INNER_IMAGE, False
        with subprocess.Popen([*host.docker_prefix(), "save", outer], stdout=subprocess.PIPE) as save:
            host.docker(*inside, "load", "--quiet", stdin=save.stdout)
        host.docker(*inside, "tag", outer, INNER_IMAGE)
        return INNER_IMAGE, True

    # ---- down --------------------------------------------------------------------------------------------------

    def down(self) -> bool:
        """Remove the testbed's containers with their volumes, its network, key and inventory files."""
        with host.lock(f"testbed-{self.name}"):
            ids = [container["id"] for container in self.containers().values()]
            if ids:
                host.docker("rm", "--force", "--volumes", *ids)
            network = host.docker("network", "rm", self.prefix, check=False).returncode == 0
            there = self.folder.exists()
            self.forget()
            return bool(ids) or network or there

    def remove_nodes(self, names: list[str]) -> bool:
        """Remove some nodes and leave the others."""
        with host.lock(f"testbed-{self.name}"):
            ids = [container["id"] for name, container in self.containers().items() if name in names]
            if ids:
                host.docker("rm", "--force", "--volumes", *ids)
            for name in names:
                self.known_hosts(name).unlink(missing_ok=True)
            return bool(ids)

    def forget(self) -> None:
        """Remove what the testbed wrote on this machine."""
        for path in self.recorded_inventories():
            pathlib.Path(path).unlink(missing_ok=True)
        if self.folder.exists():
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()


def testbed_names() -> list[str]:
    """Return the names of this clone's testbeds that left a container, a network or a state folder."""
    own = f"--filter=label={LABEL}.clone={host.CLONE_ID}"
    label = f'{{{{.Label "{LABEL}"}}}}'
    names = set(host.docker("ps", "--all", own, f"--format={label}").stdout.split())
    names |= set(host.docker("network", "ls", own, f"--format={label}").stdout.split())
    if host.STATE.exists():
        names |= {path.name for path in host.STATE.iterdir() if (path / "id_ed25519").exists()}
    return sorted(names)
