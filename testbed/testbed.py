# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bare machines on one machine: nodes with systemd and sshd in containers, to deploy to and to test on.

    python3 testbed/testbed.py up --name demo --node db1 --node old1:bookworm --inventory FILE --group postgres=db1
    python3 testbed/testbed.py list
    python3 testbed/testbed.py down --name demo
    python3 testbed/testbed.py purge

All names carry a hash of the clone's path, so clones beside each other do not meet. Only Python's standard library
and the docker command are used. TESTBED_MIRROR names another mirror of Debian's packages for the base images.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import shutil
import signal
import sys

import engine
import host
import image
import nodes

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


def main() -> int:
    """Run one command and return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_ignored: sys.exit(143))
    arguments = parse(sys.argv[1:])
    try:
        return arguments.command(arguments)
    except host.TestbedError as failure:
        print(f"testbed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("testbed: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="testbed.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    up = commands.add_parser("up", help="bring nodes up; what is up already is left alone")
    up.add_argument("--name", type=name, required=True, help="the testbed's name")
    up.add_argument(
        "--node",
        action="append",
        required=True,
        metavar="NODE[:SUITE]",
        help=f"a node and its Debian release, one of {', '.join(image.SUITES)}; trixie when not given",
    )
    up.add_argument(
        "--docker-arg",
        action="append",
        default=[],
        metavar="NODE=ARG",
        help="one more argument of `docker create` for a node, such as db1=--memory=2g",
    )
    up.add_argument(
        "--docker-inside",
        action="append",
        default=[],
        metavar="NODE",
        help="a node that can run Docker Engine: with a volume for its data, and its variables in the inventory",
    )
    up.add_argument("--inventory", type=pathlib.Path, help="an inventory file to write")
    up.add_argument("--group", action="append", default=[], metavar="GROUP=NODE[,NODE]", help="a group in it")
    up.set_defaults(command=command_up)
    down = commands.add_parser("down", help="remove a testbed, or some of its nodes")
    down.add_argument("--name", type=name, required=True)
    down.add_argument("--node", action="append", default=[], help="remove this node only")
    down.set_defaults(command=command_down)
    load = commands.add_parser("load-image", help="put a node's own base image into the Docker Engine inside it")
    load.add_argument("--name", type=name, required=True)
    load.add_argument("--node", required=True)
    load.set_defaults(command=command_load_image)
    listing = commands.add_parser("list", help="show this clone's testbeds")
    listing.set_defaults(command=command_list)
    purge = commands.add_parser("purge", help="remove all that this clone's testbeds made")
    purge.set_defaults(command=command_purge)
    return parser.parse_args(arguments)


def name(text: str) -> str:
    """Check the name of a testbed or a node."""
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: use a-z, 0-9 and -, at most 31 of them")
    return text


def read_nodes(arguments: argparse.Namespace) -> list[nodes.Node]:
    """Return the nodes asked for."""
    wanted: dict[str, str] = {}
    for text in arguments.node:
        node, _colon, suite = text.partition(":")
        if not NAME.fullmatch(node):
            raise host.TestbedError(f"--node {text}: {node!r} is no name: use a-z, 0-9 and -, at most 31 of them.")
        if (suite or "trixie") not in image.SUITES:
            raise host.TestbedError(f"--node {text}: the Debian release is one of {', '.join(image.SUITES)}.")
        wanted[node] = suite or "trixie"
    flags: dict[str, list[str]] = {}
    for text in arguments.docker_arg:
        node, _equals, flag = text.partition("=")
        if node not in wanted or not flag.startswith("-"):
            raise host.TestbedError(
                f"--docker-arg {text}: give NODE=ARG with one of the nodes, such as db1=--memory=2g."
            )
        flags.setdefault(node, []).append(flag)
    strange = [node for node in arguments.docker_inside if node not in wanted]
    if strange:
        raise host.TestbedError(f"--docker-inside {strange[0]}: give one of the nodes.")
    return [
        nodes.Node(node, suite, tuple(flags.get(node, ())), node in arguments.docker_inside)
        for node, suite in wanted.items()
    ]


def read_groups(texts: list[str], known: set[str]) -> dict[str, list[str]]:
    """Return the inventory's groups and their members."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        group, _equals, members = text.partition("=")
        groups[group] = [member for member in members.split(",") if member]
        strange = [member for member in groups[group] if member not in known]
        if not group.isidentifier() or strange:
            raise host.TestbedError(f"--group {text}: give GROUP=NODE[,NODE] with nodes of this testbed.")
    return groups


def command_up(arguments: argparse.Namespace) -> int:
    """Bring a testbed up."""
    wanted = read_nodes(arguments)
    groups = read_groups(arguments.group, {node.name for node in wanted})
    engine.ensure()
    testbed = nodes.Testbed(arguments.name)
    changed, up = testbed.up(wanted)
    if arguments.inventory:
        variables = {node.name: nodes.DOCKER_VARIABLES for node in wanted if node.docker_inside}
        changed |= testbed.write_inventory(arguments.inventory, up, groups, variables)
    addresses = ", ".join(f"{node} {container['address']}" for node, container in up.items())
    host.say(f"testbed {arguments.name}: {addresses}{'' if changed else '; nothing changed'}")
    return 0


def command_down(arguments: argparse.Namespace) -> int:
    """Remove a testbed or some of its nodes."""
    if not engine.answers():
        raise host.TestbedError("No Docker Engine answers, so no testbed runs; `make clean` sweeps the rest.")
    testbed = nodes.Testbed(arguments.name)
    removed = testbed.remove_nodes(arguments.node) if arguments.node else testbed.down()
    host.say(f"testbed {arguments.name}: {'removed' if removed else 'nothing to remove'}")
    return 0


def command_load_image(arguments: argparse.Namespace) -> int:
    """Put a node's base image into the engine inside it, so that images can be built from it without a registry."""
    image_name, changed = nodes.Testbed(arguments.name).load_image(arguments.node)
    host.say(f"{arguments.node} has the image {image_name}{'' if changed else '; nothing changed'}")
    return 0


def command_list(_arguments: argparse.Namespace) -> int:
    """Show this clone's nodes."""
    if engine.answers():
        for testbed in nodes.testbed_names():
            for node, container in sorted(nodes.Testbed(testbed).containers().items()):
                print(f"{testbed:16} {node:16} {container['suite']:10} {container['status']:10} {container['address']}")
    return 0


def command_purge(_arguments: argparse.Namespace) -> int:
    """Remove every container, volume, network, image, key and state file of this clone."""
    stays = ""
    if host.STATE.exists() and host.find_command("dockerd") and not engine.answers():
        engine.ensure()
    if engine.answers():
        for testbed in nodes.testbed_names():
            nodes.Testbed(testbed).down()
            host.say(f"testbed {testbed}: removed")
        repository = f"{host.PREFIX}-node"
        images = host.docker("images", "--format={{.Repository}}:{{.Tag}}", repository).stdout.split()
        if images:
            host.docker("rmi", "--force", *images)
            host.say(f"{len(images)} base image(s): removed")
        stays = engine.stop()
    image.sweep_leftovers()
    if host.STATE.exists():
        shutil.rmtree(host.STATE)
    host.say(stays or "nothing of this clone's testbeds is left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
