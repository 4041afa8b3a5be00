#!/usr/bin/python
# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mlflow_users
short_description: Manage the users of an MLflow server with basic authentication
version_added: "0.1.0"
description:
  - Creates, changes and deletes users of MLflow's basic authentication, and gives them permissions, through the
    server's REST API.
  - A password is compared by logging in with it, so a second call changes nothing.
  - Where the server verifies passwords from a cache (C(auth_cache_ttl_seconds)), it goes on accepting a user's old
    password for as long as that, at most, after the password was changed. The new one works at once. A change that is
    undone within that time may be taken for none; it is found by a later call.
  - The server's own settings name the administrator's password only until that user exists. Where it was changed in
    the inventory later, O(env) and O(auth_uri) let this module set it through MLflow's own code.
author:
  - The mlops.stack authors (@mlops-stack)
extends_documentation_fragment:
  - mlops.stack.attributes.full
attributes:
  check_mode:
    details:
      - Where the server is not there yet, as on a bare machine, it predicts a change and warns.
  diff_mode:
    details:
      - Of a password, only whether it changes.
options:
  url:
    description:
      - The server's URL. The local one is best, as in C(http://127.0.0.1:5000); proxies are not used.
    type: str
    required: true
  admin_username:
    description:
      - The administrator that makes the changes.
    type: str
    default: admin
  admin_password:
    description:
      - The administrator's password.
    type: str
    required: true
  users:
    description:
      - The users to manage. Users that are not named are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The user's name; it cannot hold a colon.
        type: str
        required: true
      password:
        description:
          - The user's password, of at least 12 characters, any of ASCII's that can be printed. MLflow 3.17 answers 401
            to every transfer of an artifact where the name or the password of a user holds others.
          - Left out, the password of an existing user is left alone.
        type: str
      admin:
        description:
          - Whether the user is an administrator. Left out, it is left as it is.
        type: bool
      state:
        description: Whether the user exists.
        type: str
        choices: [present, absent]
        default: present
      permissions:
        description:
          - Permissions of the user's own. Those that are not named are left alone, and so are roles.
        type: list
        elements: dict
        suboptions:
          experiment:
            description:
              - The name of an experiment, or V(*) for all of them. V(Default) is the experiment with the id 0.
            type: str
          registered_model:
            description:
              - The name of a registered model, or V(*) for all of them.
            type: str
          permission:
            description:
              - What the user may do. To log runs to an experiment that somebody else made takes V(EDIT).
            type: str
            choices: [READ, USE, EDIT, MANAGE, DENY]
            default: READ
          state:
            description: Whether the user has a permission of its own there.
            type: str
            choices: [present, absent]
            default: present
  env:
    description:
      - Path of the virtual environment that holds MLflow, to set the administrator's password with.
    type: path
  auth_uri:
    description:
      - The URI of the database that holds the users, to set the administrator's password with. It is handed to
        MLflow's Python on its standard input, never as an argument.
    type: str
  run_as:
    description:
      - The user that works on the database then; a SQLite file belongs to the user of the MLflow service.
    type: str
  ca_bundle:
    description:
      - A file of CA certificates to verify an C(https) server with, instead of the system's.
    type: path
  timeout:
    description:
      - The longest time, in seconds, to wait for each answer of the server.
    type: int
    default: 30
seealso:
  - module: mlops.stack.mlflow_database
"""

EXAMPLES = r"""
- name: Have an ordinary user who may log to the Default experiment
  mlops.stack.mlflow_users:
    url: http://127.0.0.1:5000
    admin_password: "{{ admin_password }}"
    users:
      - name: client
        password: "{{ client_password }}"
        admin: false
        permissions:
          - experiment: Default
            permission: EDIT

- name: Delete a user
  mlops.stack.mlflow_users:
    url: http://127.0.0.1:5000
    admin_password: "{{ admin_password }}"
    users:
      - name: former
        state: absent
"""

RETURN = r"""
actions:
  description: What was done or would be, one sentence each, without passwords.
  returned: success
  type: list
  elements: str
  sample: ["create user client", "grant client EDIT on experiment 0"]
phase:
  description: Where it failed, one of V(parameters), V(connect), V(login), V(reset), V(plan) and V(request).
  returned: failure
  type: str
rc:
  description: The exit status of MLflow's Python, where it was to set the administrator's password and gave no answer.
  returned: failure
  type: int
stderr_tail:
  description: The last lines that MLflow's Python wrote to standard error then.
  returned: failure
  type: str
safe_to_retry:
  description: Whether running the task again, as it is, can succeed and harms nothing.
  returned: failure
  type: bool
"""

from ansible_collections.mlops.stack.plugins.module_utils.mlflow import users
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.database import Failure
from ansible_collections.mlops.stack.plugins.module_utils.process.quiet import QuietModule


def main():
    permission = {
        "experiment": {"type": "str"},
        "registered_model": {"type": "str"},
        "permission": {"type": "str", "choices": ["READ", "USE", "EDIT", "MANAGE", "DENY"], "default": "READ"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    user = {
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "no_log": True},
        "admin": {"type": "bool"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "permissions": {
            "type": "list",
            "elements": "dict",
            "options": permission,
            "mutually_exclusive": [["experiment", "registered_model"]],
            "required_one_of": [["experiment", "registered_model"]],
        },
    }
    module = QuietModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "admin_username": {"type": "str", "default": "admin"},
            "admin_password": {"type": "str", "required": True, "no_log": True},
            "users": {"type": "list", "elements": "dict", "options": user, "default": []},
            "env": {"type": "path"},
            "auth_uri": {"type": "str", "no_log": True},
            "run_as": {"type": "str"},
            "ca_bundle": {"type": "path"},
            "timeout": {"type": "int", "default": 30},
        },
        required_by={"auth_uri": ["env"], "env": ["auth_uri"]},
        supports_check_mode=True,
    )
    try:
        result = users.run(module.params, module.check_mode)
    except Failure as failure:
        module.fail_json(**failure.result)
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
