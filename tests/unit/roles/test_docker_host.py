# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role docker_host installs, and from where: also the vendors' repositories, which tests cannot reach."""

from __future__ import annotations

import pathlib

import pytest

TEMPLATE = pathlib.Path(__file__).parents[3] / "roles/docker_host/templates/repository.sources.j2"
SYSTEMS = {
    "bookworm": {"id": "debian", "version_id": "12", "codename": "bookworm"},
    "trixie": {"id": "debian", "version_id": "13", "codename": "trixie"},
    "noble": {"id": "ubuntu", "version_id": "24.04", "codename": "noble"},
}
COMMON = ["apparmor", "python3-requests"]
MANAGED = ["mlops.stack=managed"]


def variables(suite="trixie", package=None, version=None, packages=(), **more):
    """What the role sees on a host."""
    found = {"package": package, "version": version, "config": "absent", "users": []}
    wanted = {
        "repository": "distribution",
        "gpu": "none",
        "gpus": [],
        "data_dir": "/var/lib/docker",
        "address_pools": [],
        "replace_config": False,
    }
    return {
        "inventory_hostname": "vm",
        "common_host": {"os": SYSTEMS[suite], "packages": list(packages), "docker": found, "users": ["ops", "root"]},
        "common_stack": {"docker": {"vm": wanted}, "paths": {"config": "/etc/stack"}},
        **more,
    }


def sources(repository):
    """The text of a repository's source."""
    return "lookup('ansible.builtin.template', '%s', template_vars={'__docker_host_repository': %s})" % (
        TEMPLATE,
        repository,
    )


NAMES = "__docker_host_repositories | map(attribute='name')"
VALIDATE = "__docker_host_files[1].validate | default('none')"
# By what is looked at: expression, variables, value.
CASES = {
    "Debian 12": ("__docker_host_packages", variables("bookworm"), ["docker.io", *COMMON]),
    "Debian 13": ("__docker_host_packages", variables("trixie"), ["docker.io", "docker-cli", *COMMON]),
    "Ubuntu": ("__docker_host_packages", variables("noble"), ["docker.io", *COMMON]),
    "Docker's own": (
        "__docker_host_packages",
        variables(docker_host_repository="docker"),
        ["docker-ce", "docker-ce-cli", "containerd.io", *COMMON],
    ),
    "an engine that is there": (
        "__docker_host_packages",
        variables(package="docker-ce"),
        ["docker-ce", "docker-ce-cli", "containerd.io", *COMMON],
    ),
    "for NVIDIA": (
        "__docker_host_packages",
        variables("noble", docker_host_gpu="nvidia"),
        ["docker.io", *COMMON, "nvidia-container-toolkit"],
    ),
    "the distribution has it all": (NAMES, variables(), []),
    "from Docker and NVIDIA": (
        NAMES,
        variables(docker_host_repository="docker", docker_host_gpu="nvidia"),
        ["docker", "nvidia"],
    ),
    "from NVIDIA alone": (
        NAMES,
        variables(package="docker.io", docker_host_repository="docker", docker_host_gpu="nvidia"),
        ["nvidia"],
    ),
    "what is there needs no repository": (
        NAMES,
        variables(package="docker.io", docker_host_gpu="nvidia", packages=["nvidia-container-toolkit"]),
        [],
    ),
    "Docker's source": (
        sources("__docker_host_docker_repository"),
        variables("noble"),
        "# Managed by mlops.stack: changes made here are overwritten.\n"
        "Types: deb\n"
        "URIs: https://download.docker.com/linux/ubuntu\n"
        "Suites: noble\n"
        "Components: stable\n"
        "Signed-By: /etc/apt/keyrings/mlops-stack-docker.asc\n",
    ),
    "NVIDIA's source": (
        sources("__docker_host_nvidia_repository"),
        variables(),
        "# Managed by mlops.stack: changes made here are overwritten.\n"
        "Types: deb\n"
        "URIs: https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH)\n"
        "Suites: /\n"
        "Signed-By: /etc/apt/keyrings/mlops-stack-nvidia.asc\n",
    ),
    "settings": (
        "__docker_host_settings",
        variables(docker_host_settings={"debug": True, "labels": ["rack=7"], "log-driver": "journald"}),
        {
            "data-root": "/var/lib/docker",
            "default-address-pools": [],
            "live-restore": True,
            "log-driver": "journald",
            "log-opts": {"max-size": "20m", "max-file": "3"},
            "debug": True,
            "labels": [*MANAGED, "rack=7"],
        },
    ),
    "settings for NVIDIA": (
        "__docker_host_settings | dict2items | selectattr('key', 'in', ['exec-opts', 'features', 'runtimes', 'labels'])"
        " | items2dict",
        variables(docker_host_gpu="nvidia"),
        {
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "features": {"cdi": True},
            "labels": MANAGED,
            "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}},
        },
    ),
    "nobody can check them yet": (VALIDATE, variables(), "none"),
    "an old engine cannot": (VALIDATE, variables(package="docker.io", version="20.10.24"), "none"),
    "Debian's engine checks them": (
        VALIDATE,
        variables(package="docker.io", version="26.1.5"),
        "/usr/sbin/dockerd --validate --config-file=%s",
    ),
    "Docker's engine checks them": (
        VALIDATE,
        variables(package="docker-ce", version="27.3.1"),
        "/usr/bin/dockerd --validate --config-file=%s",
    ),
    "environment": (
        "__docker_host_environment | mlops.stack.systemd_environment",
        variables(common_proxies={"https": "http://proxy:3128"}, docker_host_environment={"A": 1}),
        'HTTPS_PROXY="http://proxy:3128"\nA="1"\n',
    ),
    "no environment": ("__docker_host_environment | mlops.stack.systemd_environment", variables(), ""),
    "users": ("docker_host_users", variables(ansible_user="ops"), ["ops"]),
    "root needs no group": ("docker_host_users", variables(ansible_user="root"), []),
    "an account of a directory": ("docker_host_users", variables(ansible_user="ann"), []),
    "what nvidia-smi said": (
        "__docker_host_gpus",
        variables(__docker_host_asked={"rc": 0, "stdout_lines": ["NVIDIA A100, 40960 MiB, 535.1"]}),
        ["NVIDIA A100, 40960 MiB, driver 535.1"],
    ),
}


@pytest.fixture(scope="module")
def values(evaluate):
    """All cases' values."""
    requests = [["docker_host", expression, known] for expression, known, _value in CASES.values()]
    return dict(zip(CASES, evaluate(requests), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_value(values, name):
    assert values[name] == CASES[name][-1]
