# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that run containers: whether each can carry Docker as the inventory wants it, with the GPUs it promises."""

from __future__ import annotations

import ipaddress

from ansible.module_utils.parsing.convert_bool import boolean

#: The inventory's variables of such a host with their defaults; each host has its own.
DEFAULTS = {
    "docker_host_gpu": "none",
    "docker_host_repository": "distribution",
    "docker_host_address_pools": [{"base": "10.213.0.0/16", "size": 24}],
    "docker_host_data_dir": "/var/lib/docker",
    "docker_host_replace_config": False,
}

#: Inventory variables that are looked at here.
VARIABLES = (*DEFAULTS, "docker_host_users")

CHOICES = {"docker_host_gpu": ("none", "nvidia", "amd"), "docker_host_repository": ("distribution", "docker")}

#: The oldest engine that the collection's modules work with.
MINIMUM_ENGINE = (20, 10)

#: What the modules that manage containers need on a host, and what brings NVIDIA's GPUs into containers.
CLIENT_PACKAGE = "python3-requests"
NVIDIA_PACKAGE = "nvidia-container-toolkit"

#: What has to be there for each kind of GPU.
EVIDENCE = {
    "nvidia": ("an NVIDIA GPU", "its driver shows none in /proc/driver/nvidia/gpus"),
    "amd": ("an AMD GPU", "there is no /dev/kfd with a device in /dev/dri"),
}


def planned(groups, hosts):
    """The hosts that a plan is about.

    Nobody needs to know anything about a host that only runs notebooks: with ``--limit`` it may be left out.
    """
    others = {host for service, members in groups.items() if service != "jupyter" for host in members}
    return {name: entry for name, entry in hosts.items() if entry["facts"] is not None or name in others}


def wanted(members, hosts):
    """What the inventory wants on each host that runs notebooks, by host, and sentences about what cannot be meant."""
    found, problems = {}, []
    for name in members:
        if name in hosts:
            found[name], wrong = choices(hosts[name]["variables"])
            problems += wrong
    return found, problems


def hosts(notebooks, known, addresses):
    """Sentences about all hosts that run notebooks; what was seen of their GPUs is added to what is wanted there.

    :param notebooks: what ``wanted`` returned.
    :param known: ``{"variables": ..., "facts": ...}`` by host name.
    :param addresses: private addresses of the stack's hosts, by host.
    """
    problems = []
    for name, values in notebooks.items():
        facts = known[name]["facts"]
        if facts is not None:
            values["gpus"] = seen(facts, values["gpu"])
            problems += host(name, facts, values, addresses)
    return problems


def choices(variables):
    """What the inventory wants on one host.

    :param variables: the host's inventory variables; each may be missing.
    :returns: ``(values, problems)``; values by the variables' names without their prefix, ``users`` None where the
        inventory says nothing.
    """
    values = {name: variables[name] if variables.get(name) is not None else value for name, value in DEFAULTS.items()}
    problems = []
    for name, allowed in CHOICES.items():
        if values[name] not in allowed:
            problems.append("%s: %r is unknown: use one of %s." % (name, values[name], ", ".join(allowed)))
    try:
        values["docker_host_replace_config"] = boolean(values["docker_host_replace_config"])
    except TypeError:
        problems.append(
            "docker_host_replace_config: %r is not true or false: correct it." % values["docker_host_replace_config"]
        )
    folder = values["docker_host_data_dir"]
    if not isinstance(folder, str) or not folder.startswith("/") or folder == "/":
        problems.append("docker_host_data_dir: %r is no folder: write its whole path." % folder)
    problems += malformed_pools(values["docker_host_address_pools"])
    values["docker_host_users"] = variables.get("docker_host_users")
    return {name.replace("docker_host_", ""): value for name, value in values.items()}, problems


def malformed_pools(pools):
    """Sentences about address pools that no engine could use."""
    if isinstance(pools, list) and pools and all(is_pool(pool) for pool in pools):
        return []
    return [
        "docker_host_address_pools: %r is no list of networks and the prefix length of their parts: write it as "
        "[{base: 10.213.0.0/16, size: 24}]." % (pools,)
    ]


