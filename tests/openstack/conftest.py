# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack's own services in one node (a stand-in for Chameleon, see stand.py), and the playbooks run against them."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import ansible_playbook
import host
import nodes
import openstack
import pytest
import yaml

TESTBED = "openstack"
PROGRAM = [sys.executable, str(host.CLONE / "testbed" / "testbed.py")]
BIN = pathlib.Path(sys.executable).parent
STAND = pathlib.Path(__file__).with_name("stand.py")
REGION = "CHI@UC"


class Site:
    """A user's folder: clouds.yaml, a key, and a copy of the inventory."""

    def __init__(self, folder, made):
        self.folder = folder
        self.made = made
        self.clouds = folder / "clouds.yaml"
        self.key = folder / "id_ed25519.pub"
        self.clouds.write_text(yaml.safe_dump({"clouds": self.entries()}), encoding="utf-8")
        self.key.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2Uf8mZ0v6x0g0b5b7pXbm3Y3wPZ5bXo7gT1l0J9q0X me\n")
        self.inventory = self.copy("restricted")

    def entries(self):
        """What stands in clouds.yaml, by name."""

        def entry(auth, kind, region=REGION, port=5000):
            url = f"http://{self.made['address']}:{port}/v3"
            return {"auth": {"auth_url": url, **auth}, "auth_type": kind, "region_name": region}

        def application(name, **more):
            own = self.made[name]
            auth = {"application_credential_id": own["id"], "application_credential_secret": own["secret"]}
            return entry(auth, "v3applicationcredential", **more)

        login = {
            "username": "researcher",
            "password": self.made["password"],
            "project_name": "CHI-000000",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        return {
            "openstack": entry(login, "password"),
            "restricted": application("restricted"),
            "unrestricted": application("unrestricted"),
            "expired": application("expired"),
            "wrong": entry({**login, "password": "wrong"}, "password"),
            "away": application("restricted", port=5999),
            "edge": entry(login, "password", region="CHI@Edge"),
        }

    def copy(self, cloud, **changes):
        """A copy of the inventory for a cloud, with other top-level settings of openstack.yaml."""
        target = self.folder / f"inventory-{cloud}-{len(changes)}"
        if not target.exists():
            shutil.copytree(host.CLONE / "inventories" / "chameleon", target)
            source = target / "openstack.yaml"
            settings = yaml.safe_load(source.read_text(encoding="utf-8")) | {"only_clouds": [cloud]} | changes
            source.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return target

    def run(self, program, *arguments, inventory=None, clouds=None):
        """Run one of Ansible's programs as a user does, in the clone."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "ANSIBLE_"))}
        environment |= {
            "OS_CLIENT_CONFIG_FILE": str(clouds or self.clouds),
            "HOME": str(self.folder),
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            **ansible_playbook.JSON,
        }
        return subprocess.run(
            [BIN / program, "-i", inventory or self.inventory, *arguments],
            cwd=host.CLONE,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def play(self, name, *options, **variables):
        """Run one of the playbooks for Chameleon."""
        inventory, clouds = variables.pop("inventory", None), variables.pop("clouds", None)
        values = {"chameleon_public_key_file": str(self.key), "chameleon_lease_timeout": 120, **variables}
        done = self.run(
            "ansible-playbook",
            f"playbooks/chameleon/{name}.yml",
            *options,
            "--extra-vars",
            json.dumps(values),
            inventory=inventory,
            clouds=clouds,
        )
        return ansible_playbook.outcome(done)

    def hosts(self, inventory=None):
        """What the inventory says: groups, and every server's variables once they are asked for."""
        done = self.run("ansible-inventory", "--list", inventory=inventory)
        assert done.returncode == 0, done.stderr
        groups = json.loads(done.stdout)
        names = ("ansible_host", "ansible_user", "common_private_address", "common_available_until")
        wanted = [*names, "docker_host_gpu", "chameleon_floating_ip", "ansible_ssh_common_args", "chameleon_host_key"]
        message = "{{ {%s} }}" % ", ".join(f"'{name}': {name}" for name in wanted)
        if "chameleon" not in groups:
            return groups, {}
        arguments = ("chameleon", "-m", "ansible.builtin.debug", "-a", f"msg={message}")
        said = json.loads(self.run("ansible", *arguments, inventory=inventory).stdout)
        return groups, {name: result["msg"] for name, result in said["plays"][0]["tasks"][0]["hosts"].items()}

    def connection(self):
        """The researcher's own connection, to look at what is really there."""
        entry = self.entries()["openstack"]
        return openstack.connect(**entry["auth"], region_name=REGION)

    def leases(self):
        """The names of the leases."""
        connection = self.connection()
        answer = connection.session.get(connection.endpoint_for("reservation") + "/leases")
        return sorted(lease["name"] for lease in answer.json()["leases"])

    def servers(self):
        """The names of the servers."""
        return sorted(server.name for server in self.connection().compute.servers())


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    subprocess.run([*PROGRAM, "up", "--name", TESTBED, "--node", "cloud:trixie"], check=True, timeout=600)
    container = nodes.Testbed(TESTBED).containers()["cloud"]["id"]
    host.docker("cp", str(STAND), f"{container}:/root/stand.py")
    for step in ("install", "start"):
        done = host.docker("exec", container, "python3", "/root/stand.py", step, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout)
    made = json.loads(host.docker("exec", container, "cat", "/root/stand.json").stdout)
    yield Site(tmp_path_factory.mktemp("user"), made)
    subprocess.run([*PROGRAM, "down", "--name", TESTBED], check=True, timeout=120)
