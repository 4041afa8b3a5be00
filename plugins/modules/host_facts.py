#!/usr/bin/python
# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: Read everything the stack plans with from a host, in one call
version_added: "0.1.0"
description:
  - Reads a host's operating system, processors, memory, GPUs, address, routes, installed Debian packages, accounts,
    Python environments, PostgreSQL clusters, Docker Engine, free disk space and listening sockets, and returns them as
    the one fact C(common_host).
  - Everything is read from files and from the kernel; no command is started and nothing is sent over the network, but
    for the question to the metadata service where O(address_sources) names it.
  - What cannot be read, because the system is an unusual one or the user is an ordinary one, is left empty and never
    fails the module.
options:
  paths:
    description:
      - Absolute paths for which the free disk space is reported, each by a name that says what it is for. For a path
        that does not exist, its nearest parent that does is measured.
    type: dict
    default: {}
  env_root:
    description:
      - The folder that holds the Python environments of the stack.
    type: str
    default: /opt/mlops-stack
  address_sources:
    description:
      - Where to look for the address at which clients outside reach the host, the best source first, as
        M(mlops.stack.host_address) does it.
    type: list
    elements: str
    choices: [inventory, interface, metadata]
    default: []
  address:
    description:
      - What the inventory says, for O(address_sources).
    type: str
  address_interface:
    description:
      - The network interface, for O(address_sources); by default that of the default route.
    type: str
  metadata_url:
    description:
      - Where the metadata service tells the address, for O(address_sources).
    type: str
    default: http://169.254.169.254/latest/meta-data/public-ipv4
extends_documentation_fragment:
  - mlops.stack.attributes.info
attributes:
  facts:
    description: Returns facts that Ansible keeps for the host.
    support: full
author:
  - The mlops.stack authors (@mlops-stack)
"""

EXAMPLES = r"""
- name: Read the host
  mlops.stack.host_facts:
    paths:
      database: /var/lib/postgresql
      artifacts: /var/lib/seaweedfs

- name: Refuse a host with too little memory
  ansible.builtin.assert:
    that: common_host.memory_mb >= 2048
    fail_msg: "{{ inventory_hostname }} has {{ common_host.memory_mb }} MiB of memory; 2048 MiB are needed."
