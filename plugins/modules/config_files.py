#!/usr/bin/python
# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Write all configuration files and folders of a service, in one call
version_added: "0.1.0"
description:
  - Brings a list of files and folders to their contents, owners and modes in one call.
  - All entries are checked, and all new files validated, before the first one is carried out, so that a wrong one
    changes nothing. Then they are carried out in the order of the list.
  - A file is written beside its destination with its final owner and mode, and renamed. So others see the old file or
    the new one, never a part of it, and a failure leaves nothing behind.
  - A file whose content is right and whose owner or mode is not keeps its time of modification.
  - Symbolic links, and everything else that is no file or folder, are refused.
options:
  files:
    description:
      - The files and folders, in the order in which they are written.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description:
          - The absolute path. Its folder must exist, or an earlier entry with O(files[].state=directory) makes it.
        type: path
        required: true
      state:
        description:
          - What is to be at the path. With V(absent), a file or an empty folder is removed; a folder that is not empty
            is refused.
        type: str
        choices: [file, directory, absent]
        default: file
      content:
        description:
          - The whole text of a file, written as UTF-8 just as it is given.
          - Exactly one of O(files[].content) and O(files[].secret_content) is needed for a file.
        type: str
      secret_content:
        description:
          - The same for a text with secrets in it. It shows in no log, no difference and no message.
        type: str
      owner:
        description:
          - The name or number of the user who owns the file or folder. By default that is V(root), or the user who
            runs the module where that is an ordinary one.
        type: str
      group:
        description:
          - The name or number of the group. By default that is V(root), or the group of the user who runs the module
            where that is an ordinary one.
        type: str
      mode:
        description:
          - The permissions, as four octal digits in quotes. By default V("0755") for a folder, V("0600") for a file
            with O(files[].secret_content) and V("0644") for any other.
        type: str
      validate:
        description:
          - A command that ends with status 0 within 60 seconds when the new file is right. It is split into arguments
            as a shell would; no shell is used. C(%s) stands for the path of the new file.
          - It sees the other files of the list as they were before this call.
        type: str
      force:
        description:
          - With V(false), a file or folder that is there is left as it is, its owner and mode as well. That is for what
            is given once and then belongs to somebody else.
        type: bool
        default: true
extends_documentation_fragment:
  - mlops.stack.attributes.full
attributes:
  check_mode:
    details:
      - An owner or group that does not exist is reported as a change; outside of check mode it is a failure.
      - O(files[].validate) is not run.
  diff_mode:
    details:
      - Of O(files[].secret_content), only that it differs. Owners and modes are shown in parts of their own.
author:
  - The mlops.stack authors (@mlops-stack)
"""

EXAMPLES = r"""
- name: Write the configuration of MLflow
  mlops.stack.config_files:
    files:
      - path: /etc/mlops-stack
        state: directory
      - path: /etc/mlops-stack/mlflow.env
        secret_content: "{{ lookup('ansible.builtin.template', 'mlflow.env.j2') }}"
        mode: "0600"
      - path: /etc/systemd/system/mlflow.service
        content: "{{ lookup('ansible.builtin.template', 'mlflow.service.j2') }}"

- name: Let an account run one command, after a check of the rule
  mlops.stack.config_files:
    files:
      - path: /etc/sudoers.d/backup
        content: "backup ALL=(postgres) NOPASSWD: /usr/bin/pgbackrest\n"
        mode: "0440"
        validate: /usr/sbin/visudo --check --file=%s

- name: Remove a file that an older release wrote
  mlops.stack.config_files:
    files:
      - path: /etc/mlops-stack/old.conf
        state: absent
"""

RETURN = r"""
changed_paths:
  description:
    - The paths that were changed, or would be changed in check mode. On failure, those that were changed before.
  returned: always
  type: list
  elements: str
  sample: [/etc/mlops-stack/mlflow.env]
diff:
  description: What was changed, or would be changed in check mode; for every path one or two parts.
  returned: always
  type: list
  elements: dict
  contains:
    before_header:
      description: The path, and what of it is shown.
      type: str
      sample: /etc/mlops-stack/mlflow.env (permissions)
    after_header:
      description: The same.
      type: str
      sample: /etc/mlops-stack/mlflow.env (permissions)
    before:
      description: The text before.
      type: str
    after:
      description: The text after.
      type: str
path:
  description: The path that could not be brought to its state.
  returned: failure, when it was one path
  type: str
  sample: /etc/mlops-stack/mlflow.env
phase:
  description:
    - The step that failed. One of V(check), V(validate) and V(write). Nothing was changed at V(check) and V(validate).
  returned: failure
  type: str
  sample: check
rc:
  description: The exit status of the command that validates.
  returned: when the command that validates refused a file
  type: int
  sample: 1
stderr_tail:
  description: The last lines that command wrote; hidden for O(files[].secret_content).
  returned: when the command that validates refused a file
  type: str
safe_to_retry:
  description: Whether the same call may succeed later, with its options as they are.
  returned: failure
  type: bool
  sample: false
"""

from ansible_collections.mlops.stack.plugins.module_utils.config_files.work import ensure
from ansible_collections.mlops.stack.plugins.module_utils.process.quiet import QuietModule
from ansible_collections.mlops.stack.plugins.module_utils.process.run import end_cleanly_on_signals

FILE = dict(
    path=dict(type="path", required=True),
    state=dict(type="str", choices=["file", "directory", "absent"], default="file"),
    content=dict(type="str"),
    secret_content=dict(type="str", no_log=True),
    owner=dict(type="str"),
    group=dict(type="str"),
    mode=dict(type="str"),
    validate=dict(type="str"),
    force=dict(type="bool", default=True),
)
ARGUMENTS = dict(
    files=dict(
        type="list",
        elements="dict",
        required=True,
        options=FILE,
        mutually_exclusive=[("content", "secret_content")],
        required_if=[("state", "file", ("content", "secret_content"), True)],
    ),
)


def main():
    module = QuietModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    end_cleanly_on_signals()
    failed, result = ensure(module.params["files"], module.check_mode)
    if failed:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