def is_pool(pool):
    """Whether a pool is a network and the prefix length of the parts that it is to be cut into."""
    try:
        network = ipaddress.ip_network(pool["base"])
        return isinstance(pool["base"], str) and network.prefixlen <= int(pool["size"]) <= network.max_prefixlen
    except (KeyError, TypeError, ValueError):
        return False


def is_installed(facts, values):
    """Whether a host has all the packages; an engine that is there already stays, whoever installed it."""
    needed = {CLIENT_PACKAGE} | ({NVIDIA_PACKAGE} if values["gpu"] == "nvidia" else set())
    return facts["docker"]["package"] is not None and needed <= set(facts["packages"])


def host(name, facts, values, addresses):
    """Sentences about a host that cannot carry what the inventory wants there.

    :param name: the host's inventory name.
    :param facts: what ``host_facts`` read there.
    :param values: what ``choices`` returned.
    :param addresses: private addresses of the stack's hosts, by host.
    """
    return (
        missing_gpu(name, facts, values["gpu"])
        + engine(name, facts["docker"], values)
        + collisions(name, facts["routes"], values["address_pools"], addresses)
        + [
            "docker_host_users: %s has no account on %s: make the account first, or leave the name out." % (user, name)
            for user in values["users"] or []
            if user not in facts["users"]
        ]
    )


def missing_gpu(name, facts, promised):
    """Sentences about a GPU that the inventory promises and the host does not have."""
    if promised == "none":
        return []
    if not any(gpu["vendor"] == promised for gpu in facts["gpus"]):
        what, reason = EVIDENCE[promised]
        return [
            "%s is to have %s (docker_host_gpu: %s), and %s; what was seen is %s: install the driver, or set "
            "docker_host_gpu to what the host has."
            % (name, what, promised, reason, "; ".join(map(described, facts["gpus"])) or "no GPU")
        ]
    if promised == "amd" and "render" not in facts["group_ids"]:
        return [
            "%s has an AMD GPU and no group render, whose members may use it: install AMD's driver, or make the group."
            % name
        ]
    return []


def seen(facts, promised):
    """The promised GPUs of a host in words."""
    return [described(gpu) for gpu in facts["gpus"] if gpu["vendor"] == promised]


def described(gpu):
    """A GPU in words: what is known of its model, memory and driver."""
    known = [gpu["model"] or "%s GPU of unknown model" % gpu["vendor"].upper()]
    if gpu["memory_mb"]:
        known.append("%d MiB" % gpu["memory_mb"])
    if gpu["driver"]:
        known.append("driver %s" % gpu["driver"])
    return ", ".join(known)


def engine(name, found, values):
    """Sentences about an engine that is there already and must not be taken over, or cannot be used."""
    problems = []
    if found["config"] == "foreign" and not values["replace_config"]:
        problems.append(
            "%s has an /etc/docker/daemon.json that mlops.stack did not write: put what you need of it into "
            "docker_host_settings, and set docker_host_replace_config to true; the old file is kept beside it." % name
        )
    if found["package"] is None:
        return problems
    if found["version"] and tuple(int(part) for part in found["version"].split(".")[:2]) < MINIMUM_ENGINE:
        problems.append(
            "%s has Docker Engine %s: upgrade the package %s to %s or newer."
            % (name, found["version"], found["package"], ".".join(map(str, MINIMUM_ENGINE)))
        )
    if found["objects"] and found["data_dir"].rstrip("/") != values["data_dir"].rstrip("/"):
        problems.append(
            "docker_host_data_dir: %s would leave behind the containers and volumes that %s has in %s: set it to that "
            "folder, or move them with the engine stopped." % (values["data_dir"], name, found["data_dir"])
        )
    return problems


def collisions(name, routes, pools, addresses):
    """Sentences about pools whose networks would hide others that the host has to reach."""
    problems = []
    for pool in pools:
        network = ipaddress.ip_network(pool["base"])
        for route in routes:
            other = ipaddress.ip_network(route["network"])
            if network.version == other.version and network.overlaps(other):
                problems.append(
                    "docker_host_address_pools: %s on %s overlaps with %s, which the host reaches through %s: choose "
                    "another network." % (network, name, other, route["interface"])
                )
        for owner, address in addresses.items():
            if ipaddress.ip_address(address) in network:
                problems.append(
                    "docker_host_address_pools: %s on %s contains %s, the address of %s: choose another network."
                    % (network, name, address, owner)
                )
    return problems
