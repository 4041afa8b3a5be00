# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml with the inventory of Chameleon, on two bare machines of which one has a floating IP.

Stand-ins: the cloud gives recorded answers, with the addresses of two nodes in them; the floating IP is a second
address of a node's own interface. Everything else is real: the plugin, ssh through the first machine, the stack, its
firewall.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import subprocess
import urllib.request
import uuid

import ansible_playbook
import host
import nodes
import pytest
import reach
import recorded_cloud
from site_runs import bring_up, take_down

TESTBED = "itest-lease"
GROUPS = {"mlops-1": "postgres,mlflow", "mlops-2": "seaweedfs"}
# What the images have: the account, the key that the servers were launched with.
ACCOUNT = """
useradd --create-home --shell /bin/bash cc
echo 'cc ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/cc
install --directory --owner=cc --group=cc --mode=0700 /home/cc/.ssh
install --owner=cc --group=cc --mode=0600 ~ops/.ssh/authorized_keys /home/cc/.ssh/authorized_keys
"""


class Lease:
    """Two machines as a lease has them, and a copy of the inventory to reach them with."""

    def __init__(self, folder, machines, floating):
        self.folder = folder
        self.machines = machines
        self.floating = floating
        self.inventory = folder / "chameleon"
        shutil.copytree(host.CLONE / "inventories" / "chameleon", self.inventory)
        self.cloud = recorded_cloud.RecordedCloud.load()
        # By which ssh remembers the servers.
        self.numbers = []
        self.describe()

    def describe(self):
        """Let the cloud's answers tell of the machines, which are new ones."""
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=20)
        for server in self.cloud.servers:
            name = server["name"]
            server["id"] = str(uuid.uuid4())
            self.numbers.append(server["id"])
            server["metadata"] |= {
                "mlops_stack_groups": GROUPS[name],
                "mlops_stack_gpu": "none",
                "mlops_stack_available_until": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for address in server["addresses"]["sharednet1"]:
                kind = address["OS-EXT-IPS:type"]
                address["addr"] = self.machines[name].address if kind == "fixed" else self.floating

    def run(self, playbook, *options):
        """Run a playbook as the README says it, with ssh's agent and nothing else, and return its outcome."""
        clouds = self.folder / "clouds.yaml"
        with self.cloud.serve():
            self.cloud.write_clouds(clouds)
            with variables(OS_CLIENT_CONFIG_FILE=str(clouds)):
                return ansible_playbook.run(str(playbook), [self.inventory], options)


@contextlib.contextmanager
def variables(**values):
    """Environment variables, for everything that runs meanwhile."""
    kept = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def agent(key):
    """ssh's agent with one key in it, for everything that runs meanwhile."""
    said = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True).stdout
    own = dict(part.split("=", 1) for part in said.replace("\n", ";").split(";") if "=" in part)
    with variables(**own):
        try:
            subprocess.run(["ssh-add", "-q", str(key)], check=True)
            yield
        finally:
            subprocess.run(["ssh-agent", "-k"], check=True, capture_output=True)


@pytest.fixture(scope="module", name="lease")
def _lease(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lease")
    machines = bring_up(TESTBED, folder / "hosts.yml", dict.fromkeys(GROUPS, ("trixie", [])))
    for machine in machines.values():
        machine.shell(ACCOUNT)
    first, second = machines["mlops-1"], machines["mlops-2"]
    network = ipaddress.ip_network(first.shell("ip -4 route show scope link | cut -d ' ' -f 1"))
    floating = str(network.broadcast_address - 1)
    first.shell(f"ip address add {floating}/{network.prefixlen} dev eth0")
    # Nobody outside reaches a server without a floating IP: here that is this machine.
    outside = second.shell("ip -4 route show default | cut -d ' ' -f 3")
    second.shell(f"ip route add blackhole {outside}/32")
    found = Lease(folder, machines, floating)
    with agent(nodes.Testbed(TESTBED).key):
        yield found
    for number in found.numbers:
        subprocess.run(["ssh-keygen", "-R", number], check=True, capture_output=True)
    take_down(TESTBED, machines)


def test_the_first_command_and_the_second(lease):
    assert not reach.answers(lease.machines["mlops-2"].address, 22)
    first = lease.run("site.yml")
    assert first.status == 0, first.failures
    second = lease.run("site.yml")
    assert (second.status, second.changes) == (0, 0), second.failures or second.output
    client = (lease.inventory / ".secrets" / "client.env").read_text(encoding="utf-8")
    assert f"export MLFLOW_TRACKING_URI=http://{lease.floating}:5000\n" in client
    with urllib.request.urlopen(f"http://{lease.floating}:5000/health", timeout=10) as answer:
        assert answer.status == 200


def test_a_run_is_logged(lease):
    options = ["--extra-vars", json.dumps({"verify_artifact_mb": 1, "verify_restart": False})]
    outcome = lease.run(host.CLONE / "playbooks" / "verify.yml", *options)
    assert (outcome.status, outcome.failures) == (0, [])


def test_bare_metal_keeps_its_ports_closed(lease):
    first = lease.machines["mlops-1"]
    assert reach.ports(first.address, (22, 5000, 5432)) == [22, 5000]
    assert reach.ports(lease.floating, (22, 5000, 5432)) == [22, 5000]
    # Whoever is on the site's network, for which this machine stands here, and who is of the lease.
    second = lease.machines["mlops-2"]
    second.shell("ip route del blackhole $(ip -4 route show default | cut -d ' ' -f 3)/32")
    assert reach.ports(second.address, (22, 8333, 8888)) == [22]
    first.shell(f"exec 3<>/dev/tcp/{second.address}/8333")


def test_a_server_that_took_the_address_of_an_earlier_one(lease):
    """The same server with another key is refused; another server with the same address is let in."""
    lease.machines["mlops-1"].shell("rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl restart ssh")
    ping = lease.folder / "ping.yml"
    ping.write_text("- hosts: mlops-1\n  gather_facts: false\n  tasks: [{ansible.builtin.ping: }]\n", encoding="utf-8")
    # Not by a connection that is open already.
    with variables(ANSIBLE_SSH_ARGS="-o ControlMaster=no -o ControlPath=none"):
        assert "IDENTIFICATION HAS CHANGED" in lease.run(ping).failure
        lease.describe()
        outcome = lease.run(ping)
    assert outcome.status == 0, outcome.failures
