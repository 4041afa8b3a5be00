# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is wrong with an inventory or a machine is told in one sentence, before anything is changed anywhere."""

from __future__ import annotations

import contextlib
import re

import pytest

HOLDER = "python3 -m http.server --bind 0.0.0.0 5432"


def on(name):
    """The groups of a stack with everything on one machine."""
    return {"postgres": [name], "seaweedfs": [name], "mlflow": [name]}


ALL_ON_BARE = on("bare")
INVENTORIES = {
    "missing group": (
        {"postgres": ["bare"], "seaweedfs": ["bare"]},
        {},
        "The inventory's group 'mlflow' is missing or empty, and the tracking server needs it: add a host to it.",
    ),
    "empty group": (
        {**ALL_ON_BARE, "postgres": []},
        {},
        "The inventory's group 'postgres' is missing or empty, and mlflow_server_backend: postgresql needs it: add a "
        "host to it.",
    ),
    "no group at all": (
        {"other": ["bare"]},
        {},
        "The inventory's group 'mlflow' is missing or empty, and the tracking server needs it: add a host to it.",
    ),
    "group of another name": (
        {"postgres": ["bare"], "seaweedfs": ["bare"], "tracking": ["bare"]},
        {"common_group_mlflow": "trackers"},
        "The inventory's group 'trackers' is missing or empty, and the tracking server needs it: add a host to it.",
    ),
    "two backends": (
        ALL_ON_BARE,
        {"mlflow_server_backend": "sqlite"},
        "Two backends at once: mlflow_server_backend is sqlite, and the inventory's group 'postgres' has hosts: use "
        "mlflow_server_backend: postgresql, or empty the group.",
    ),
    "bucket name": (
        ALL_ON_BARE,
        {"mlflow_server_bucket": "My_Bucket"},
        "mlflow_server_bucket: 'My_Bucket' is not a bucket name that S3 allows: use 3 to 63 lower-case letters, digits "
        "and hyphens, beginning and ending with a letter or digit.",
    ),
    "replication": (
        ALL_ON_BARE,
        {"seaweedfs_cluster_replication": "001"},
        "seaweedfs_cluster_replication: '001' asks for 2 copies, and the inventory's group 'seaweedfs' has 1 host(s) "
        "to hold them: use '000', or add hosts.",
    ),
    "short password": (
        ALL_ON_BARE,
        {"common_secrets": {"database_password": "tooshort"}},
        "common_secrets.database_password: has 8 characters, at least 12 are needed: choose a longer one, or leave it "
        "out to have one generated.",
    ),
    "memory": (
        on("small"),
        {"mlflow_server_workers": 1},
        "small has 700 MiB of memory, and postgres + seaweedfs + mlflow there need 1828 MiB: use a larger machine, "
        "fewer mlflow_server_workers, or move a service to another host.",
    ),
    "disk": (
        on("full"),
        {"mlflow_server_workers": 1},
        "full has 100 MiB free at /opt/mlops-stack, and the installation needs 3584 MiB: free some space or mount a "
        "larger disk.",
    ),
    "disk for everything together": (
        on("full"),
        {
            "mlflow_server_workers": 1,
            "common_env_root": "/srv/envs",
            "seaweedfs_cluster_data_dir": "/srv/seaweedfs",
        },
        "full has 4500 MiB free at /srv/envs and /srv/seaweedfs, which share a file system, and the installation needs "
        "5632 MiB: free some space or mount a larger disk.",
    ),
    "release of PostgreSQL": (
        ALL_ON_BARE,
        {"postgres_version": "16"},
        "postgres_version: 16 is not in Debian GNU/Linux 13 (trixie), which carries 17: set postgres_repository to "
        "pgdg, or leave postgres_version out.",
    ),
    "no release of PostgreSQL": (
        ALL_ON_BARE,
        {"postgres_version": "17.2"},
        "postgres_version: '17.2' is no major version of PostgreSQL: write it as '17'.",
    ),
    "repository of PostgreSQL": (
        ALL_ON_BARE,
        {"postgres_repository": "debian"},
        "postgres_repository: 'debian' is unknown: use one of distribution, pgdg.",
    ),
    "release of MLflow": (
        ALL_ON_BARE,
        {"mlflow_server_version": "3.99.0"},
        "mlflow_server_version: mlops.stack has no lock for 3.99.0: use 3.16.1 or 3.17.2, or set "
        "mlflow_server_requirements_file to a lock of your own.",
    ),
    "release of SeaweedFS": (
        ALL_ON_BARE,
        {"seaweedfs_cluster_version": "4.99"},
        "seaweedfs_cluster_version: mlops.stack has no lock for 4.99: use 4.48, or set "
        "seaweedfs_cluster_requirements_file to a lock of your own.",
    ),
    "vulnerable release": (
        ALL_ON_BARE,
        {"mlflow_server_version": "3.12.0"},
        "mlflow_server_version: 3.12.0 has known vulnerabilities: use 3.16.1 or newer.",
    ),
}


