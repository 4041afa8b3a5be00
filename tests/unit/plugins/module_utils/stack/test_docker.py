# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import docker

NOTHING = {
    "package": None,
    "version": None,
    "config": "absent",
    "data_dir": "/var/lib/docker",
    "objects": 0,
    "users": [],
}
A100 = {"vendor": "nvidia", "model": "NVIDIA A100", "memory_mb": None, "driver": "535.129.03"}
MI100 = {"vendor": "amd", "model": "AMD Instinct MI100", "memory_mb": 32752, "driver": None}
UNKNOWN = {"vendor": "amd", "model": None, "memory_mb": None, "driver": None}
ROUTES = [{"network": "192.0.2.0/24", "interface": "eth0"}, {"network": "fd00::/64", "interface": "eth0"}]


def facts(**changed):
    return {
        "packages": [],
        "users": ["ops", "root"],
        "gpus": [],
        "routes": ROUTES,
        "group_ids": {"video": 44, "render": 993},
        "docker": NOTHING,
        **changed,
    }


def values(**changed):
    wanted, problems = docker.choices({"docker_host_" + name: value for name, value in changed.items()})
    assert problems == []
    return wanted


def problems(found=None, **changed):
    return docker.host("gpu1", found or facts(), values(**changed), {"gpu1": "192.0.2.7", "ml1": "10.213.5.5"})


def test_defaults():
    assert values(users=None, gpu=None) == {
        "gpu": "none",
        "repository": "distribution",
        "address_pools": [{"base": "10.213.0.0/16", "size": 24}],
        "data_dir": "/var/lib/docker",
        "replace_config": False,
        "users": None,
    }
    assert values(replace_config="yes")["replace_config"] is True


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("gpu", "intel", "docker_host_gpu: 'intel' is unknown: use one of none, nvidia, amd."),
        ("repository", "snap", "docker_host_repository: 'snap' is unknown: use one of distribution, docker."),
        ("replace_config", "perhaps", "docker_host_replace_config: 'perhaps' is not true or false: correct it."),
        ("data_dir", "docker", "docker_host_data_dir: 'docker' is no folder: write its whole path."),
        ("data_dir", "/", "docker_host_data_dir: '/' is no folder: write its whole path."),
        ("data_dir", 7, "docker_host_data_dir: 7 is no folder: write its whole path."),
    ],
)
def test_values_that_mean_nothing(name, value, sentence):
    assert docker.choices({"docker_host_" + name: value})[1] == [sentence]


@pytest.mark.parametrize(
    "pools",
    [
        "10.213.0.0/16",
        [],
        ["10.213.0.0/16"],
        [{"base": "10.213.0.0/16"}],
        [{"base": "10.213.0.1/16", "size": 24}],
        [{"base": "10.213.0.0/16", "size": 8}],
        [{"base": "10.213.0.0/16", "size": 33}],
        [{"base": "10.213.0.0/16", "size": "small"}],
        [{"base": 1, "size": 32}],
        [{"base": "fd00::/8", "size": 64}, {}],
    ],
)
def test_malformed_pools(pools):
    (sentence,) = docker.malformed_pools(pools)
    assert sentence.startswith("docker_host_address_pools: ") and "{base: 10.213.0.0/16, size: 24}" in sentence


def test_pools_that_are_well_formed():
    assert docker.malformed_pools([{"base": "10.213.0.0/16", "size": "24"}, {"base": "fd00::/8", "size": 64}]) == []


@pytest.mark.parametrize(
    ("package", "packages", "gpu", "installed"),
    [
        (None, ["python3-requests"], "none", False),
        ("docker.io", [], "none", False),
        ("docker-ce", ["python3-requests"], "none", True),
        ("docker.io", ["python3-requests"], "nvidia", False),
        ("docker.io", ["nvidia-container-toolkit", "python3-requests"], "nvidia", True),
    ],
)
def test_is_installed(package, packages, gpu, installed):
    found = facts(packages=packages, docker=NOTHING | {"package": package})
    assert docker.is_installed(found, values(gpu=gpu)) is installed


@pytest.mark.parametrize(
    ("gpus", "promised", "sentence"),
    [
        ([], "none", None),
        ([A100], "none", None),
        ([A100], "nvidia", None),
        ([UNKNOWN], "amd", None),
        (
            [],
            "nvidia",
            "gpu1 is to have an NVIDIA GPU (docker_host_gpu: nvidia), and its driver shows none in "
            "/proc/driver/nvidia/gpus; what was seen is no GPU: install the driver, or set docker_host_gpu to what the "
            "host has.",
        ),
        (
            [MI100, UNKNOWN],
            "nvidia",
            "gpu1 is to have an NVIDIA GPU (docker_host_gpu: nvidia), and its driver shows none in "
            "/proc/driver/nvidia/gpus; what was seen is AMD Instinct MI100, 32752 MiB; AMD GPU of unknown model: "
            "install the driver, or set docker_host_gpu to what the host has.",
        ),
        (
            [A100],
            "amd",
            "gpu1 is to have an AMD GPU (docker_host_gpu: amd), and there is no /dev/kfd with a device in /dev/dri; "
            "what was seen is NVIDIA A100, driver 535.129.03: install the driver, or set docker_host_gpu to what the "
            "host has.",
        ),
    ],
)
def test_promised_gpu(gpus, promised, sentence):
    assert problems(facts(gpus=gpus), gpu=promised, address_pools=[{"base": "10.9.0.0/16", "size": 24}]) == (
        [sentence] if sentence else []
    )


