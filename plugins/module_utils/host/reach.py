# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of one reachable call: targets and package sources in, results out."""

from __future__ import annotations

import threading
import time
from urllib.request import getproxies_environment, proxy_bypass_environment

from ansible_collections.mlops.stack.plugins.module_utils.host import sources
from ansible_collections.mlops.stack.plugins.module_utils.host.probe import Probe
from ansible_collections.mlops.stack.plugins.module_utils.process.run import run

PARTS = "/etc/apt/sources.list.d"
COMMAND_SECONDS = 10
GRACE_SECONDS = 0.5


def proxies_in_force(given):
    """Return the proxies by scheme, and under C(no) what is reached without: those given, else the environment's."""
    found = getproxies_environment()
    for name, value in (given or {}).items():
        if value:
            found["no" if name == "no_proxy" else name] = value
    return found


def target_questions(targets, ca_bundle, proxies):
    """Return [(name, question)]; a question takes a Probe and returns (ok, reason)."""
    return [_target_question(target, ca_bundle, proxies) for target in targets]


def _target_question(target, ca_bundle, proxies):
    url, host, port = target["url"], target["host"], target["port"]
    if not url:
        return target["name"] or "%s:%d" % (host, port), lambda probe: probe.port(host, port)
    scheme, _separator, rest = url.partition("://")
    place = rest.partition("/")[0].rpartition("@")[2]
    proxy = "" if proxy_bypass_environment(place, proxies) else proxies.get(scheme.lower(), "")
    return target["name"] or url, lambda probe: probe.url(url, proxy, ca_bundle)


def source_questions(host, ca_bundle, proxies, command=run):
    """Return [(name, question)] for the package sources of a host, asked as apt asks them."""
    entries = sources.one_line(host.text("/etc/apt/sources.list"))
    for name in host.names(PARTS):
        if name.endswith(".list"):
            entries += sources.one_line(host.text("%s/%s" % (PARTS, name)))
        elif name.endswith(".sources"):
            entries += sources.deb822(host.text("%s/%s" % (PARTS, name)))
    wanted = sources.probes(entries)
    config = sources.settings(command(["apt-config", "dump"], COMMAND_SECONDS).out) if wanted else {}
    return [_source_question(uri, url, config, ca_bundle, proxies, command) for uri, url in wanted.items()]


def _source_question(uri, url, config, ca_bundle, proxies, command):
    proxy = sources.apt_proxy(url, config, proxies, lambda place: proxy_bypass_environment(place, proxies))
    finder = sources.proxy_finder(config)
    if finder:
        lines = command([finder, uri], COMMAND_SECONDS).out.splitlines()
        found = lines[0].strip() if lines else ""
        proxy = "" if found == "DIRECT" else found or proxy
    ca_bundle = config.get("acquire::https::cainfo") or ca_bundle
    return "the package source " + uri, lambda probe: probe.url(url, proxy, ca_bundle)


def ask(questions, timeout, make_probe=Probe):
    """Ask all questions side by side and return their results; that takes little longer than the time limit."""
    began = time.monotonic()
    asked = []
    for _name, question in questions:
        probe, answer = make_probe(timeout), []
        thread = threading.Thread(target=_answer, args=(probe, question, began, answer), daemon=True)
        thread.start()
        asked.append((probe, answer, thread))
    results = []
    for (name, _question), (probe, answer, thread) in zip(questions, asked):
        thread.join(max(0.0, began + timeout + GRACE_SECONDS - time.monotonic()))
        ok, reason, seconds = answer[0] if answer else (*probe.late(), time.monotonic() - began)
        results.append(dict(name=sources.masked(name), ok=ok, reason=reason, seconds=round(seconds, 3)))
    return results


def _answer(probe, question, began, answer):
    ok, reason = question(probe)
    answer.append((ok, reason, time.monotonic() - began))
