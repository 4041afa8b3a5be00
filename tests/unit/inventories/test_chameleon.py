# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of Chameleon, read by the real plugin from a stand-in for the cloud that gives recorded answers."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import recorded_cloud

CLONE = pathlib.Path(__file__).resolve().parents[3]
INVENTORY = CLONE / "inventories" / "chameleon"
BIN = pathlib.Path(sys.executable).parent
ALL = ["backup", "jupyter", "mlflow", "postgres", "seaweedfs"]


def ansible(folder, program, *arguments, inventory=INVENTORY):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "OS_"))}
    done = subprocess.run(
        [BIN / program, "-i", inventory, *arguments],
        cwd=CLONE,
        env=environment
        | {"OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"), "HOME": str(folder), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def read(folder, cloud, inventory=INVENTORY):
    """The inventory's groups of the stack with their hosts, and every host's variables."""
    with cloud.serve():
        cloud.write_clouds(folder / "clouds.yaml")
        done = ansible(folder, "ansible-inventory", "--list", inventory=inventory)
    assert cloud.strange == []
    assert "WARNING" not in done.stderr
    # A text that came from outside is marked as such.
    found = json.loads(done.stdout, object_hook=lambda value: value.get("__ansible_unsafe", value))
    hosts = found.pop("_meta")["hostvars"]
    return {name: sorted(group["hosts"]) for name, group in found.items() if group.get("hosts")}, hosts


@pytest.fixture(name="lease", scope="module")
def _lease(tmp_path_factory):
    """What is read where nothing but the recorded servers are there."""
    return read(tmp_path_factory.mktemp("lease"), recorded_cloud.RecordedCloud.load())


def test_groups_come_from_metadata(lease):
    groups, hosts = lease
    assert sorted(hosts) == ["localhost", "mlops-1", "mlops-2"]
    assert {name: groups[name] for name in ALL} == {
        **dict.fromkeys(ALL, ["mlops-1"]),
        "jupyter": ["mlops-1", "mlops-2"],
    }
    assert groups["chameleon"] == groups["chameleon_baremetal"] == ["mlops-1", "mlops-2"]
    assert set(groups) == {*ALL, "chameleon", "chameleon_baremetal", "ungrouped"}


def test_addresses(lease):
    _groups, hosts = lease
    first, second = hosts["mlops-1"], hosts["mlops-2"]
    assert first["ansible_host"] == first["chameleon_floating_ip"]
    assert first["ansible_host"].startswith("192.0.2.")
    assert (second["ansible_host"], second["chameleon_floating_ip"]) == (second["common_private_address"], "")
    assert all(host["common_private_address"].startswith("10.52.") for host in (first, second))


def test_what_the_stack_has_to_know(lease):
    _groups, hosts = lease
    for name in ("mlops-1", "mlops-2"):
        assert hosts[name]["ansible_user"] == "cc"
        assert hosts[name]["docker_host_gpu"] == "nvidia"
        assert hosts[name]["common_available_until"].endswith("Z")


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
    return read(tmp_path_factory.mktemp("others"), cloud)


@pytest.mark.parametrize("name", OTHERS)
def test_the_groups_of_a_server(others, name):
    groups, hosts = others
    assert [group for group in ALL if name in groups.get(group, [])] == OTHERS[name][1]
    assert name in groups["chameleon_baremetal"]
    assert (hosts[name]["docker_host_gpu"], hosts[name]["common_available_until"]) == ("none", "")


def test_a_virtual_machine(others):
    groups, hosts = others
    assert groups["chameleon_kvm"] == ["virtual"]
    assert "virtual" not in groups["chameleon_baremetal"]
    assert hosts["virtual"]["docker_host_gpu"] == "amd"


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
    with cloud.serve():
        cloud.write_clouds(tmp_path / "clouds.yaml", "uc")
        argument = "msg={{ inventory_hostname }}:{{ chameleon_cloud }}/{{ chameleon_lease }}:{{ %s | default('') }}:"
        argument %= "ansible_ssh_common_args"
        said = ansible(tmp_path, "ansible", "all", "-m", "ansible.builtin.debug", "-a", argument, inventory=mine).stdout
    jump = "-o ProxyJump=cc@192.0.2."
    assert "msg: 'localhost:uc/thesis::'" in said
    assert "msg: 'mlops-1:uc/thesis::'" in said
    assert f"msg: 'mlops-2:uc/thesis:{jump}" in said
    assert f"msg: 'mlops-3:uc/thesis:{jump}" in said


def test_no_floating_ip_at_all(tmp_path):
    cloud = recorded_cloud.RecordedCloud.load()
    cloud.servers[:] = [server for server in cloud.servers if server["name"] == "mlops-2"]
    with cloud.serve():
        cloud.write_clouds(tmp_path / "clouds.yaml")
        argument = "msg=:{{ chameleon_gateway }}:{{ ansible_ssh_common_args }}:"
        said = ansible(tmp_path, "ansible", "chameleon", "-m", "ansible.builtin.debug", "-a", argument).stdout
    assert "msg: ':::'" in said
