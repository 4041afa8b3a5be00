# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults 48 to 53: whatever fails, the old container runs again, with its notebooks, and no run is lost."""

from __future__ import annotations

import concurrent.futures
import contextlib
import random
import time

import pytest

from .conftest import NAME, VARIABLES


@pytest.mark.fault(48)
@pytest.mark.parametrize("pull", ["never", "missing"])
def test_an_image_that_there_is_not(notebooks, pull):
    # A registry that refuses connections stands for one that does not have the image.
    with notebooks.kept():
        said = notebooks.call(image="127.0.0.1:9/no-such-image:1", pull=pull)
    assert said["failed"], said
    assert "no-such-image" in said["msg"]


@pytest.mark.fault(49)
def test_a_port_that_is_taken(notebooks):
    notebooks.gpu.shell("systemd-run --quiet --unit=holder python3 -m http.server --bind 127.0.0.1 9999")
    notebooks.gpu.shell("until ss -ltnH | grep -q :9999; do sleep 0.1; done")
    try:
        with notebooks.kept():
            said = notebooks.call(port=9999)
    finally:
        notebooks.gpu.shell("systemctl stop holder")
    assert (said["failed"], said["phase"]) == (True, "start"), said
    assert "9999" in said["msg"]
    assert said["msg"].endswith("The old container runs again.")


@pytest.mark.fault(50)
@pytest.mark.parametrize(
    ("gpus", "words"), [("nvidia", "could not select device driver"), ("amd", "/dev/kfd")], ids=["nvidia", "amd"]
)
def test_a_gpu_that_is_missing(notebooks, gpus, words):
    with notebooks.kept():
        said = notebooks.call(gpus=gpus, gpu_groups=[44])
    assert (said["failed"], said["phase"]) == (True, "start"), said
    assert words in said["msg"]
    assert said["msg"].endswith("The old container runs again.")


@contextlib.contextmanager
def second_address(machine):
    """Another address of a node, for a while."""
    address = machine.address.rpartition(".")[0] + ".203"
    machine.shell(f"ip address add {address}/16 dev eth0")
    try:
        yield address
    finally:
        machine.shell(f"ip address del {address}/16 dev eth0")


@pytest.mark.fault(51)
@pytest.mark.slow
def test_another_address_is_one_new_container_and_the_diff_names_nothing_else(notebooks):
    old = notebooks.container()["Id"]
    runs = notebooks.runs()
    for tag in ("0123456789ab", "mine"):
        notebooks.gpu.shell(f"docker tag {VARIABLES['jupyter_image_base']} mlops-stack/jupyter:{tag}")
    with second_address(notebooks.ml) as address:
        notebooks.metadata.tell(address)
        try:
            moved = notebooks.deploy("--diff")
            assert moved.status == 0, moved.output
            new = notebooks.container()["Id"]
            assert new != old
            diffs = diffs_of(moved, "Run Jupyter")
            assert diffs == [
                {
                    "before": {"env": {"MLFLOW_TRACKING_URI": f"http://{notebooks.ml.address}:5000"}},
                    "after": {"env": {"MLFLOW_TRACKING_URI": f"http://{address}:5000"}},
                }
            ]
            again = notebooks.deploy()
            assert (again.status, again.changed["gpu"]) == (0, 0), again.output
            assert notebooks.container()["Id"] == new
            assert notebooks.runs() == runs
            images = notebooks.gpu.shell("docker images --format '{{.Repository}}:{{.Tag}}' mlops-stack/jupyter")
            assert set(images.split()) == {notebooks.container()["Config"]["Image"], "mlops-stack/jupyter:mine"}
        finally:
            notebooks.metadata.tell(notebooks.ml.address)
            assert notebooks.deploy().status == 0


def diffs_of(outcome, task):
    """The diffs that a task printed."""
    return [result["diff"] for name, _host, result in outcome.results if name.endswith(task) and "diff" in result]


@pytest.mark.fault(52)
def test_a_name_that_the_server_does_not_allow(notebooks):
    with second_address(notebooks.ml) as address, notebooks.kept():
        said = notebooks.call(tracking_host=address)
    assert (said["failed"], said["phase"]) == (True, "probe"), said
    assert said["msg"] == (
        f"The tracking server at http://{address}:5000 answers 403, because the name {address} is not among its "
        "allowed hosts: add it to mlflow_server_extra_allowed_hosts, and run site.yml. The old container runs again."
    )


# Without the first command systemd refuses the fourth restart within a minute.
RESTART_DOCKER = "systemctl reset-failed docker; systemctl restart docker"


@pytest.mark.fault(53)
def test_docker_restarts(notebooks):
    with notebooks.kept():
        notebooks.gpu.shell(RESTART_DOCKER)
        wait_until_running(notebooks)


