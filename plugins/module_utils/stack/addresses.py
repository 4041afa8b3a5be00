# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""At which address each host is reached: by its neighbours, from outside, and by name."""

from __future__ import annotations

import ipaddress


def parse_ip(value):
    """The ``ipaddress`` object for a literal address, or None for a name, an empty value or no value at all."""
    try:
        return ipaddress.ip_address(str(value or "").strip().strip("[]"))
    except ValueError:
        return None


def usable(value):
    """A literal address that another host could use, as text, or None (loopback, wildcard, link-local, a name)."""
    address = parse_ip(value)
    if address is None or address.is_loopback or address.is_unspecified or address.is_link_local:
        return None
    return str(address)


def url_host(host, own=None):
    """The host part of a URL: IPv6 literals stand in brackets.

    :param host: a name or an address, which may be that of a listener.
    :param own: the host's own address, for a listener that takes every address.
    """
    address = parse_ip(host)
    if own and address is not None and address.is_unspecified:
        host, address = own, parse_ip(own)
    return "[%s]" % address if address is not None and address.version == 6 else host


def any_address(host):
    """The address that stands for all of a host's own, of the kind that the given one is."""
    address = parse_ip(host)
    return "::" if address is not None and address.version == 6 else "0.0.0.0"


def network(value):
    """A network in CIDR form; a bare address is the network of that one host.

    :raises ValueError: for text that is neither.
    """
    return str(ipaddress.ip_network(str(value).strip(), strict=True))


def is_name(value):
    """Whether a value is a host name that a client could use, not an address and not localhost."""
    return bool(value) and parse_ip(value) is None and value != "localhost"


def of_host(name, variables, facts):
    """The addresses of one host.

    :param name: the host's name in the inventory.
    :param variables: its inventory variables: ``ansible_host``, ``common_private_address``, ``common_public_address``
        and ``common_public_names``; each may be missing.
    :param facts: what ``host_facts`` read there, its ``public`` address above all, or None for a host that was
        not looked at.
    :returns: dict with ``private`` (text or None), ``public`` (text or None) and ``names`` (list of text).
    """
    reached_at = variables.get("ansible_host") or name
    seen = facts or {}
    private = variables.get("common_private_address") or usable(seen.get("default_address")) or usable(reached_at)
    public = variables.get("common_public_address") or usable(reached_at) or private
    names = list(variables.get("common_public_names") or [])
    if is_name(variables.get("ansible_host")):
        names.append(variables["ansible_host"])
    found = (seen.get("public") or {}).get("address")
    if found and not is_name(found):
        public = found
    return {"private": private, "public": public, "names": list(dict.fromkeys(names))}


def allowed_hosts(hosts, port):
    """Host headers that an MLflow server answers to.

    MLflow compares the header exactly, port included, so every name is emitted with and without one. Its own
    defaults are replaced as soon as the list is set: localhost is kept for health checks and SSH tunnels.

    :param hosts: iterable of addresses and names.
    :param port: the server's TCP port.
    :returns: list of patterns in a stable order, without repetition.
    """
    patterns = []
    for host in ["localhost", "127.0.0.1", "[::1]", *[url_host(host) for host in hosts if host]]:
        patterns += [host, "%s:%d" % (host, port)]
    # An SSH tunnel ends at any local port.
    patterns += ["localhost:*", "127.0.0.1:*"]
    return list(dict.fromkeys(patterns))


def origins(hosts, port):
    """Origins a browser may call the server's API from: the server's own pages, at each of its addresses."""
    return list(dict.fromkeys("http://%s:%d" % (url_host(host), port) for host in hosts if host))
