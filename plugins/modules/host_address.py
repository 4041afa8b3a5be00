#!/usr/bin/python
# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_address
short_description: Find the address at which others reach a host
version_added: "0.1.0"
description:
  - Asks several sources in the order given, and returns the first address that others can use.
  - Loopback, link-local and unspecified addresses are passed over, and so are answers that are no address, such as the
    sign-in page of a captive network.
  - No service outside the host and its cloud is ever asked.
options:
  sources:
    description:
      - Where to look, the best source first.
      - V(inventory) is O(address), V(interface) the address of O(interface), V(metadata) what the cloud's metadata
        service says.
    type: list
    elements: str
    choices: [inventory, interface, metadata]
    required: true
  address:
    description:
      - What the inventory says, an address or a name.
    type: str
  interface:
    description:
      - The network interface whose address counts; by default that of the default route.
    type: str
  family:
    description:
      - Only addresses of this family count; by default those of both.
    type: str
    choices: [ipv4, ipv6]
  metadata_url:
    description:
      - Where the metadata service tells the address.
    type: str
    default: http://169.254.169.254/latest/meta-data/public-ipv4
  timeout:
    description:
      - How long to wait for the metadata service, in seconds.
    type: int
    default: 2
extends_documentation_fragment:
  - mlops.stack.attributes.info
author:
  - The mlops.stack authors (@mlops-stack)
"""

EXAMPLES = r"""
- name: Find the floating IP of a leased node, and without one what the inventory says
  mlops.stack.host_address:
    sources: [metadata, inventory]
    address: "{{ ansible_host }}"
  register: found
"""

RETURN = r"""
address:
  description: The address, or the name that the inventory gives.
  returned: success
  type: str
  sample: 192.0.2.7
source:
  description: The source that had it.
  returned: success
  type: str
  sample: metadata
passed_over:
  description: Why the sources before it, or all of them, have none, one phrase each.
  returned: always
  type: list
  elements: str
  sample: ["the metadata service has none"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mlops.stack.plugins.module_utils.address import plan
from ansible_collections.mlops.stack.plugins.module_utils.address.read import METADATA_URL, Reader
from ansible_collections.mlops.stack.plugins.module_utils.host.read import Host


def main():
    module = AnsibleModule(
        argument_spec={
            "sources": {"type": "list", "elements": "str", "choices": list(plan.SOURCES), "required": True},
            "address": {"type": "str"},
            "interface": {"type": "str"},
            "family": {"type": "str", "choices": sorted(plan.VERSIONS)},
            "metadata_url": {"type": "str", "default": METADATA_URL},
            "timeout": {"type": "int", "default": 2},
        },
        supports_check_mode=True,
    )
    given = module.params
    found = Reader(Host().default_address).public(
        given["sources"],
        address=given["address"],
        interface=given["interface"],
        metadata_url=given["metadata_url"],
        family=given["family"],
        timeout=given["timeout"],
    )
    if found["address"] is None:
        module.fail_json(
            msg="This host has no address for its clients: %s. Set one, or name another source."
            % "; ".join(found["passed_over"]),
            passed_over=found["passed_over"],
        )
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
