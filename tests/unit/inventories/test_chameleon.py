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
    assert {host["common_private_address"].rpartition(".")[0] for host in (first, second)} <= {"10.52.0", "10.52.1"}


def test_what_the_stack_has_to_know(lease):
    _groups, hosts = lease
    for name in ("mlops-1", "mlops-2"):
        assert hosts[name]["ansible_user"] == "cc"
        assert hosts[name]["docker_host_gpu"] == "nvidia"
        assert hosts[name]["common_available_until"].endswith("Z")


@pytest.mark.parametrize(
    ("name", "metadata", "groups"),
    [
        ("mlops-mlflow-3", {}, ["mlflow"]),
        ("mlops-jupyter-mlflow", {}, ["jupyter", "mlflow"]),
        ("mlops-mlflow-3", {"mlops_stack_groups": " postgres, backup "}, ["backup", "mlflow", "postgres"]),
        ("mlops-3", {"mlops_stack_groups": "control,jupyter"}, ["jupyter"]),
        ("mlops-3", {}, []),
        ("mlops-3", {"mlops_stack_groups": ""}, []),
    ],
)
def test_the_groups_of_a_server(tmp_path, name, metadata, groups):
    cloud = recorded_cloud.RecordedCloud.load()
    cloud.servers[-1] |= {"name": name, "metadata": metadata}
    found, hosts = read(tmp_path, cloud)
    assert [group for group in ALL if name in found.get(group, [])] == groups
    assert (hosts[name]["docker_host_gpu"], hosts[name]["common_available_until"]) == ("none", "")


def test_virtual_machines(tmp_path):
    cloud = recorded_cloud.RecordedCloud.load()
    for server in cloud.servers:
        server["metadata"]["mlops_stack_hardware"] = "kvm"
    groups, _hosts = read(tmp_path, cloud)
    assert groups["chameleon_kvm"] == ["mlops-1", "mlops-2"]
    assert "chameleon_baremetal" not in groups


def test_nodes_without_a_floating_ip_are_reached_through_the_first_that_has_one(tmp_path):
    cloud = recorded_cloud.RecordedCloud.load()
    cloud.multiply(3)
    with cloud.serve():
        cloud.write_clouds(tmp_path / "clouds.yaml")
        argument = "msg={{ inventory_hostname }}:{{ ansible_ssh_common_args }}:"
        said = ansible(tmp_path, "ansible", "chameleon", "-m", "ansible.builtin.debug", "-a", argument).stdout
    address = next(
        found["addr"] for found in cloud.servers[0]["addresses"]["sharednet1"] if found["OS-EXT-IPS:type"] == "floating"
    )
    jump = f"-o ProxyJump=cc@{address}"
    assert [f"mlops-{number}:{jump if number > 1 else ''}:" in said for number in (1, 2, 3)] == [True] * 3


def test_no_floating_ip_at_all(tmp_path):
    cloud = recorded_cloud.RecordedCloud.load()
    cloud.servers[:] = cloud.servers[1:]
    with cloud.serve():
        cloud.write_clouds(tmp_path / "clouds.yaml")
        said = ansible(tmp_path, "ansible", "chameleon", "-m", "ansible.builtin.debug", "-a", "var=chameleon_gateway")
    assert "ProxyJump" not in said.stdout
    assert "chameleon_gateway: ''" in said.stdout


def test_a_copy_takes_its_names_with_it(tmp_path):
    """Both names are edited in one file, and the playbooks know them."""
    mine = tmp_path / "mine"
    shutil.copytree(INVENTORY, mine)
    source = mine / "openstack.yaml"
    text = source.read_text(encoding="utf-8")
    edited = text.replace("only_clouds: [openstack]", "only_clouds: [uc]").replace("tags: mlops", "tags: thesis")
    source.write_text(edited, encoding="utf-8")
    cloud = recorded_cloud.RecordedCloud.load()
    question = cloud.key_of(recorded_cloud.SERVERS)
    cloud.answers[question.replace("tags=mlops", "tags=thesis")] = cloud.answers.pop(question)
    with cloud.serve():
        cloud.write_clouds(tmp_path / "clouds.yaml", "uc")
        argument = "msg={{ chameleon_cloud }}/{{ chameleon_lease }}/{{ groups.chameleon | length }}"
        said = ansible(tmp_path, "ansible", "localhost", "-m", "ansible.builtin.debug", "-a", argument, inventory=mine)
    assert "uc/thesis/2" in said.stdout
