# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of Chameleon, read by the real plugin from a stand-in for the cloud that gives recorded answers."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest
import recorded_cloud

CLONE = pathlib.Path(__file__).resolve().parents[3]
INVENTORY = CLONE / "inventories" / "chameleon"
BIN = pathlib.Path(sys.executable).parent
ALL = ["backup", "jupyter", "mlflow", "postgres", "seaweedfs"]


# What Ansible makes of a server, once it is asked.
KNOWN = (
    "{{ {'groups': group_names, 'user': ansible_user | default(''), 'host': ansible_host | default(''),"
    " 'private': common_private_address | default(''), 'floating': chameleon_floating_ip | default(''),"
    " 'until': common_available_until | default(''), 'gpu': docker_host_gpu | default(''),"
    " 'ssh': ansible_ssh_common_args | default(''), 'firewall': firewall_enabled | default(none),"
    " 'lease': chameleon_cloud ~ '/' ~ chameleon_lease if chameleon_lease is defined else ''} }}"
)


def run(folder, program, *arguments, inventory=INVENTORY):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "OS_"))}
    own = {
        "OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"),
        "HOME": str(folder),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    done = subprocess.run(
        [BIN / program, "-i", inventory, *arguments],
        cwd=CLONE,
        env=environment | own,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return json.loads(done.stdout)


def ask(folder, cloud, inventory=INVENTORY, name="openstack"):
    """What Ansible knows of every host."""
    with cloud.serve():
        cloud.write_clouds(folder / "clouds.yaml", name)
        said = run(folder, "ansible", "all", "-m", "ansible.builtin.debug", "-a", "msg=" + KNOWN, inventory=inventory)
    assert cloud.strange == []
    return {name: result["msg"] for name, result in said["plays"][0]["tasks"][0]["hosts"].items()}


@pytest.fixture(name="lease", scope="module")
def _lease(tmp_path_factory):
    """What is known where nothing but the recorded servers are there."""
    return ask(tmp_path_factory.mktemp("lease"), recorded_cloud.RecordedCloud.load())


def test_the_inventory_lists_the_lease(tmp_path):
    cloud = recorded_cloud.RecordedCloud.load()
    with cloud.serve():
        cloud.write_clouds(tmp_path / "clouds.yaml")
        found = run(tmp_path, "ansible-inventory", "--list")
    assert sorted(found["_meta"]["hostvars"]) == ["localhost", "mlops-1", "mlops-2"]
    assert {name: found[name]["hosts"] for name in ALL[2:]} == dict.fromkeys(ALL[2:], ["mlops-1"])


def test_groups_come_from_metadata(lease):
    assert lease["mlops-1"]["groups"] == [*ALL[:1], "chameleon", "chameleon_baremetal", *ALL[1:]]
    assert lease["mlops-2"]["groups"] == ["chameleon", "chameleon_baremetal", "jupyter"]
    assert lease["localhost"]["groups"] == ["control"]


def test_addresses(lease):
    first, second = lease["mlops-1"], lease["mlops-2"]
    assert first["host"] == first["floating"]
    assert first["host"].startswith("192.0.2.")
    assert (second["host"], second["floating"]) == (second["private"], "")
    assert all(host["private"].startswith("10.52.") for host in (first, second))


def test_what_the_stack_has_to_know(lease):
    for name in ("mlops-1", "mlops-2"):
        assert (lease[name]["user"], lease[name]["gpu"]) == ("cc", "nvidia")
        assert lease[name]["until"].endswith("Z")


# Servers that somebody else started: by name, their metadata and their groups of the stack.
OTHERS = {
    "mlops-mlflow-3": ({}, ["mlflow"]),
    "jupyter-mlflow": ({}, ["jupyter", "mlflow"]),
    "mlops-backup-4": ({"mlops_stack_groups": " postgres, mlflow "}, ["backup", "mlflow", "postgres"]),
    "mlops-5": ({"mlops_stack_groups": "control,jupyter"}, ["jupyter"]),
    "mlops-6": ({}, []),
    "mlops-7": ({"mlops_stack_groups": ""}, []),
}


@pytest.fixture(name="others", scope="module")
def _others(tmp_path_factory):
    """What is read where there are those as well, and a virtual machine."""
    cloud = recorded_cloud.RecordedCloud.load()
    for name, (metadata, _groups) in OTHERS.items():
        cloud.add(name, metadata=metadata)
    cloud.add("virtual", metadata={"mlops_stack_hardware": "kvm", "mlops_stack_gpu": "amd"})
    return ask(tmp_path_factory.mktemp("others"), cloud)


@pytest.mark.parametrize("name", OTHERS)
def test_the_groups_of_a_server(others, name):
    assert [group for group in others[name]["groups"] if group in ALL] == OTHERS[name][1]
    assert "chameleon_baremetal" in others[name]["groups"]
    assert (others[name]["gpu"], others[name]["until"]) == ("none", "")


def test_a_virtual_machine(others):
    assert others["virtual"]["groups"] == ["chameleon", "chameleon_kvm"]
    # It has security groups; bare metal has none.
    assert (others["virtual"]["firewall"], others["mlops-1"]["firewall"]) == (None, True)
    assert others["virtual"]["gpu"] == "amd"


def test_a_copy_knows_its_names_and_how_its_servers_are_reached(tmp_path):
    """Both names are edited in one file; servers without a floating IP are reached through the one that has it."""
    mine = tmp_path / "mine"
    shutil.copytree(INVENTORY, mine)
    source = mine / "openstack.yaml"
    text = source.read_text(encoding="utf-8")
    edited = text.replace("only_clouds: [openstack]", "only_clouds: [uc]").replace("tags: mlops", "tags: thesis")
    source.write_text(edited, encoding="utf-8")
    cloud = recorded_cloud.RecordedCloud.load()
    cloud.add("mlops-3")
    question = cloud.key_of(recorded_cloud.SERVERS)
    cloud.answers[question.replace("tags=mlops", "tags=thesis")] = cloud.answers.pop(question)
    hosts = ask(tmp_path, cloud, mine, "uc")
    assert {name: host["lease"] for name, host in hosts.items() if host["lease"]} == {"localhost": "uc/thesis"}
    numbers = {server["name"]: server["id"] for server in cloud.servers}
    known = {name: f"-o StrictHostKeyChecking=accept-new -o HostKeyAlias={number}" for name, number in numbers.items()}
    gateway = ["-p", "22", "-W", "%h:%p", "cc@" + hosts["mlops-1"]["floating"]]
    jump = shlex.join(["ssh", *known["mlops-1"].split(), *gateway])
    assert {name: shlex.split(host["ssh"]) for name, host in hosts.items()} == {
        "localhost": [],
        "mlops-1": known["mlops-1"].split(),
        "mlops-2": [*known["mlops-2"].split(), "-o", f"ProxyCommand={jump}"],
        "mlops-3": [*known["mlops-3"].split(), "-o", f"ProxyCommand={jump}"],
    }


def test_no_floating_ip_at_all(tmp_path):
    cloud = recorded_cloud.RecordedCloud.load()
    cloud.servers[:] = [server for server in cloud.servers if server["name"] == "mlops-2"]
    second = ask(tmp_path, cloud)["mlops-2"]
    known = f"-o StrictHostKeyChecking=accept-new -o HostKeyAlias={cloud.servers[0]['id']}"
    assert (second["floating"], second["ssh"], second["host"]) == ("", known, second["private"])
