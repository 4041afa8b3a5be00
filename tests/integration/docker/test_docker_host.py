# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker Engine inside a node: bad input on a bare machine first, then an engine, then stand-ins for GPUs."""

from __future__ import annotations

import json

import gpu_stand_ins
import nodes

IMAGE = nodes.INNER_IMAGE
DAEMON = "/etc/docker/daemon.json"
ROLE = "mlops.stack.docker_host : "


def test_a_promised_gpu_that_is_not_there(bare):
    for promised, what in (
        ("nvidia", "an NVIDIA GPU (docker_host_gpu: nvidia), and its driver shows none in /proc/driver/nvidia/gpus"),
        ("amd", "an AMD GPU (docker_host_gpu: amd), and there is no /dev/kfd with a device in /dev/dri"),
    ):
        assert bare.refuse({"docker_host_gpu": promised}) == (
            f"gpu1 is to have {what}; what was seen is no GPU: install the driver, or set docker_host_gpu to what the "
            "host has."
        )
    assert bare.shell("command -v dockerd", check=False) == ""


def test_a_pool_that_overlaps(bare):
    network, _dev, interface = bare.shell("ip -4 route show scope link").split()[:3]
    base = network.split(".")[0] + ".0.0.0/8"
    message = bare.refuse({"docker_host_address_pools": [{"base": base, "size": 24}]})
    assert f"{base} on gpu1 overlaps with {network}, which the host reaches through {interface}: choose" in message
    assert f"{base} on gpu1 contains " in message
    assert "is no list of networks" in bare.refuse({"docker_host_address_pools": [{"base": "10.9.0.0/16"}]})


def test_settings_that_somebody_else_wrote(bare):
    foreign = '{"debug": true}'
    bare.shell(f"mkdir -p /etc/docker; echo '{foreign}' > {DAEMON}")
    message = (
        f"gpu1 has an {DAEMON} that mlops.stack did not write: put what you need of it into docker_host_settings, and "
        "set docker_host_replace_config to true; the old file is kept beside it."
    )
    assert bare.refuse() == message
    bare.shell(f"echo '{{ this is no JSON' > {DAEMON}")
    assert bare.refuse() == message
    bare.shell(f"echo '{foreign}' > {DAEMON}")
    planned = bare.bring_up({"docker_host_replace_config": True}, "--check", "--diff")
    assert planned.changes > 0 and '"live-restore": true' in planned.output.replace("\\", "")
    assert bare.shell(f"cat {DAEMON}; command -v dockerd || ls /etc/docker") == f"{foreign}\ndaemon.json"
    bare.bring_up({"docker_host_replace_config": True})
    assert bare.shell(f"cat {DAEMON}.before-mlops-stack") == foreign
    assert json.loads(bare.shell(f"cat {DAEMON}"))["labels"] == ["mlops.stack=managed"]
    assert bare.info()["Debug"] is False


def test_a_second_run_changes_nothing(engine):
    began = engine.shell("systemctl show --property=InactiveExitTimestamp docker")
    second = engine.bring_up()
    assert second.changes == 0, second.output
    done = [name for name, _host, result in second.results if not result.get("skipped")]
    assert [name.removeprefix(ROLE) for name in done if name.startswith(ROLE)] == [
        "Validating arguments against arg spec 'main' - Run Docker Engine, with GPUs for its containers",
        "Write Docker's settings",
        "Run Docker with these settings",
    ]
    assert engine.bring_up(None, "--check", "--diff").changes == 0
    assert engine.shell("systemctl show --property=InactiveExitTimestamp docker") == began


def test_settings_that_the_engine_refuses(engine):
    before = engine.shell(f"cat {DAEMON}")
    outcome = engine.play({"docker_host_settings": {"no-such-setting": 1}})
    assert outcome.failure.startswith(f"{DAEMON}: the new content is refused by /usr/sbin/dockerd")
    assert "no-such-setting" in outcome.failure
    assert (engine.shell(f"cat {DAEMON}"), engine.shell("docker ps --quiet")) == (before, "")
    assert outcome.changes == 0


