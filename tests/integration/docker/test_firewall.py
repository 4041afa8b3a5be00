# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall of a host with containers, whose published ports pass by the usual rules. This machine is a stranger."""

from __future__ import annotations

import socket
import subprocess
import time

import nodes
import pytest
import reach

OWN, PUBLISHED = 8333, 8890
SERVE = "python3 -m http.server"


@pytest.fixture(name="serving")
def _serving(engine):
    """Something that listens on the host, and a container that publishes a port."""
    image = f"--pull=never {nodes.INNER_IMAGE}"
    engine.shell(f"systemd-run --quiet --unit=own {SERVE} {OWN}")
    engine.shell(f"docker run --detach --name=published --publish={PUBLISHED}:80 {image} {SERVE} 80")
    ends = time.monotonic() + 20
    while reached(engine) != [22, OWN, PUBLISHED] and time.monotonic() < ends:
        time.sleep(0.2)
    yield engine
    engine.has_firewall(False)
    engine.shell("systemctl stop own; docker rm --force published")


def reached(machine):
    """Which of the ports this machine reaches."""
    return reach.ports(machine.address, (22, OWN, PUBLISHED))


def reaches_container(machine):
    """Whether this machine reaches the container at its own address, with a route as every neighbour can make one."""
    address = machine.shell("docker inspect --format '{{.NetworkSettings.IPAddress}}' published")
    route = [f"{address}/32", "via", machine.address]
    subprocess.run(["ip", "route", "add", *route], check=True)
    try:
        return reach.answers(address, 80)
    finally:
        subprocess.run(["ip", "route", "del", *route], check=True)


def test_published_ports_are_closed_too(serving):
    assert reached(serving) == [22, OWN, PUBLISHED]
    # Engines since 28 see to that themselves.
    assert reaches_container(serving)
    planned = serving.has_firewall(True, "--check", "--diff")
    assert "tcp dport { 22, 5000 } accept" in planned.output
    assert planned.changes > 0
    assert reached(serving) == [22, OWN, PUBLISHED]

    assert serving.has_firewall(True).changes > 0
    assert reached(serving) == [22]
    assert not reaches_container(serving)
    assert serving.has_firewall(True).changes == 0
    # A container reaches its host, and what is outside: this machine.
    gateway = serving.shell("ip -4 route show default | cut -d ' ' -f 3")
    with socket.create_server((gateway, 0)) as outside:
        for address, port in ((serving.address, OWN), outside.getsockname()):
            serving.shell(f"docker exec published bash -c 'exec 3<>/dev/tcp/{address}/{port}'")

    assert serving.has_firewall(True, firewall_open_ports=[PUBLISHED]).changes > 0
    assert reached(serving) == [22, PUBLISHED]
    # The distribution's own rules begin with removing all; here that would take the node's name service, too.
    serving.shell("echo 'delete table inet mlops_stack' > /etc/nftables.conf")
    for action in ("start", "reload"):
        serving.shell(f"systemctl {action} nftables")
        assert reached(serving) == [22, PUBLISHED]
    assert serving.has_firewall(False).changes > 0
    assert reached(serving) == [22, OWN, PUBLISHED]
    assert serving.has_firewall(False).changes == 0
