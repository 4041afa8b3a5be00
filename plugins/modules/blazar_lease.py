#!/usr/bin/python
# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: blazar_lease
short_description: Reserve machines and floating IPs of an OpenStack cloud for a time
version_added: "0.1.0"
description:
  - Makes, extends and removes a lease of OpenStack's reservation service, Blazar, as Chameleon and other testbeds run
    it, and waits until it is active.
  - A lease is only ever extended. An O(end) before the one that it has leaves it as it is, since its machines would be
    gone earlier.
  - Without O(node_type), O(flavor) and O(floating_ips) the lease has to be there. So the same module tells what a lease
    has.
  - Runs where C(clouds.yaml) is, which is the control machine.
requirements:
  - openstacksdk
extends_documentation_fragment:
  - mlops.stack.attributes.full
attributes:
  check_mode:
    details:
      - Whether enough machines are free is known only when they are reserved.
options:
  cloud:
    description:
      - The cloud's name in C(clouds.yaml), which is looked for in the current folder, C(~/.config/openstack) and
        C(/etc/openstack), or is named by E(OS_CLIENT_CONFIG_FILE).
    type: str
    required: true
  name:
    description:
      - The lease's name, or its id. Leases that are over do not count where another one has the name.
    type: str
    required: true
  state:
    description:
      - Whether there is to be such a lease. With V(absent), it is removed with all that it reserved, and the servers on
        its machines are gone.
    type: str
    choices: [present, absent]
    default: present
  node_type:
    description:
      - The type of the bare machines to reserve, such as V(compute_liqid).
    type: str
  flavor:
    description:
      - The name or id of the flavor of the virtual machines to reserve room for.
    type: str
  nodes:
    description:
      - How many of them.
    type: int
    default: 1
  floating_ips:
    description:
      - How many floating IPs to reserve.
    type: int
    default: 0
  floating_network:
    description:
      - The name or id of the external network that they are from.
    type: str
    default: public
  start:
    description:
      - When a new lease begins, in ISO 8601 and UTC, or V(now).
    type: str
    default: now
  end:
    description:
      - The time until which the lease lasts at the least, in ISO 8601 and UTC. Blazar knows no seconds.
    type: str
  hours:
    description:
      - How long a new lease lasts, in hours from its start. One that is there is left as long as it is.
    type: float
  wait:
    description:
      - Whether to wait until the lease is active, or is gone. A lease that begins later is not waited for.
    type: bool
    default: true
  wait_timeout:
    description:
      - The longest time to wait, in seconds.
    type: int
    default: 600
author:
  - The mlops.stack authors (@mlops-stack)
"""

EXAMPLES = r"""
- name: Have two machines with GPUs and a floating IP for a day
  mlops.stack.blazar_lease:
    cloud: openstack
    name: mlops
    node_type: gpu_mi100
    nodes: 2
    floating_ips: 1
    hours: 24

- name: Keep them until Friday
  mlops.stack.blazar_lease:
    cloud: openstack
    name: mlops
    end: "2026-12-04T18:00:00Z"

- name: Give them back
  mlops.stack.blazar_lease:
    cloud: openstack
    name: mlops
    state: absent
"""

RETURN = r"""
lease:
  description:
    - The lease; none where there is none, also when it would be made in check mode.
    - In check mode, with the end that it would have.
  returned: success
  type: dict
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
    status:
      description: Its state, V(ACTIVE) or V(PENDING) where O(wait) is true.
      type: str
    start:
      description: When it begins, in ISO 8601 and UTC.
      type: str
    end:
      description: When it ends.
      type: str
    reservations:
      description: What it reserves. The id of a reservation is what a server asks for as its scheduler hint.
      type: list
      elements: dict
      contains:
        id:
          description: The reservation's id.
          type: str
        resource_type:
          description: One of V(physical:host), V(flavor:instance), V(virtual:floatingip), or another of the site's.
          type: str
        status:
          description: Its state.
          type: str
  sample:
    id: 6ee55c78-ac52-41a6-99af-2d2d73bcc466
    name: mlops
    status: ACTIVE
    start: "2026-12-01T12:00:00Z"
    end: "2026-12-02T12:00:00Z"
    reservations: [{"id": "087bc740-6d2d-410b-9d47-c7b2b55a9d36", "resource_type": "physical:host", "status": "active"}]
phase:
  description: Where the call failed; V(options), V(connect), V(read), V(create), V(extend), V(delete) or V(wait).
  returned: failure
  type: str
  sample: connect
safe_to_retry:
  description: Whether the same call may succeed when it is made again later.
  returned: failure
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mlops.stack.plugins.module_utils.blazar import run
from ansible_collections.mlops.stack.plugins.module_utils.blazar.client import HAS_OPENSTACK, OPENSTACK_IMPORT_ERROR


def main():
    module = AnsibleModule(
        argument_spec=dict(
            cloud=dict(type="str", required=True),
            name=dict(type="str", required=True),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            node_type=dict(type="str"),
            flavor=dict(type="str"),
            nodes=dict(type="int", default=1),
            floating_ips=dict(type="int", default=0),
            floating_network=dict(type="str", default="public"),
            start=dict(type="str", default="now"),
            end=dict(type="str"),
            hours=dict(type="float"),
            wait=dict(type="bool", default=True),
            wait_timeout=dict(type="int", default=600),
        ),
        mutually_exclusive=[("end", "hours"), ("node_type", "flavor")],
        supports_check_mode=True,
    )
    if not HAS_OPENSTACK:
        module.fail_json(msg=missing_required_lib("openstacksdk"), exception=OPENSTACK_IMPORT_ERROR, phase="options")
    failed, result = run.ensure(module.params, module.check_mode)
    if failed:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
