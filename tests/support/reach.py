# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports this machine reaches."""

from __future__ import annotations

import contextlib
import socket

PATIENCE = 2


def ports(address, wanted):
    """Those of the wanted TCP ports of an address that take a connection."""
    return [port for port in wanted if answers(address, port)]


def answers(address, port):
    """Whether a TCP port takes a connection."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=PATIENCE):
        return True
    return False
