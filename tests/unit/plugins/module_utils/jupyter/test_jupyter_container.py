# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.jupyter import container


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"env": {"EPOCHS": 3}}, []),
        ({"workspace": "/data/a"}, []),
        ({"env": {"MLFLOW_TRACKING_PASSWORD": "x"}}, ["env.MLFLOW_TRACKING_PASSWORD: ", "credentials_file"]),
        ({"env": {"hf_token": "x"}}, ["env.hf_token: "]),
        ({"env": {"AWS_SECRET_ACCESS_KEY": "x"}}, ["env.AWS_SECRET_ACCESS_KEY: "]),
        ({"env": {"TOKENIZERS_PARALLELISM": "false", "KEYCLOAK_URL": "x", "MONKEY": "x"}}, []),
        ({"env": {"WANDB_API_KEY": "x"}}, ["env.WANDB_API_KEY: "]),
        ({"env": {"MLFLOW_TRACKING_URI": "x"}}, ["env.MLFLOW_TRACKING_URI: ", "tracking_host"]),
        ({"workspace": "/data/a:b"}, ["workspace: '/data/a:b' has a colon"]),
        ({"gpus": "amd"}, ["gpu_groups: "]),
    ],
)
def test_problems(options, changes, words):
    said = " ".join(container.problems(options(**changes)))
    assert bool(said) == bool(words)
    assert all(word in said for word in words)


@pytest.mark.parametrize(
    ("changes", "host", "uri"),
    [
        ({}, "192.0.2.7", "http://192.0.2.7:5000"),
        ({"tracking_scheme": "https", "tracking_port": 443}, "ml.example.org", "https://ml.example.org:443"),
        ({}, "2001:db8::7", "http://[2001:db8::7]:5000"),
    ],
)
def test_tracking_uri(options, changes, host, uri):
    assert container.tracking_uri(options(**changes), host) == uri


def test_a_container_with_nothing_but_an_image(options):
    made = container.arguments(options(user=None), "http://192.0.2.7:5000")
    assert made["env"] == {"HOME": "/home/jovyan", "MLFLOW_TRACKING_URI": "http://192.0.2.7:5000"}
    assert made["published_ports"] == ["127.0.0.1:8888:8888"]
    assert (made["volumes"], made["devices"], made["device_requests"], made["groups"]) == ([], [], [], [])
    assert (made["cap_drop"], made["security_opts"]) == (["ALL"], ["no-new-privileges:true"])
    assert not {"command", "user"} & set(made)


def test_what_the_host_hands_in_is_mounted_and_is_in_no_variable(options):
    given = options(
        workspace="/home/cc/work",
        token_file="/etc/t",
        credentials_file="/etc/c",
        ca_cert="/etc/ca.crt",
        config_dir="/etc/j",
        volumes=["food11:/mnt:ro"],
        env={"EPOCHS": 3},
        command=["sleep", "1"],
        pull="never",
    )
    made = container.arguments(given, "http://192.0.2.7:5000")
    assert made["volumes"] == [
        "/home/cc/work:/home/jovyan/work:rw",
        "/etc/t:/run/mlops-stack/token:ro",
        "/etc/c:/home/jovyan/.mlflow/credentials:ro",
        "/etc/ca.crt:/run/mlops-stack/ca.crt:ro",
        "/etc/j:/run/mlops-stack/config:ro",
        "food11:/mnt:ro",
    ]
    assert made["env"] == {
        "HOME": "/home/jovyan",
        "MLFLOW_TRACKING_URI": "http://192.0.2.7:5000",
        "MLFLOW_TRACKING_SERVER_CERT_PATH": "/run/mlops-stack/ca.crt",
        "JUPYTER_CONFIG_PATH": "/run/mlops-stack/config",
        "EPOCHS": "3",
    }
    assert (made["command"], made["user"], made["pull"]) == (["sleep", "1"], "1000:1000", "never")


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ("nvidia", (container.NVIDIA, [], [])),
        ("amd", ([], container.AMD, ["44", "992"])),
    ],
)
def test_gpus(options, gpus, expected):
    made = container.arguments(options(gpus=gpus, gpu_groups=[44, 992]), "http://192.0.2.7:5000")
    assert (made["device_requests"], made["devices"], made["groups"]) == expected