"""

RETURN = r"""
ansible_facts:
  description: The facts, kept by Ansible for the host.
  returned: always
  type: dict
  contains:
    common_host:
      description: Everything that was read.
      returned: always
      type: dict
      contains:
        os:
          description: The operating system by C(id), C(version_id), C(codename) and C(name); unknown parts are empty.
          returned: always
          type: dict
          sample: {id: debian, version_id: "13", codename: trixie, name: Debian GNU/Linux 13 (trixie)}
        python:
          description: Major and minor version of the interpreter that ran the module.
          returned: always
          type: str
          sample: "3.13"
        cpus:
          description:
            - Processors that may be used, after CPU affinity and the limits of control groups (v1 and v2). Part of a
              processor counts as one.
          returned: always
          type: int
          sample: 2
        memory_mb:
          description: Memory in MiB that may be used, after the limits of control groups (v1 and v2).
          returned: always
          type: int
          sample: 3915
        default_address:
          description: The source address of the default route; null where there is none.
          returned: always
          type: str
          sample: 192.0.2.10
        public:
          description:
            - The C(address) that the first of O(address_sources) has, that C(source), and in C(passed_over) why others
              have none; null without O(address_sources).
          returned: always
          type: dict
          sample: {address: 192.0.2.7, source: metadata, passed_over: []}
        packages:
          description: Names of the installed Debian packages, sorted; empty on a system without dpkg.
          returned: always
          type: list
          elements: str
          sample: [postgresql-17, python3]
        users:
          description: Names of the accounts in C(/etc/passwd), sorted.
          returned: always
          type: list
          elements: str
          sample: [postgres, root]
        accounts:
          description:
            - The accounts of people in C(/etc/passwd), root among them, by name.
          returned: always
          type: dict
          sample: {cc: {uid: 1000, gid: 1000, home: /home/cc}}
        envs:
          description: Names of the folders in O(env_root) whose installation was completed, sorted.
          returned: always
          type: list
          elements: str
          sample: [mlflow-3.17.2-py3.13-1a2b3c4d5e6f]
        unit_envs:
          description: The folder in O(env_root) by the systemd service that is started from it.
          returned: always
          type: dict
          sample: {mlflow.service: mlflow-3.17.2-py3.13-1a2b3c4d5e6f}
        clusters:
          description:
            - PostgreSQL clusters of Debian's tools, in C(/etc/postgresql), that have data. Only root sees them all.
          returned: always
          type: list
          elements: dict
          contains:
            version:
              description: The major version.
              returned: always
              type: str
            name:
              description: The cluster's name.
              returned: always
              type: str
            managed:
              description: Whether the role P(mlops.stack.postgres#role) configured it.
              returned: always
              type: bool
            databases:
              description: How many databases there are besides those of a new cluster.
              returned: always
              type: int
            tablespaces:
              description: How many tablespaces there are besides those of a new cluster.
              returned: always
              type: int
            recovery:
              description:
                - How far a recovery to a point in time came that did not end, V(begun), or V(replayed) where PostgreSQL
                  runs with what was recovered. Null where there is none.
              returned: always
              type: str
          sample:
            - {version: "17", name: main, managed: true, databases: 1, tablespaces: 0, recovery: null}
        archive:
          description:
            - The archive of PostgreSQL, by what C(/etc/pgbackrest/pgbackrest.conf) says. Only root can read that.
          returned: always
          type: dict
          contains:
            version:
              description: The version of pgBackRest, from its package; null where there is none.
              returned: always
              type: str
            place:
              description: Where the archive lies, in one line; null without that file.
              returned: always
              type: str
            encrypted:
              description: Whether it is encrypted.
              returned: always
              type: bool
            backed_up:
              description:
                - The place in which the role P(mlops.stack.postgres#role) made a base backup, and to which PostgreSQL
                  has archived without a gap since; null where there is none.
              returned: always
              type: str
          sample:
            {version: 2.55.1, place: path=/srv/archive, encrypted: false, backed_up: path=/srv/archive}
        disks:
          description: Each of O(paths) by its name.
          returned: always
          type: dict
          contains:
            path:
              description: The path.
              returned: always
              type: str
            device:
              description: A number that paths on one file system have in common.
              returned: always
              type: int
            free_mb:
              description: Free space in MiB, as an ordinary user may use it.
              returned: always
              type: int
          sample: {database: {path: /var/lib/postgresql, device: 65025, free_mb: 20480}}
        listeners:
          description:
            - Listening TCP sockets, sorted by port. An IPv4 address inside an IPv6 one is given as IPv4.
          returned: always
          type: list
          elements: dict
          contains:
            address:
              description: The address listened on; C(0.0.0.0) and C(::) mean every address.
              returned: always
              type: str
            port:
              description: The port listened on.
              returned: always
              type: int
            user:
              description:
                - The account that opened the socket, by its name, or by its number where it has none. It is known even
                  where the process is not.
              returned: always
              type: str
            pid:
              description: The oldest process that holds the socket; null where only root may see that.
              returned: always
              type: int
            process:
              description: The name of that process.
              returned: always
              type: str
            unit:
              description: The systemd service that process belongs to.
              returned: always
              type: str
          sample:
            - address: 0.0.0.0
              port: 5432
              user: postgres
              pid: 712
              process: postgres
              unit: postgresql@17-main.service
        routes:
          description:
            - Networks that the host has routes to, without default routes, those of the host and its cable alone, and
              those of Docker's own bridges.
          returned: always
          type: list
          elements: dict
          contains:
            network:
              description: The network in CIDR form.
              returned: always
              type: str
            interface:
              description: The interface it is reached through.
              returned: always
              type: str
          sample:
            - {network: 192.0.2.0/24, interface: eth0}
        group_ids:
          description: The numbers of the groups C(video) and C(render), each where there is one.
          returned: always
          type: dict
          sample: {video: 44, render: 105}
        gpus:
          description:
            - NVIDIA's GPUs that the driver shows in C(/proc/driver/nvidia/gpus), and AMD's that computations can use,
              for which C(/dev/kfd) has to be there.
          returned: always
          type: list
          elements: dict
          contains:
            vendor:
              description: V(nvidia) or V(amd).
              returned: always
              type: str
            model:
              description: The model; null where it is not told.
              returned: always
              type: str
            memory_mb:
              description: The GPU's own memory in MiB; null where no file tells it, as with NVIDIA's driver.
              returned: always
              type: int
            driver:
              description: The version of the driver; null where it has none of its own, as the kernel's.
              returned: always
              type: str
          sample:
            - {vendor: amd, model: AMD Instinct MI100, memory_mb: 32752, driver: null}
        docker:
          description: What there is of Docker Engine.
          returned: always
          type: dict
          contains:
            package:
              description: The installed package with the engine; null where there is none.
              returned: always
              type: str
            version:
              description: The engine's version, from that package.
              returned: always
              type: str
            config:
              description:
                - Whose C(/etc/docker/daemon.json) it is, V(managed) by the role P(mlops.stack.docker_host#role) or
                  V(foreign). V(absent) where there is none, or none with a setting.
              returned: always
              type: str
            data_dir:
              description: The folder for images, containers and volumes.
              returned: always
              type: str
            objects:
              description: How many containers and volumes are in that folder. Only root sees them.
              returned: always
              type: int
            users:
              description: The accounts in the group C(docker).
              returned: always
              type: list
              elements: str
          sample:
            {package: docker.io, version: 26.1.5, config: managed, data_dir: /var/lib/docker, objects: 2, users: [ops]}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mlops.stack.plugins.module_utils.address.plan import SOURCES
from ansible_collections.mlops.stack.plugins.module_utils.address.read import METADATA_URL, Reader
from ansible_collections.mlops.stack.plugins.module_utils.host.read import Host


def main():
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "dict", "default": {}},
            "env_root": {"type": "str", "default": "/opt/mlops-stack"},
            "address_sources": {"type": "list", "elements": "str", "choices": list(SOURCES), "default": []},
            "address": {"type": "str"},
            "address_interface": {"type": "str"},
            "metadata_url": {"type": "str", "default": METADATA_URL},
        },
        supports_check_mode=True,
    )
    given, host = module.params, Host()
    facts = host.facts(given["paths"], given["env_root"])
    facts["public"] = None
    if given["address_sources"]:
        facts["public"] = Reader(host.default_address).public(
            given["address_sources"], given["address"], given["address_interface"], given["metadata_url"]
        )
    module.exit_json(changed=False, ansible_facts={"common_host": facts})


if __name__ == "__main__":
    main()
