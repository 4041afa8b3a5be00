# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a host's interfaces and its cloud's metadata service for an address."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
import urllib.error
import urllib.request

from ansible_collections.mlops.stack.plugins.module_utils.address import plan

METADATA_URL = "http://169.254.169.254/latest/meta-data/public-ipv4"
# Longer answers are no addresses.
LONGEST = 4096
SIOCGIFADDR = 0x8915
IF_INET6 = "/proc/net/if_inet6"


class Reader:
    """Reads the host that it runs on.

    :param default_address: returns the address of the default route, or None.
    :param opener: opens a URL as urllib does.
    """

    def __init__(self, default_address, opener=None, if_inet6=IF_INET6):
        # No proxy stands between a host and its metadata service, whatever the environment says.
        self.opener = opener or urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.default_address = default_address
        self.if_inet6 = if_inet6

    def public(self, order, address=None, interface=None, metadata_url=METADATA_URL, family=None, timeout=2):
        """What plan.choose() says of the sources in this order; ``timeout`` in seconds is the metadata service's."""

        def ask(source):
            if source == plan.INVENTORY:
                return plan.from_inventory(address, family)
            if source == plan.INTERFACE:
                return plan.from_interface(self.interface(interface), interface, family)
            return plan.from_metadata(*self.metadata(metadata_url, timeout), family=family)

        return plan.choose(order, ask)

    def interface(self, name):
        """The addresses of an interface, or of the default route where no name is given; None without the interface."""
        if not name:
            return [self.default_address()] if self.default_address() else []
        if name not in [known for _number, known in socket.if_nameindex()]:
            return None
        return self._ipv4(name) + self._ipv6(name)

    def _ipv4(self, name):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            try:
                answer = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                return []
        return [socket.inet_ntoa(answer[20:24])]

    def _ipv6(self, name):
        try:
            with open(self.if_inet6, encoding="ascii") as file:
                rows = [line.split() for line in file]
        except OSError:
            return []
        return [str(ipaddress.IPv6Address(int(row[0], 16))) for row in rows if row[-1] == name]

    def metadata(self, url, timeout):
        """``(answer, None)``, or ``("", why there is none)``."""
        try:
            with self.opener.open(url, timeout=timeout) as response:
                return response.read(LONGEST).decode("utf-8", "replace"), None
        except urllib.error.HTTPError as error:
            return "", "the metadata service at %s answers with status %d" % (url, error.code)
        except (OSError, ValueError) as error:
            return "", "there is no metadata service at %s (%s)" % (url, getattr(error, "reason", error))
