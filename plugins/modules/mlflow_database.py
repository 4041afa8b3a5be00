#!/usr/bin/python
# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mlflow_database
short_description: Bring MLflow's databases to the schema of the installed MLflow
version_added: "0.1.0"
description:
  - Initialises an empty database, migrates an older one and leaves a current one alone, in one explicit step before
    any server starts. The work is done by MLflow's own code, from the virtual environment in O(env).
  - Refuses a database that a newer MLflow wrote, one that was left half migrated, and one that holds something else,
    before anything is changed.
  - On PostgreSQL, a migration runs in one transaction under an advisory lock, so that it happens once when several
    hosts try at the same time; on SQLite it runs on a copy that then takes the file's place.
  - Make a backup before a migration, and stop the MLflow servers that use the database.
author:
  - The mlops.stack authors (@mlops-stack)
requirements:
  - on the managed node, a virtual environment that holds MLflow and, for PostgreSQL, psycopg2
extends_documentation_fragment:
  - mlops.stack.attributes.full
attributes:
  check_mode:
    details:
      - Where the environment or the database is not there yet, as on a bare machine, it predicts a change.
options:
  env:
    description:
      - Path of the virtual environment that holds MLflow.
    type: path
    required: true
  uri:
    description:
      - The URI of the tracking and registry database, C(postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE) with
        the password percent-encoded, or C(sqlite:////absolute/path). A bare C(postgresql://) is read as the former.
      - It is handed to MLflow's Python on its standard input, never as an argument.
    type: str
    required: true
  auth_uri:
    description:
      - The URI of the database of basic authentication's users. It may be the same database as O(uri).
      - Left out, that store is not looked at.
    type: str
  run_as:
    description:
      - The user that the work is done as. A SQLite file must belong to the user of the MLflow service.
      - Left out, it is the user that the module runs as.
    type: str
  artifact_root:
    description:
      - Where the artifacts of the Default experiment are, which is made with the tables. The default is that of a
        server that proxies artifacts.
    type: str
    default: "mlflow-artifacts:/"
  migrate:
    description:
      - Whether a database that an older MLflow wrote may be migrated. An empty one is initialised in any case.
      - With V(false), such a database is refused before anything is changed, in check mode as well.
    type: bool
    default: true
  timeout:
    description:
      - The longest time, in seconds, that the migration may take, the wait for another one included.
    type: int
    default: 600
seealso:
  - module: mlops.stack.mlflow_users
"""

EXAMPLES = r"""
- name: Bring the database to the schema of the installed MLflow
  mlops.stack.mlflow_database:
    env: /opt/mlops-stack/mlflow
    uri: "postgresql+psycopg2://mlflow:{{ password | urlencode }}@db.example.org:5432/mlflow"
    auth_uri: "postgresql+psycopg2://mlflow:{{ password | urlencode }}@db.example.org:5432/mlflow"

- name: Initialise a SQLite file that belongs to the service's user
  mlops.stack.mlflow_database:
    env: /opt/mlops-stack/mlflow
    uri: sqlite:////var/lib/mlflow/mlflow.db
    auth_uri: sqlite:////var/lib/mlflow/auth.db
    run_as: mlflow
"""

RETURN = r"""
msg:
  description: What was done or would be, in one line.
  returned: always
  type: str
  sample: "initialised the tracking store at db.example.org:5432/mlflow at revision dc11669786a5"
version:
  description: The version of the installed MLflow; null where none is installed yet (check mode).
  returned: success
  type: str
  sample: 3.17.2
stores:
  description: What happened to each store, by its name, C(tracking) or C(auth).
  returned: success
  type: dict
  contains:
    action:
      description: One of V(none), V(initialise) and V(migrate).
      type: str
    from:
      description: The revision before; null where there was none.
      type: str
    to:
      description: The revision afterwards.
      type: str
  sample: {"tracking": {"action": "migrate", "from": "75868b020152", "to": "dc11669786a5"}}
phase:
  description: Where it failed, one of V(parameters), V(environment), V(read), V(connect), V(plan), V(lock), V(migrate)
    and V(verify).
  returned: failure
  type: str
rc:
  description: The exit status of MLflow's Python, where it ended without an answer.
  returned: failure
  type: int
stderr_tail:
  description: The last lines that MLflow's Python wrote to standard error.
  returned: failure
  type: str
safe_to_retry:
  description: Whether running the task again, as it is, can succeed and harms nothing.
  returned: failure
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mlops.stack.plugins.module_utils.mlflow import database


def main():
    module = AnsibleModule(
        argument_spec={
            "env": {"type": "path", "required": True},
            "uri": {"type": "str", "required": True, "no_log": True},
            "auth_uri": {"type": "str", "no_log": True},
            "run_as": {"type": "str"},
            "artifact_root": {"type": "str", "default": "mlflow-artifacts:/"},
            "migrate": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    try:
        result = database.run(module.params, module.check_mode)
    except database.Failure as failure:
        module.fail_json(**failure.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