@pytest.mark.parametrize(("groups", "variables", "sentence"), INVENTORIES.values(), ids=INVENTORIES)
def test_inventory_is_refused(site, groups, variables, sentence):
    assert site.refuse(groups, variables) == sentence


def test_check_mode_on_bare_machines_ends_and_changes_nothing(site):
    machine = site.machines["bare"]
    before = machine.snapshot()
    outcome = site.run(ALL_ON_BARE, options=("--check", "--diff"))
    assert outcome.status == 0, outcome.output
    assert outcome.changed["bare"] > 0
    assert machine.snapshot() == before
    assert not site.secrets.exists()


def test_hosts_left_out_are_not_guessed(site):
    said = site.refuse({**ALL_ON_BARE, "postgres": ["peer"]}, options=("--limit", "localhost,bare"))
    assert said == (
        "peer is left out of this run, and the others need to know about it: run without --limit, or set "
        "common_private_address on it."
    )


@pytest.mark.parametrize("playbook", ["backup.yml", "restore.yml", "restore_drill.yml"])
def test_there_is_no_backup_host(site, playbook):
    assert site.run(ALL_ON_BARE, playbook=playbook).failure == (
        "The inventory's group 'backup' is missing or empty: add the host that makes the backups, and has the sets, "
        "to it."
    )


@pytest.mark.parametrize(
    ("playbook", "left_out", "limit"),
    [
        ("backup.yml", "peer", "localhost,bare"),
        ("restore.yml", "peer", "bare"),
        ("restore_drill.yml", "peer", "localhost"),
        ("gc.yml", "bare", "localhost,peer"),
        ("upgrade.yml", "bare", "localhost"),
    ],
)
def test_the_host_that_has_the_work_is_left_out(site, playbook, left_out, limit):
    # As on Chameleon: with known addresses no other host needs to be asked, and localhost is one of the inventory.
    groups = {**ALL_ON_BARE, "backup": ["peer"], "control": {"localhost": {"ansible_connection": "local"}}}
    variables = {"common_private_address": "{{ ansible_host }}", "mlflow_server_workers": 1}
    outcome = site.run(groups, variables, options=("--limit", limit), playbook=playbook)
    assert outcome.failure == (
        f"--limit leaves out {left_out}, and without it this playbook does nothing: leave --limit away, or add "
        f"{left_out} to it."
    )


@pytest.mark.parametrize(
    ("groups", "variables", "options"),
    [
        ({"mlflow": ["bare"]}, {"mlflow_server_backend": "sqlite"}, []),
        ({**ALL_ON_BARE, "backup": ["peer"]}, {}, ["--limit", "localhost,peer"]),
    ],
    ids=["sqlite", "left out"],
)
def test_there_is_no_database_to_recover(site, groups, variables, options):
    outcome = site.run(groups, variables, options, playbook="recover_point_in_time.yml")
    assert outcome.failure.startswith("No host of the group 'postgres' is in this run, so there is nothing to recover")


def test_a_cluster_of_someone_else(site):
    # A stand-in: what a cluster with one database leaves on a disk.
    machine = site.machines["bare"]
    machine.shell(
        "mkdir -p /etc/postgresql/15/main /var/lib/postgresql/15/main/base/{1,4,5,16384}; "
        "echo \"data_directory = '/var/lib/postgresql/15/main'\" > /etc/postgresql/15/main/postgresql.conf; "
        "echo 15 > /var/lib/postgresql/15/main/PG_VERSION"
    )
    try:
        said = site.refuse(ALL_ON_BARE)
    finally:
        machine.shell("rm -r /etc/postgresql /var/lib/postgresql")
    assert said == (
        "bare has the PostgreSQL cluster 15/main with 1 database(s), which mlops.stack did not make: use another host "
        "for PostgreSQL, or move them away and remove the cluster (pg_dropcluster --stop 15 main)."
    )


