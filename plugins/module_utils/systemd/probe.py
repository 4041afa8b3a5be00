# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks once whether a service is healthy: an HTTP status, an open port, or a command that succeeds."""

from __future__ import annotations

import contextlib
import re
import socket

PATIENCE = 5.0
LONGEST_LINE = 4096
URL = re.compile(r"(https?)://(?:[^/?#]*@)?(\[[^]/]+\]|[^/?#:]+)(?::(\d+))?([/?][^#]*)?")
STATUS = re.compile(rb"HTTP/1\.\d (\d{3})\b")


def url(target, statuses, ca_bundle=None, timeout=PATIENCE):
    """Return (healthy, what was seen). No proxy is used and no redirection is followed.

    Only the first line of the answer counts. Python's own client for HTTP would take longer to load than to ask.
    """
    parts = URL.match(target)
    if not parts:
        return False, "it is no URL"
    scheme, host, port, path = parts.groups()
    path = path or "/"
    request = "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (
        path if path.startswith("/") else "/" + path,
        "%s:%s" % (host, port) if port else host,
    )
    place = (host.strip("[]"), int(port or (443 if scheme == "https" else 80)))
    try:
        with contextlib.ExitStack() as stack:
            wrap = trust(ca_bundle).wrap_socket if scheme == "https" else None
            connection = stack.enter_context(socket.create_connection(place, timeout))
            if wrap:
                connection = stack.enter_context(wrap(connection, server_hostname=place[0]))
            connection.sendall(request.encode("utf-8"))
            line = first_line(connection)
    except OSError as error:
        return False, reason(error)
    found = STATUS.match(line)
    if not found:
        return False, "no HTTP: %s" % (line.decode("utf-8", "replace") or "nothing")
    return int(found.group(1)) in statuses, "status %d" % int(found.group(1))


def trust(ca_bundle):
    """How certificates are verified: by the authorities in a file, or by the system's."""
    import ssl  # pylint: disable=import-outside-toplevel

    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        raise OSError(0, "%s: %s" % (ca_bundle, reason(error))) from error


def first_line(connection):
    """The first line that comes, without its end."""
    data = b""
    while b"\n" not in data and len(data) < LONGEST_LINE:
        more = connection.recv(LONGEST_LINE)
        if not more:
            break
        data += more
    return data.partition(b"\n")[0].strip()


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