@pytest.mark.fault(53)
def test_docker_restarts_while_a_container_is_replaced(notebooks, request):
    moment = random.Random(request.node.name).uniform(0, 15)
    files, runs = notebooks.notebooks(), notebooks.runs()
    changed = {**notebooks.options(), "env": {"FAULT": str(moment)}}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        replacing = pool.submit(notebooks.call, changed)
        time.sleep(moment)
        notebooks.gpu.shell(RESTART_DOCKER)
        said = replacing.result()
    wait_until_running(notebooks)
    # Either the old one or the new one; the next call leads to the new one in any case.
    second = notebooks.call(changed)
    assert not second["failed"], (said, second)
    third = notebooks.call(changed)
    assert not third["changed"], (moment, said, third)
    assert notebooks.names() == {NAME}
    assert (notebooks.notebooks(), notebooks.runs()) == (files, runs)
    assert notebooks.call()["changed"]


def test_what_a_killed_call_left_is_undone_by_the_next(notebooks):
    # As after Ctrl-C, at which Ansible leaves a module no time: the old one is stopped, the new one has its port.
    with notebooks.kept():
        notebooks.gpu.shell(
            f"docker stop {NAME}; docker run --detach --name {NAME}-next --publish 127.0.0.1:8888:8888 "
            f"{VARIABLES['jupyter_image_base']} sleep 600"
        )
        said = notebooks.call()
        assert (said["failed"], said["changed"], said["action"]) == (False, True, "start"), said


def wait_until_running(notebooks):
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(Exception):
            if notebooks.container()["State"]["Running"]:
                return
        assert time.monotonic() < deadline
        time.sleep(0.5)


BAD_INPUT = {
    "a secret in the environment": ({"env": {"MLFLOW_TRACKING_PASSWORD": "x"}}, "env.MLFLOW_TRACKING_PASSWORD: "),
    "no workspace": ({"workspace": "/no/such"}, "workspace: there is no /no/such on this host: make it first."),
    "workspace of root": (
        {"workspace": "/root"},
        "workspace: /root belongs to the user root, so that Jupyter, which runs",
    ),
    "token file": ({"token_file": "/no/such"}, "token_file: there is no /no/such on this host: make it first."),
    "no metadata service": (
        {"tracking_host": None, "address_source": ["metadata"], "metadata_url": "http://127.0.0.1:9/public-ipv4"},
        "This host has no address for its clients: there is no metadata service at http://127.0.0.1:9/public-ipv4",
    ),
    "no address": (
        {"tracking_host": None},
        "any of the following are missing: tracking_host, address_source",
    ),
    "address of the wrong family": (
        {"tracking_host": None, "address_source": ["inventory"], "address": "192.0.2.7", "address_family": "ipv6"},
        "This host has no address for its clients: the inventory answers 192.0.2.7, which is not of the family ipv6",
    ),
    "image without Python's mlflow": (
        {"image": "testbed-base:latest", "command": ["sleep", "600"]},
        "Jupyter does not answer",
    ),
    "mlflow too old": ({"mlflow_version": "99.0.0", "env": {"OTHER": "1"}}, "mlflow 99.0 or newer"),
    "nobody listens": ({"tracking_port": 9}, "The tracking server cannot be reached from inside the container at"),
    "a command that ends": ({"command": ["false"]}, "The container did not stay up"),
}


@pytest.mark.parametrize(("changes", "words"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_sentence_and_the_old_container_stays(notebooks, changes, words):
    timeout = {"probe_timeout": 6} if "command" in changes else {}
    with notebooks.kept():
        said = notebooks.call(**changes, **timeout)
    assert said["failed"], said
    assert words in said["msg"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("tell_html", "the metadata service answers with a page instead of an address"),
        ("tell_nothing", "the metadata service has none"),
        ("fail", "the metadata service at http://169.254.169.254/latest/meta-data/public-ipv4 answers with status 404"),
        ("hang", "there is no metadata service at http://169.254.169.254/latest/meta-data/public-ipv4 (timed out)"),
    ],
)
def test_a_metadata_service_that_tells_no_address(notebooks, answer, why):
    getattr(notebooks.metadata, answer)()
    try:
        with notebooks.kept():
            said = notebooks.run(
                {"mlflow": {"ml": {"common_public_address_sources": ["metadata"]}}, "jupyter": ["gpu"]},
                {"mlflow_server_backend": "sqlite", "mlflow_server_artifacts": "local"},
            ).failure
    finally:
        notebooks.metadata.tell(notebooks.ml.address)
    assert said.startswith(f"ml has no address for its clients: {why}")
    assert said.endswith("Set common_public_address on it, or name another source in common_public_address_sources.")
