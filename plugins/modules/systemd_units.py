#!/usr/bin/python
# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_units
short_description: Enable, start and restart units, and wait until they are healthy
version_added: "0.1.0"
description:
  - Brings a list of systemd units to their states in one call, in the order of the list, and waits for each until it is
    healthy before the next one is touched.
  - Whether a unit needs a restart or a reload is told by its files. When one of O(units[].restart_on) was written after
    the unit was last started, it is restarted, whoever wrote it. So a play that was interrupted between writing a file
    and restarting its service is mended by the next one, which handlers cannot do.
  - A unit with O(units[].restart_on) is restarted as well when its unit file or one of its drop-ins was written after
    that, and when systemd had not read them yet, even if systemd itself has started it anew since, as after a crash.
    That start was made from the old file.
  - A unit that dies at its start fails the module at once, and the message carries the last lines of its journal.
  - systemd reads its files again (C(daemon-reload)) when a unit's file changed.
options:
  units:
    description:
      - The units, in the order in which they are started.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name of the unit. Without a suffix it is a service. Instances such as C(postgresql@17-main.service) are
            units as any other; a template without an instance is refused.
        type: str
        required: true
      enabled:
        description:
          - Whether the unit starts at boot. Without this option, that is left as it is.
          - A unit that has no C([Install]) part, or that another unit or a generator enables, counts as enabled. Such a
            unit cannot be disabled, and V(false) is refused where a generator enables it.
        type: bool
      state:
        description:
          - Whether the unit runs. A service of C(Type=oneshot) without C(RemainAfterExit) does not go on running, so
            that V(started) runs it on every call.
          - V(loaded) leaves it as it is. systemd reads its file again where that changed, so that whatever starts it
            next, such as a timer, starts what the file says by then.
        type: str
        choices: [started, stopped, loaded]
        default: started
      restart_on:
        description:
          - Absolute paths. When one of them was written after the last start of the unit began, it is restarted. A
            folder counts by its own time, not by what lies below it. Paths that do not exist do not count.
          - With any path here, the unit's own file and its drop-ins count as well, except for those that systemd makes
            itself, below C(/run) or by C(systemctl set-property). The unit is also restarted when systemd had yet to
            read them again (C(NeedDaemonReload=yes)). Without a path, neither is looked at.
        type: list
        elements: path
        default: []
      reload_on:
        description:
          - Absolute paths. When one of them was written after the last start and the last reload of the unit, or when
            its last reload failed, it is reloaded.
        type: list
        elements: path
        default: []
      health:
        description:
          - How to ask whether the unit does its work. It is asked until it is healthy, after a start, restart or reload
            and just so when nothing was done. Exactly one of O(units[].health.url), O(units[].health.tcp) and
            O(units[].health.command) is given.
        type: dict
        suboptions:
          url:
            description: An C(http) or C(https) URL that is fetched from the host, without any proxy and redirection.
            type: str
          status:
            description: The HTTP statuses that are healthy.
            type: list
            elements: int
            default: [200]
          ca_bundle:
            description: A file on the host with the certificates of the authorities to trust for an C(https) URL.
            type: path
          tcp:
            description: A port that accepts connections, as C(host:port).
            type: str
          command:
            description: A command with its arguments that ends with status 0 within 5 seconds. No shell is used.
            type: list
            elements: str
          timeout:
            description: How long to wait for it, in seconds.
            type: int
            default: 60
  restart:
    description:
      - Restart each unit of O(units) that runs and is to be started, whatever its files say.
    type: bool
    default: false
  start_timeout:
    description:
      - How long systemd may take to start, restart, reload or stop one unit, in seconds, before its health is asked
        for.
    type: int
    default: 120
  journal_lines:
    description:
      - How many lines of a unit's journal a failure carries.
    type: int
    default: 30
extends_documentation_fragment:
  - mlops.stack.attributes.full
