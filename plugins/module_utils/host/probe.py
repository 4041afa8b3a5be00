# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks once whether a port or a URL can be reached. Every answer is (ok, reason); the reason is empty for ok."""

from __future__ import annotations

import base64
import http.client
import socket
from urllib.parse import unquote, urlsplit

from ansible_collections.mlops.stack.plugins.module_utils.host.sources import masked

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080, "socks": 1080, "socks4": 1080}
# What a proxy says when it wants a password, or when it does not reach what lies behind it itself.
PROXY_FAILURES = (407, 502, 503, 504)
UNUSABLE = "its URL, or that of its proxy, cannot be used"
LARGEST_PORT = 65535


def explain(error, timeout):
    """Return what an error means, in words that fit behind the name of what was asked."""
    if isinstance(error, socket.timeout):
        return "no answer within %g s" % timeout
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused"
    if isinstance(error, http.client.HTTPException):
        return "what answers there does not speak HTTP"
    if getattr(error, "verify_message", None):
        return "its certificate is not trusted: %s; set ca_bundle" % error.verify_message
    return masked(error.strerror or str(error) or type(error).__name__)


class Probe:
    """One question with its time limit. C(resolving) is true while a name is being resolved, which cannot be timed."""

    def __init__(self, timeout, find=socket.getaddrinfo):
        self.timeout = timeout
        self.find = find
        self.resolving = False

    def _addresses(self, host, port):
        self.resolving = True
        found = self.find(host, port, type=socket.SOCK_STREAM)
        self.resolving = False
        return found

    def late(self):
        """Return the answer of a probe that has not come to an end."""
        if self.resolving:
            return False, "its name could not be resolved within %g s" % self.timeout
        return False, "no answer within %g s" % self.timeout

    def port(self, host, port):
        """A connection that is accepted or refused shows that packets go there and come back."""
        try:
            if not 0 < port <= LARGEST_PORT:
                raise ValueError(port)
            self._connect(host, port)
        except ConnectionRefusedError:
            return True, ""
        except OSError as error:
            return False, explain(error, self.timeout)
        except ValueError:
            return False, "there can be no such name or port"
        return True, ""

    def _connect(self, host, port):
        addresses = self._addresses(host, port)
        problem = None
        for family, kind, protocol, _name, address in addresses:
            try:
                with socket.socket(family, kind, protocol) as connection:
                    connection.settimeout(self.timeout / len(addresses))
                    connection.connect(address)
                return
            except ConnectionRefusedError:
                raise
            except OSError as error:
                problem = error
        raise problem

    def url(self, url, proxy="", ca_bundle=None):
        """Any HTTP answer will do, unless a proxy says that it gets none itself."""
        try:
            target = urlsplit(url)
            via = urlsplit(proxy if "://" in proxy else "http://" + proxy) if proxy else None
            status = self._ask(target, via, ca_bundle)
        except http.client.InvalidURL:
            return False, UNUSABLE
        except (OSError, http.client.HTTPException) as error:
            reason = explain(error, self.timeout)
            return False, "proxy %s: %s" % (masked(proxy), reason) if proxy else reason
        except (ValueError, KeyError):
            # Only now: an untrusted certificate is also a ValueError.
            return False, UNUSABLE
        if via and status in PROXY_FAILURES:
            return False, "proxy %s: it answers with status %d" % (masked(proxy), status)
        return True, ""

    def _ask(self, target, via, ca_bundle):
        secure = target.scheme == "https"
        first = via or target
        if target.scheme not in ("http", "https") or not target.hostname or not first.hostname:
            raise ValueError(target.scheme)
        port = first.port or PORTS[first.scheme]
        if via and via.scheme != "http":
            # Only whether it is there: such a proxy cannot be spoken to without further libraries.
            self._connect(first.hostname, port)
            return None
        patience = self.timeout / len(self._addresses(first.hostname, port))
        if secure:
            connection = http.client.HTTPSConnection(first.hostname, port, timeout=patience, context=trust(ca_bundle))
        else:
            connection = http.client.HTTPConnection(first.hostname, port, timeout=patience)
        try:
            return self._status(connection, target, via, secure)
        finally:
            connection.close()

    def _status(self, connection, target, via, secure):
        host = "[%s]" % target.hostname if ":" in target.hostname else target.hostname
        place = "%s:%d" % (host, target.port or PORTS[target.scheme])
        path = (target.path or "/") + ("?" + target.query if target.query else "")
        headers = {"Host": place if target.port else host, "Connection": "close", "User-Agent": "mlops.stack"}
        credentials = proxy_authorization(via)
        if via and secure:
            connection.set_tunnel(target.hostname, target.port or PORTS["https"], credentials)
        elif via:
            path = "http://%s%s" % (headers["Host"], path)
            headers.update(credentials)
        connection.connect()
        connection.sock.settimeout(self.timeout)
        connection.request("HEAD", path, headers=headers)
        return connection.getresponse().status


def trust(ca_bundle):
    """Return how certificates are verified: by the authorities in a file, or by the system's."""
    import ssl  # pylint: disable=import-outside-toplevel

    try:
        return ssl.create_default_context(cafile=ca_bundle or None)
    except (OSError, ValueError) as error:
        raise OSError(0, "the ca_bundle %s cannot be used: %s" % (ca_bundle, error)) from error


def proxy_authorization(via):
    """Return the header that gives a proxy the user and password of its URL."""
    if via is None or via.username is None:
        return {}
    pair = "%s:%s" % (unquote(via.username), unquote(via.password or ""))
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")}