def test_data_that_would_be_left_behind(engine):
    engine.shell("docker volume create notebooks")
    assert engine.refuse({"docker_host_data_dir": "/srv/docker"}) == (
        "docker_host_data_dir: /srv/docker would leave behind the containers and volumes that gpu1 has in "
        "/var/lib/docker: set it to that folder, or move them with the engine stopped."
    )
    engine.shell("docker volume rm notebooks")


def test_the_engine_for_its_users(engine):
    assert "docker" in engine.shell("id --name --groups ops").split()
    assert engine.shell("runuser --user ops -- docker ps --quiet") == ""
    message = engine.refuse({"docker_host_users": ["nobody-here"]})
    assert message.startswith("docker_host_users: nobody-here has no account on gpu1")
    # A proxy's password is in a file that only root reads, and reaches the engine.
    environment = {**nodes.DOCKER_VARIABLES["docker_host_environment"], "HTTP_PROXY": "http://user:canary@127.0.0.1:9"}
    assert "canary" not in engine.bring_up({"docker_host_environment": environment}, "--diff").output
    assert engine.shell("stat --format='%a %U' /etc/mlops-stack/docker.env") == "600 root"
    assert engine.info()["HttpProxy"] == "http://xxxxx:xxxxx@127.0.0.1:9"
    assert engine.bring_up().changes > 0
    assert engine.info()["HttpProxy"] == ""


def test_an_amd_gpu_with_a_group_of_another_number(engine, amd):
    amd.plug_in(render_group=1234)
    outcome = engine.bring_up({"docker_host_gpu": "amd"})
    assert "gpu1 has AMD GPU of unknown model" in outcome.messages
    # The groups as Ansible knows them, in a container that has nothing but their numbers.
    facts = engine.shell("getent group video render | cut -d : -f 3").split()
    assert facts == ["44", "1234"]
    devices = "--device=/dev/kfd --device=/dev/dri --group-add 44 --group-add 1234"
    said = engine.shell(
        f"docker run --rm {devices} {IMAGE} sh -c 'id -G; stat -c %n:%t:%g /dev/kfd /dev/dri/renderD128'"
    )
    groups, *files = said.splitlines()
    assert {"44", "1234"} <= set(groups.split())
    assert files == ["/dev/kfd:f0:1234", "/dev/dri/renderD128:e2:1234"]


def test_an_nvidia_gpu(engine, nvidia):
    assert "could not select device driver" in engine.shell(f"docker run --rm --gpus all {IMAGE} true 2>&1 || true"), (
        "a host without the toolkit has to refuse"
    )
    nvidia.plug_in()
    nvidia.install_toolkit()
    outcome = engine.bring_up({"docker_host_gpu": "nvidia"})
    seen = f"{gpu_stand_ins.NVIDIA_MODEL}, {gpu_stand_ins.NVIDIA_MEMORY}, driver {gpu_stand_ins.NVIDIA_DRIVER}"
    assert f"gpu1 has {seen}" in outcome.messages
    info = engine.info()
    assert info["CgroupDriver"] == "cgroupfs"
    assert info["Runtimes"]["nvidia"]["path"] == "nvidia-container-runtime"
    assert engine.shell(f"docker run --rm --gpus all {IMAGE} echo started") == "started"
    assert engine.shell(f"docker run --rm --runtime nvidia {IMAGE} echo started") == "started"
    said = engine.shell(
        f"docker run --rm --device nvidia.com/gpu=all {IMAGE} sh -c 'echo $NVIDIA_STAND_IN; ls /dev/nvidia*'"
    )
    assert said.split() == ["cdi", "/dev/nvidia0", "/dev/nvidiactl"]
    second = engine.bring_up({"docker_host_gpu": "nvidia"})
    assert second.changes == 0, second.output
    nvidia.break_driver()
    assert engine.refuse({"docker_host_gpu": "nvidia"}) == (
        "gpu1 has an NVIDIA GPU whose driver does not work: restart the host, or install the driver anew. nvidia-smi "
        f"says: {gpu_stand_ins.NVIDIA_BROKEN}"
    )