def test_password_of_a_proxy_is_not_shown(site):
    proxies = {"http": "http://user:canary-password@127.0.0.1:9", "https": "http://user:canary-password@127.0.0.1:9"}
    said = site.refuse(ALL_ON_BARE, {"common_proxies": proxies})
    assert "proxy http://***@127.0.0.1:9: the connection is refused" in said
    assert "canary" not in said


@contextlib.contextmanager
def instead(machine, path, text):
    """Put another file in the place of one, for a while."""
    machine.shell(f"mv {path} {path}.kept; cat > {path} <<'END'\n{text}END")
    try:
        yield
    finally:
        machine.shell(f"mv {path}.kept {path}")


def test_unsupported_system(site):
    # A stand-in: a node that says it is an older Debian.
    release = 'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n'
    with instead(site.machines["bare"], "/etc/os-release", release):
        said = site.refuse(ALL_ON_BARE)
    assert said == "bare runs Debian GNU/Linux 11 (bullseye): use Debian 12 or 13, or Ubuntu 22.04 or 24.04."


def test_unsupported_python(site):
    # A stand-in: an interpreter that says it is an older one.
    machine = site.machines["bare"]
    machine.shell(
        "mkdir /usr/local/lib/old; echo 'import sys; sys.version_info = (3, 9, 2, \"final\", 0)' "
        "> /usr/local/lib/old/sitecustomize.py; "
        "printf '#!/bin/sh\\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/usr/local/lib/old exec /usr/bin/python3 \"$@\"\\n' "
        "> /usr/local/bin/python3.9; chmod +x /usr/local/bin/python3.9"
    )
    try:
        said = site.refuse(ALL_ON_BARE, {"ansible_python_interpreter": "/usr/local/bin/python3.9"})
    finally:
        machine.shell("rm -r /usr/local/lib/old /usr/local/bin/python3.9")
    assert said == "bare has Python 3.9: MLflow needs 3.10 or newer; set ansible_python_interpreter to one."


def test_occupied_port_names_the_process(site):
    machine = site.machines["bare"]
    machine.shell(f"systemd-run --quiet --unit=holder {HOLDER}")
    try:
        machine.shell("until ss -ltnH | grep -q :5432; do sleep 0.1; done")
        pid = machine.shell("systemctl show --property=MainPID --value holder")
        said = site.refuse(ALL_ON_BARE)
    finally:
        machine.shell("systemctl stop holder")
    assert said == (
        f"bare: port 5432 is held by python3 (process {pid}): stop it, or set postgres_port to a free port."
    )


def test_no_route_from_one_service_to_another(site):
    machine, peer = site.machines["bare"], site.machines["peer"]
    machine.shell(f"ip route add unreachable {peer.address}/32")
    try:
        said = site.refuse({**ALL_ON_BARE, "postgres": ["peer"]})
    finally:
        machine.shell(f"ip route del unreachable {peer.address}/32")
    assert re.fullmatch(
        rf"bare cannot reach PostgreSQL of peer at {re.escape(peer.address)}:5432 \(.*[Nn]o route to host.*\): "
        r"check routes, firewall and proxy settings\.",
        said,
    ), said


def test_python_index_that_cannot_be_reached(site):
    said = site.refuse(ALL_ON_BARE, {"common_python_index_url": "http://127.0.0.1:9/simple"})
    assert re.fullmatch(
        r"bare cannot reach http://127\.0\.0\.1:9/simple \(.*refused.*\): "
        r"check routes, firewall and proxy settings\.",
        said,
    ), said


def test_package_source_that_cannot_be_reached(site):
    machine = site.machines["bare"]
    machine.shell(
        "mkdir /root/apt; mv /etc/apt/sources.list* /root/apt; "
        "echo 'deb http://127.0.0.1:9/debian trixie main' > /etc/apt/sources.list"
    )
    try:
        said = site.refuse(ALL_ON_BARE)
    finally:
        machine.shell("rm -r /etc/apt/sources.list; mv /root/apt/* /etc/apt; rmdir /root/apt")
    assert re.fullmatch(
        r"bare cannot reach .*http://127\.0\.0\.1:9/debian.* \(.*refused.*\): "
        r"check routes, firewall and proxy settings\.",
        said,
    ), said
