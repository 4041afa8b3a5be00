# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks once whether a service is healthy: an HTTP status, an open port, or a command that succeeds."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

PATIENCE = 5.0


def url(target, statuses, ca_bundle=None, timeout=PATIENCE):
    """Return (healthy, what was seen). No proxy is used and no redirection is followed."""
    import http.client  # pylint: disable=import-outside-toplevel

    parts = urlsplit(target)
    if parts.scheme == "https":
        import ssl  # pylint: disable=import-outside-toplevel

        try:
            context = ssl.create_default_context(cafile=ca_bundle)
        except OSError as error:
            return False, "%s: %s" % (ca_bundle, reason(error))
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("GET", (parts.path or "/") + ("?" + parts.query if parts.query else ""))
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return False, reason(error)
    finally:
        connection.close()
    return status in statuses, "status %d" % status


def tcp(target, timeout=PATIENCE):
    """Return (healthy, what was seen) for host:port."""
    host, separator, port = target.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout).close()
    except OSError as error:
        return False, reason(error)
    return True, "connected"


def command(argv, run, timeout=PATIENCE):
    """Return (healthy, what was seen) for a command."""
    result = run(argv, timeout)
    if result.timed_out:
        return False, "it took longer than %d s" % timeout
    lines = (result.err + result.out).strip().splitlines()
    return result.rc == 0, "exit status %d%s" % (result.rc, ": %s" % lines[-1] if lines else "")


def reason(error):
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def check(health, run, timeout=PATIENCE):
    """Ask once, in the way that was chosen."""
    if health.get("url"):
        return url(health["url"], health["status"], health.get("ca_bundle"), timeout)
    if health.get("tcp"):
        return tcp(health["tcp"], timeout)
    return command(health["command"], run, timeout)


def target_of(health):
    """What is asked, for a message."""
    return health.get("url") or health.get("tcp") or "the command '%s'" % " ".join(health["command"])
