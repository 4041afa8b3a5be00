# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease from its reservation to its release. The tests are one story, in the order in which they stand here.

Only the lease itself is made with a password. All else is done with an application credential, as users have one.
"""

from __future__ import annotations

import datetime
import shlex

import pytest

TWO = {"chameleon_node_count": 2}
SERVERS = ["mlops-1", "mlops-2"]
STACK = ["backup", "jupyter", "mlflow", "postgres", "seaweedfs"]


def reserve(site, *options, inventory=None, **variables):
    return site.play("reserve", *options, inventory=inventory or site.copy("openstack"), **variables)


def in_hours(hours):
    now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    return (now + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---- Before there is a lease ------------------------------------------------------------------------------------


def test_no_clouds_yaml(site):
    outcome = reserve(site, clouds=site.folder / "absent.yaml")
    assert outcome.failure.startswith("There is no clouds.yaml in this folder")


@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        ("chi_uc", "clouds.yaml has no cloud chi_uc, only away, edge, expired, openstack, restricted, unrestricted, "),
        ("expired", "The cloud expired refuses the credential in clouds.yaml: it has expired, was deleted or is wrong"),
        ("wrong", "The cloud wrong refuses the credential in clouds.yaml: it has expired, was deleted or is wrong"),
        ("away", "The cloud away cannot be reached: "),
        # Keystone hands the rights of neither on.
        ("restricted", "The cloud restricted makes no lease with this application credential, because that may not"),
        ("unrestricted", "The cloud unrestricted makes no lease with this application credential, because that may"),
    ],
)
def test_a_cloud_that_makes_no_lease(site, cloud, words):
    outcome = reserve(site, inventory=site.copy(cloud))
    assert words in outcome.failure
    assert site.leases() == []


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"chameleon_node_type": "gpu_h100"},
            "The cloud openstack has no nodes of the type gpu_h100, only of compute_liqid: correct node_type.",
        ),
        ({"chameleon_node_count": 3}, "The cloud openstack has no 3 free nodes of compute_liqid from now until "),
        ({"chameleon_floating_ips": 3}, "The cloud openstack has too few floating IPs free at that time"),
        ({"chameleon_lease_end": "2020-01-01T00:00:00Z"}, "The lease mlops would end at 2020-01-01T00:00:00Z, before"),
        ({"chameleon_lease_end": "tomorrow"}, "end is tomorrow, which is no time: write it as"),
        ({"chameleon_floating_network": "internet"}, "The cloud openstack has no network named internet: correct"),
    ],
)
def test_a_reservation_that_cannot_be(site, variables, words):
    assert reserve(site, **variables).failure.startswith(words)
    assert site.leases() == []


@pytest.mark.parametrize("playbook", ["launch", "extend"])
def test_a_lease_that_is_not_there(site, playbook):
    outcome = site.play(playbook, chameleon_lease_end=in_hours(30))
    assert outcome.failure.startswith("There is no lease mlops: correct the name, or reserve it")


def test_an_inventory_of_no_servers(site):
    found, _hosts = site.hosts()
    assert not {"chameleon", *STACK} & set(found)


# ---- The lease --------------------------------------------------------------------------------------------------


def test_reserve(site):
    outcome = reserve(site, "--check", "--diff", **TWO)
    assert (outcome.status, outcome.changes, site.leases()) == (0, 1, []), outcome.output
    outcome = reserve(site, **TWO)
    assert (outcome.status, outcome.changes, site.leases()) == (0, 1, ["mlops"]), outcome.output
    outcome = reserve(site, **TWO)
    assert (outcome.status, outcome.changes) == (0, 0), outcome.output


def test_a_lease_is_not_turned_into_another(site):
    outcome = reserve(site, chameleon_node_count=1)
    assert "its number of nodes is 2, not 1" in outcome.failure


def test_a_site_without_volumes(site):
    outcome = site.play("launch", inventory=site.copy("edge"), **TWO)
    assert outcome.status != 0
    assert outcome.failures[-1].startswith("The cloud edge has no volume service that answers, and without one the")
    assert site.servers() == []


def test_launch(site):
    assert "no image CC-Debian" in site.play("launch", chameleon_image="CC-Debian", **TWO).failure
    assert "There is no file /absent.pub" in site.play("launch", **TWO, chameleon_public_key_file="/absent.pub").failure
    outcome = site.play("launch", "--check", "--diff", **TWO)
    assert (outcome.status, outcome.changes > 0, site.servers()) == (0, True, []), outcome.output
    outcome = site.play("launch", **TWO)
    assert (outcome.status, site.servers()) == (0, SERVERS), outcome.output
    outcome = site.play("launch", **TWO)
    assert (outcome.status, outcome.changes) == (0, 0), outcome.output


def test_inventory(site):
    graph = site.run("ansible-inventory", "--graph")
    assert graph.returncode == 0, graph.stderr
    assert "WARNING" not in graph.stderr
    found, hosts = site.hosts()
    assert sorted(found["chameleon"]["hosts"]) == SERVERS
    assert found["chameleon_baremetal"]["hosts"] == found["chameleon"]["hosts"]
    assert {group: sorted(found[group]["hosts"]) for group in STACK} == {
        **dict.fromkeys(STACK, ["mlops-1"]),
        "jupyter": SERVERS,
    }
    first, second = (hosts[name] for name in SERVERS)
    assert first["ansible_host"] == first["chameleon_floating_ip"]
    assert first["ansible_host"].startswith("192.0.2.20")
    assert second["chameleon_floating_ip"] == ""
    assert second["ansible_host"] == second["common_private_address"]
    for variables in (first, second):
        assert variables["ansible_user"] == "cc"
        assert variables["docker_host_gpu"] == "nvidia"
        assert variables["common_private_address"].startswith("10.52.")
        assert in_hours(23) < variables["common_available_until"] <= in_hours(24)


def test_nodes_without_a_floating_ip_are_reached_through_the_first(site):
    _found, hosts = site.hosts()
    first, second = (hosts[name]["chameleon_host_key"] for name in SERVERS)
    jump = shlex.quote(f"ssh {first} -p 22 -W %h:%p cc@{hosts['mlops-1']['ansible_host']}")
    known = [first, f"{second} -o ProxyCommand={jump}"]
    assert [hosts[name]["ansible_ssh_common_args"] for name in SERVERS] == known


def test_a_site_without_volumes_has_an_inventory_all_the_same(site):
    found, _hosts = site.hosts(site.copy("edge", expand_hostvars=False))
    assert sorted(found["chameleon"]["hosts"]) == SERVERS


def test_the_lease_of_somebody_else_is_not_seen(site):
    found, _hosts = site.hosts(site.copy("openstack", server_filters={"tags": "mlop"}))
    assert "chameleon" not in found


def test_extend(site):
    assert site.play("extend").failure.startswith("Say until when the lease is to last")
    end = in_hours(48)
    for number, (options, changed) in enumerate([(["--check", "--diff"], 2), ([], 2), ([], 0)]):
        outcome = site.play("extend", *options, chameleon_lease_end=end)
        assert (outcome.status, outcome.changes) == (0, changed), (number, outcome.output)
    _found, hosts = site.hosts()
    assert [hosts[name]["common_available_until"] for name in SERVERS] == [end, end]
    # What made the lease leaves it as long as it is by now, and its servers as they are.
    assert reserve(site, **TWO).changes == 0
    assert site.play("launch", **TWO).changes == 0


def test_release(site):
    assert site.play("release").failure.startswith("This removes the servers of the lease mlops with all that is on")
    for options, there in ((["--check"], True), ([], False)):
        outcome = site.play("release", *options, chameleon_release="mlops")
        assert (outcome.status, outcome.changes > 0) == (0, True), outcome.output
        assert site.servers() == (SERVERS if there else [])
        assert site.leases() == (["mlops"] if there else [])
    outcome = site.play("release", chameleon_release="mlops")
    assert (outcome.status, outcome.changes) == (0, 0), outcome.output


# ---- Virtual machines -------------------------------------------------------------------------------------------


def test_virtual_machines(site):
    """Room for them is a flavor of the lease's own, a security group stands before them, and any address will do."""
    flavor = {"chameleon_flavor": "m1.small", "chameleon_gpu": "none"}
    assert "has no flavor named m1.huge" in reserve(site, chameleon_flavor="m1.huge").failure
    for changed in (1, 0):
        outcome = reserve(site, **flavor)
        assert (outcome.status, outcome.changes) == (0, changed), outcome.output
    outcome = site.play("launch", **flavor)
    assert (outcome.status, site.servers()) == (0, ["mlops-1"]), outcome.output
    outcome = site.play("launch", **flavor)
    assert (outcome.status, outcome.changes) == (0, 0), outcome.output
    found, hosts = site.hosts()
    assert found["chameleon_kvm"]["hosts"] == ["mlops-1"]
    assert hosts["mlops-1"]["ansible_host"].startswith("192.0.2.")
    group = site.connection().network.find_security_group("mlops")
    open_to_all = [rule for rule in group.security_group_rules if rule["remote_ip_prefix"] == "0.0.0.0/0"]
    assert sorted(rule["port_range_min"] for rule in open_to_all) == [22, 5000]
    outcome = site.play("release", chameleon_release="mlops")
    assert (outcome.status, site.leases(), site.servers()) == (0, [], []), outcome.output
    assert site.connection().network.find_security_group("mlops") is None
