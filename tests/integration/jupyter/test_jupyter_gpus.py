# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notebooks with GPUs. The GPUs are stand-ins (support/gpu_stand_ins.py): device files without a driver behind them,
and for NVIDIA programs that do the least that Docker needs."""

from __future__ import annotations

import pytest
from gpu_stand_ins import RENDER_GROUP, Amd, Nvidia

# The tracking server does not depend on GPUs.
GPU_HOST = ("--tags", "docker,jupyter")


@pytest.fixture
def plugged_in(notebooks):
    """Plug GPUs in and deploy; all is as before afterwards."""
    found = []

    def deploy(gpu, vendor):
        found.append(gpu)
        deployed = notebooks.deploy(*GPU_HOST, variables={"docker_host_gpu": vendor})
        assert deployed.status == 0, deployed.failures
        again = notebooks.deploy(*GPU_HOST, variables={"docker_host_gpu": vendor})
        assert (again.status, again.changed) == (0, {"localhost": 0, "gpu": 0, "ml": 0}), again.failures
        return notebooks.container()["HostConfig"]

    yield deploy
    for gpu in found:
        gpu.unplug()
    back = notebooks.deploy(*GPU_HOST)
    assert back.status == 0, back.failures


def test_nvidia(notebooks, plugged_in):
    gpu = Nvidia(notebooks.gpu.shell)
    gpu.plug_in()
    gpu.install_toolkit()
    runs = notebooks.runs()
    config = plugged_in(gpu, "nvidia")
    # What `docker run --gpus all` asks for.
    assert [(one["Count"], one["Capabilities"]) for one in config["DeviceRequests"]] == [(-1, [["gpu"]])]
    notebooks.inside("python3 first_run.py")
    assert len(notebooks.runs()) == len(runs) + 1


def test_amd(notebooks, plugged_in):
    gpu = Amd(notebooks.gpu.shell)
    gpu.plug_in()
    config = plugged_in(gpu, "amd")
    assert [one["PathInContainer"] for one in config["Devices"]] == ["/dev/kfd", "/dev/dri"]
    video = notebooks.gpu.shell("getent group video").split(":")[2]
    assert {video, str(RENDER_GROUP)} <= set(notebooks.inside("id -G").split())
    assert notebooks.inside("ls /dev/kfd /dev/dri/renderD128").split() == ["/dev/dri/renderD128", "/dev/kfd"]
    said = notebooks.inside("python3 first_run.py")
    assert "GPU: devices without a tool to ask: /dev/dri/renderD128, /dev/kfd" in said