def test_amd_without_a_group():
    (sentence,) = docker.missing_gpu("gpu1", facts(gpus=[MI100], group_ids={"video": 44}), "amd")
    assert sentence.startswith("gpu1 has an AMD GPU and no group render")


def test_what_was_seen():
    assert docker.seen(facts(gpus=[A100, MI100]), "amd") == ["AMD Instinct MI100, 32752 MiB"]


@pytest.mark.parametrize(
    ("found", "wanted", "sentences"),
    [
        ({"config": "foreign"}, {"replace_config": True}, []),
        (
            {"config": "foreign"},
            {},
            [
                "gpu1 has an /etc/docker/daemon.json that mlops.stack did not write: put what you need of it into "
                "docker_host_settings, and set docker_host_replace_config to true; the old file is kept beside it."
            ],
        ),
        # Folders of an engine that is gone.
        ({"objects": 3}, {"data_dir": "/srv/docker"}, []),
        ({"package": "docker.io", "version": "20.10.24"}, {"data_dir": "/srv/docker"}, []),
        ({"package": "docker-ce"}, {}, []),
        (
            {"package": "docker-ce", "version": "19.03.15"},
            {},
            ["gpu1 has Docker Engine 19.03.15: upgrade the package docker-ce to 20.10 or newer."],
        ),
        ({"package": "docker.io", "objects": 3, "data_dir": "/srv/docker/"}, {"data_dir": "/srv/docker"}, []),
        (
            {"package": "docker.io", "objects": 3},
            {"data_dir": "/srv/docker"},
            [
                "docker_host_data_dir: /srv/docker would leave behind the containers and volumes that gpu1 has in "
                "/var/lib/docker: set it to that folder, or move them with the engine stopped."
            ],
        ),
    ],
)
def test_an_engine_that_is_there(found, wanted, sentences):
    assert docker.engine("gpu1", NOTHING | found, values(**wanted)) == sentences


@pytest.mark.parametrize(
    ("base", "size", "sentence"),
    [
        ("10.9.0.0/16", 24, None),
        ("fd01::/48", 64, None),
        (
            "192.0.0.0/16",
            24,
            "docker_host_address_pools: 192.0.0.0/16 on gpu1 overlaps with 192.0.2.0/24, which the host reaches "
            "through eth0: choose another network.",
        ),
        (
            "fd00::/48",
            64,
            "docker_host_address_pools: fd00::/48 on gpu1 overlaps with fd00::/64, which the host reaches through "
            "eth0: choose another network.",
        ),
        (
            "10.213.0.0/16",
            24,
            "docker_host_address_pools: 10.213.0.0/16 on gpu1 contains 10.213.5.5, the address of ml1: choose another "
            "network.",
        ),
    ],
)
def test_collisions(base, size, sentence):
    pools = [{"base": base, "size": size}]
    addresses = {"ml1": "10.213.5.5", "ml2": "2001:db8::7"}
    assert docker.collisions("gpu1", ROUTES, pools, addresses) == ([sentence] if sentence else [])


def test_users():
    pools = [{"base": "10.9.0.0/16", "size": 24}]
    assert problems(users=["ops"], address_pools=pools) == []
    assert problems(users=["ann"], address_pools=pools) == [
        "docker_host_users: ann has no account on gpu1: make the account first, or leave the name out."
    ]


def test_a_notebook_host_that_is_left_out_of_a_run():
    groups = {"mlflow": ["ml1", "both"], "jupyter": ["gpu1", "gpu2", "both"]}
    hosts = {name: {"facts": None} for name in ("ml1", "gpu1", "both")} | {"gpu2": {"facts": {}}}
    assert list(docker.planned(groups, hosts)) == ["ml1", "both", "gpu2"]


def test_all_hosts():
    known = {"gpu1": {"variables": {}, "facts": facts(gpus=[A100])}, "both": {"variables": {}, "facts": None}}
    found, wrong = docker.wanted(["gpu1", "both", "left-out"], known)
    assert (list(found), wrong) == (["gpu1", "both"], [])
    found["gpu1"]["gpu"] = "nvidia"
    assert docker.hosts(found, known, {"gpu1": "192.0.2.7"}) == []
    assert found["gpu1"]["gpus"] == ["NVIDIA A100, driver 535.129.03"]
    assert "gpus" not in found["both"]
