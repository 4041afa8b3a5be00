#!/usr/bin/python
# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: reachable
short_description: Find out what a host cannot reach over the network
version_added: "0.1.0"
description:
  - Tries ports and URLs from a host, all side by side, and returns for each whether it can be reached and why not.
  - It never fails because something cannot be reached; that is left to the caller, who can name the host.
  - A port is reachable when a connection is accepted or refused, since either shows that packets go there and come
    back; the service itself may not be installed yet. A URL is reachable when it has any HTTP answer.
options:
  targets:
    description:
      - What to try, by O(targets[].host) and O(targets[].port) or by O(targets[].url).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - What to call it in the results. By default the host with its port, or the URL.
        type: str
      host:
        description:
          - A name or address to connect to, without any proxy.
        type: str
      port:
        description:
          - The TCP port to connect to.
        type: int
      url:
        description:
          - An C(http) or C(https) URL to ask, through the proxy that O(proxies) names for it.
          - Through a proxy, the statuses 407, 502, 503 and 504 do not count, with which it says that it has no answer.
        type: str
  apt_sources:
    description:
      - Also try the package sources with C(http) and C(https) in C(/etc/apt/sources.list) and
        C(/etc/apt/sources.list.d), through the proxy that apt is configured to use, or that of O(proxies).
    type: bool
    default: false
  ca_bundle:
    description:
      - A file on the host with the certificates of the authorities to trust for C(https). By default those of the
        system, and for package sources what apt is configured to use.
    type: path
  proxies:
    description:
      - The proxies to ask through. What is not named here is taken from the environment (C(http_proxy),
        C(https_proxy) and C(no_proxy)).
  timeout:
    description:
      - How long to wait for the answers, in seconds, for all of them together.
    type: int
    default: 10
extends_documentation_fragment:
  - mlops.stack.attributes.info
  - mlops.stack.proxies
author:
  - The mlops.stack authors (@mlops-stack)
"""

EXAMPLES = r"""
- name: Try the database and the package sources
  mlops.stack.reachable:
    targets:
      - name: PostgreSQL of db1
        host: 192.0.2.10
        port: 5432
      - name: the package index
        url: https://packages.example.com/simple/
    apt_sources: true
  register: reached

- name: Say what cannot be reached
  ansible.builtin.assert:
    that: reached.results | rejectattr('ok') | length == 0
    fail_msg: "{{ reached.results | mlops.stack.unreachable(inventory_hostname) | join(' ') }}"
"""

RETURN = r"""
results:
  description: What was tried, in the order of O(targets), the package sources last.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What it is called. Users and passwords in URLs are hidden.
      type: str
      sample: PostgreSQL of db1
    ok:
      description: Whether it can be reached.
      type: bool
      sample: false
    reason:
      description: Why it cannot be reached; empty where it can.
      type: str
      sample: no answer within 10 s
    seconds:
      description: How long the answer took.
      type: float
      sample: 0.013
"""

from ansible_collections.mlops.stack.plugins.module_utils.host import reach
from ansible_collections.mlops.stack.plugins.module_utils.host.read import Host
from ansible_collections.mlops.stack.plugins.module_utils.host.sources import passwords
from ansible_collections.mlops.stack.plugins.module_utils.process.quiet import QuietModule

TARGET = dict(name=dict(type="str"), host=dict(type="str"), port=dict(type="int"), url=dict(type="str"))
ARGUMENTS = dict(
    targets=dict(
        type="list",
        elements="dict",
        default=[],
        options=TARGET,
        mutually_exclusive=[("host", "url"), ("port", "url")],
        required_one_of=[("host", "url")],
        required_together=[("host", "port")],
    ),
    apt_sources=dict(type="bool", default=False),
    ca_bundle=dict(type="path"),
    proxies=dict(
        type="dict",
        options=dict(
            http=dict(type="str", no_log=True),
            https=dict(type="str", no_log=True),
            no_proxy=dict(type="str"),
        ),
    ),
    timeout=dict(type="int", default=10),
)


def main():
    module = QuietModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    proxies = reach.proxies_in_force(params["proxies"])
    urls = [target["url"] or "" for target in params["targets"]] + list(proxies.values())
    # What Ansible shows of the options does not carry passwords either. A proxy without one may be named.
    module.no_log_values.difference_update(url for url in urls if not passwords([url]))
    module.no_log_values.update(passwords(urls))
    questions = reach.target_questions(params["targets"], params["ca_bundle"], proxies)
    if params["apt_sources"]:
        questions += reach.source_questions(Host(), params["ca_bundle"], proxies)
    module.exit_json(changed=False, results=reach.ask(questions, params["timeout"]))


if __name__ == "__main__":
    main()
