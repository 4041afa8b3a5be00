# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which ports of each host who may reach, where the host itself has to see to that."""

from __future__ import annotations

import fnmatch
import ipaddress
import re

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.mlops.stack.plugins.module_utils.stack import addresses

#: Inventory variables that are looked at here; each host has its own.
VARIABLES = (
    "ansible_port",
    "firewall_enabled",
    "firewall_open_ports",
    "firewall_trusted_interfaces",
    "firewall_trusted_networks",
    "jupyter_public",
)

#: SSH's port, and the units that may hold the ports at which a host's SSH server listens.
SSH_PORT = 22
SSH_UNITS = ("ssh.service", "sshd.service", "ssh.socket", "sshd.socket")

#: The interfaces of Docker's networks: the first one, and all others.
CONTAINER_INTERFACES = ["docker*", "br-*"]

#: A name of interfaces: Linux allows more, and nobody uses it.
INTERFACE = re.compile(r"[A-Za-z0-9_.-]+\*?")

#: What keeps the rules.
PACKAGE = "nftables"


def enabled(name, variables):
    """Whether a host is to have a firewall, None where the inventory leaves that open, and what is wrong with it."""
    given = variables.get("firewall_enabled")
    if given in (None, ""):
        return None, []
    try:
        return boolean(given), []
    except TypeError:
        return None, ["firewall_enabled: %r on %s is not true or false: correct it." % (given, name)]


def is_port(value):
    """Whether a value is the number of a TCP port; YAML's true is none."""
    return not isinstance(value, bool) and str(value).isdigit() and 0 < int(value) < 65536


def peers(hosts, reached):
    """The addresses from which the stack's hosts come.

    :param hosts: ``{"facts": ...}`` by host name; what ``host_facts`` read, or None.
    :param reached: each host's addresses as ``addresses.of_host`` told them.
    """
    found = []
    for name, entry in hosts.items():
        own = addresses.usable((entry["facts"] or {}).get("default_address"))
        found += [address for address in (addresses.usable(reached[name]["private"]), own) if address]
    return list(dict.fromkeys(found))


def usual_ports(variables, mlflow_port, jupyter_port):
    """The ports besides that of SSH that are open to everybody where the inventory does not say which.

    :param mlflow_port: the tracking server's, None on a host without one.
    :param jupyter_port: Jupyter's, None on a host without notebooks.
    """
    ports = [mlflow_port] if mlflow_port else []
    try:
        public = boolean(variables.get("jupyter_public") or False)
    except TypeError:
        public = False  # The role refuses it.
    return ports + ([jupyter_port] if jupyter_port and public else [])


def ssh_ports(variables, listeners):
    """The ports at which a host is reached by SSH: where Ansible comes, and where its server listens.

    Behind a port that is forwarded these are two.

    :param listeners: as ``host_facts`` read them.
    """
    found = {entry["port"] for entry in listeners if entry.get("unit") in SSH_UNITS}
    return sorted(found | {int(variables.get("ansible_port") or SSH_PORT)})


def exposing(name, patterns, routes, address):
    """Sentences about trusted interfaces at which not only the host's containers are.

    :param patterns: names of interfaces, where ``*`` stands for any end.
    :param routes: as ``host_facts`` read them.
    :param address: the host's private address.
    """
    own = addresses.parse_ip(address)
    return [
        "firewall_trusted_interfaces: %s on %s is also %s, at which the other hosts are: name the interfaces of its "
        "containers only." % (pattern, name, route["interface"])
        for route in routes
        for pattern in patterns
        if own is not None
        and own in ipaddress.ip_network(route["network"])
        and fnmatch.fnmatchcase(route["interface"], pattern)
    ]


def host(name, variables, facts, private, ports):
    """What one host lets in, and sentences about what cannot be meant.

    :param facts: what ``host_facts`` read there.
    :param private: its private address.
    :param ports: what ``usual_ports`` returned.
    :returns: ``(values, problems)``; ``enabled`` is None where the inventory does not say whether there is to be a
        firewall.
    """
    wanted, problems = enabled(name, variables)
    given = variables.get("firewall_open_ports")
    if given is not None:
        if isinstance(given, list) and all(map(is_port, given)):
            ports = [int(port) for port in given]
        else:
            problems.append(
                "firewall_open_ports: %r on %s is no list of ports: write it as [22, 5000]." % (given, name)
            )
    networks = variables.get("firewall_trusted_networks") or []
    try:
        if not isinstance(networks, list):
            raise ValueError
        networks = [addresses.network(network) for network in networks]
    except ValueError:
        problems.append(
            "firewall_trusted_networks: %r on %s is no list of networks: write it as [192.0.2.0/24]." % (networks, name)
        )
        networks = []
    interfaces = variables.get("firewall_trusted_interfaces")
    interfaces = CONTAINER_INTERFACES if interfaces is None else interfaces
    if not isinstance(interfaces, list) or not all(
        isinstance(one, str) and INTERFACE.fullmatch(one) for one in interfaces
    ):
        problems.append(
            "firewall_trusted_interfaces: %r on %s is no list of names: write it as [docker0, br-*]."
            % (interfaces, name)
        )
        interfaces = []
    if wanted:
        problems += exposing(name, interfaces, facts.get("routes") or [], private)
    return {
        "enabled": wanted,
        "ssh_ports": ssh_ports(variables, facts["listeners"]),
        "open_ports": ports,
        "trusted_networks": networks,
        "trusted_interfaces": interfaces,
    }, problems
