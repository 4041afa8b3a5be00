# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure readers of apt's package sources and proxies."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

USER_INFORMATION = re.compile(r"(://)[^/\s]*@")
SETTING = re.compile(r'^([^\s"]+) "(.*)";$', re.MULTILINE)
ONE_LINE = re.compile(r"^[ \t]*deb(?:-src)?[ \t]+(?:\[[^\]\n]*\][ \t]*)?(\S+)[ \t]+(\S+)", re.MULTILINE)
NO = ("no", "false", "without", "off", "disable", "0")


def masked(text):
    """Return a text without the users and passwords of the URLs in it."""
    return USER_INFORMATION.sub(r"\1***@", text)


def passwords(urls):
    """Return the passwords in URLs."""
    found = set()
    for url in urls:
        information = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
        password = information.partition(":")[2]
        if password:
            found.add(password)
    return found


def one_line(text):
    """Return [(uri, suite)] of a file of one-line entries, such as /etc/apt/sources.list."""
    return ONE_LINE.findall(text)


def deb822(text):
    """Return [(uri, suite)] of a .sources file; every URI comes with its first suite."""
    found = []
    for stanza in re.split(r"\n(?:[ \t]*\n)+", text):
        fields = _fields(stanza)
        if " ".join(fields.get("enabled", ())).lower() not in NO and fields.get("suites"):
            found += [(uri, fields["suites"][0]) for uri in fields.get("uris", ())]
    return found


def _fields(stanza):
    """Return the words of each field of a stanza, by the field's name in small letters."""
    fields, words = {}, []
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith((" ", "\t")):
            name, _colon, line = line.partition(":")
            words = fields.setdefault(name.strip().lower(), [])
        words += line.split()
    return fields


def probes(entries):
    """Return {uri: the URL to ask for}, for the distinct http and https ones of [(uri, suite)]."""
    found = {}
    for uri, suite in entries:
        if uri.startswith(("http://", "https://")):
            folder = suite if suite.endswith("/") else "dists/%s/" % suite
            found.setdefault(uri.rstrip("/"), "%s/%sInRelease" % (uri.rstrip("/"), folder.lstrip("./")))
    return found


def settings(dump):
    """Return {name in small letters: value} of what apt-config dump says."""
    return {name.lower(): value for name, value in SETTING.findall(dump)}


def apt_proxy(url, config, environment, bypass):
    """Return the proxy that apt uses for a URL, empty for none.

    :param config: what settings() returned.
    :param environment: the environment's proxies by scheme.
    :param bypass: tells whether no_proxy names a host.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    schemes = ("https", "http") if parts.scheme == "https" else ("http",)
    configured = [config.get("acquire::%s::proxy::%s" % (scheme, host)) for scheme in schemes]
    configured += [config.get("acquire::%s::proxy" % scheme) for scheme in schemes]
    inherited = [environment.get(scheme) for scheme in schemes]
    chosen = next(filter(None, configured + inherited), "")
    return "" if chosen in ("DIRECT", "false") or bypass(host) else chosen


def proxy_finder(config):
    """Return the command that tells apt which proxy to use for a URL, None where there is none."""
    for name in ("proxy-auto-detect", "proxyautodetect"):
        command = config.get("acquire::http::" + name)
        if command:
            return command
    return None