attributes:
  check_mode:
    details:
      - A unit that does not exist yet would be started. Health is not asked for.
      - When a unit's file changed and systemd has not read it again, what the old file says is what counts. The restart
        that the new file leads to is told.
  diff_mode:
    details:
      - A restart or reload, which leaves no trace in a unit's state, is named in words.
  idempotent:
    support: partial
    details:
      - With O(restart=true), and for a service of C(Type=oneshot) without C(RemainAfterExit), each call is a change.
author:
  - The mlops.stack authors (@mlops-stack)
"""

EXAMPLES = r"""
- name: Run MLflow, with its files as they are now, and wait until it answers
  mlops.stack.systemd_units:
    units:
      - name: mlflow.service
        enabled: true
        restart_on:
          - /etc/systemd/system/mlflow.service
          - /etc/mlops-stack/mlflow.env
        health:
          url: http://127.0.0.1:5000/health
          timeout: 90

- name: Reload a PostgreSQL cluster when its access rules changed, restart it when its configuration did
  mlops.stack.systemd_units:
    units:
      - name: postgresql@17-main.service
        restart_on:
          - /etc/postgresql/17/main/conf.d/mlops-stack.conf
        reload_on:
          - /etc/postgresql/17/main/pg_hba.conf
        health:
          command: [/usr/bin/pg_isready, --quiet, --cluster, 17/main]

- name: Stop a service for good
  mlops.stack.systemd_units:
    units:
      - name: mlflow.service
        enabled: false
        state: stopped
"""

RETURN = r"""
units:
  description: What was done to each unit, or would be done in check mode. On failure, to those that were done before.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The unit's full name.
      type: str
      sample: mlflow.service
    action:
      description: One of V(none), V(start), V(restart), V(reload) and V(stop).
      type: str
      sample: restart
    reason:
      description: Why it was done; empty where nothing was.
      type: str
      sample: /etc/mlops-stack/mlflow.env changed after its start
    enablement:
      description: One of V(none), V(enable) and V(disable).
      type: str
      sample: none
    changed:
      description: Whether anything was done.
      type: bool
      sample: true
daemon_reload:
  description: Whether systemd had to read its files again because a unit's file changed.
  returned: success
  type: bool
  sample: false
unit:
  description: The unit that failed.
  returned: failure, when one unit failed
  type: str
  sample: mlflow.service
journal:
  description: The last lines of the failed unit's journal.
  returned: failure, when one unit failed
  type: list
  elements: str
phase:
  description:
    - The step that failed. One of V(options), V(show), V(daemon-reload), V(enable), V(disable), V(start), V(restart),
      V(reload), V(stop) and V(health).
  returned: failure
  type: str
  sample: start
rc:
  description: The exit status of the command that failed.
  returned: when a command failed
  type: int
  sample: 1
stderr_tail:
  description: The last lines that the command wrote.
  returned: when a command failed
  type: str
safe_to_retry:
  description: Whether the same call may succeed later, with its options as they are.
  returned: failure
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mlops.stack.plugins.module_utils.systemd.work import ensure

HEALTH = dict(
    url=dict(type="str"),
    status=dict(type="list", elements="int", default=[200]),
    ca_bundle=dict(type="path"),
    tcp=dict(type="str"),
    command=dict(type="list", elements="str"),
    timeout=dict(type="int", default=60),
)
UNIT = dict(
    name=dict(type="str", required=True),
    enabled=dict(type="bool"),
    state=dict(type="str", choices=["started", "stopped", "loaded"], default="started"),
    restart_on=dict(type="list", elements="path", default=[]),
    reload_on=dict(type="list", elements="path", default=[]),
    health=dict(
        type="dict",
        options=HEALTH,
        mutually_exclusive=[("url", "tcp", "command")],
        required_one_of=[("url", "tcp", "command")],
    ),
)
ARGUMENTS = dict(
    units=dict(type="list", elements="dict", required=True, options=UNIT),
    restart=dict(type="bool", default=False),
    start_timeout=dict(type="int", default=120),
    journal_lines=dict(type="int", default=30),
)


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    failed, result = ensure(module.params, module.check_mode)
    if failed:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
