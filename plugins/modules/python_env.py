#!/usr/bin/python
# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: python_env
short_description: Build a Python environment from a locked requirements file
version_added: "0.1.0"
description:
  - Builds a virtual environment at a path from the text of a hash-locked requirements file, with uv.
  - Neither pip, nor the venv module, nor a compiler is needed on the host. uv itself is installed from its own locked
    text with the pip wheel that Debian and Ubuntu ship in the package C(python3-pip-whl).
  - An environment is complete once the file C(.complete) in it is written, which is the last thing done. What an
    interrupted build left is wiped and built again. A build that fails leaves nothing behind, and an environment that
    was to be replaced is put back.
  - A complete environment whose requirements or Python interpreter differ is replaced. Put a fingerprint of both into
    O(path), as the roles of this collection do, and no running service ever loses its files.
  - Two plays that build on the same host at the same time wait for each other.
  - Configuration files of pip and uv on the host are not read, and their variables are dropped; what is installed is
    told by the options alone.
options:
  path:
    description:
      - The folder of the environment, an absolute path. Its parent folders are created.
    type: path
    required: true
  requirements:
    description:
      - The text of a requirements file in which every package, including those that others need, has its version and
        its hashes. Only wheels are installed; nothing is compiled.
    type: str
    required: true
  python:
    description:
      - The Python interpreter on the host that the environment uses.
    type: path
    default: /usr/bin/python3
  uv_requirements:
    description:
      - The text of a requirements file that pins C(uv) with its hashes.
    type: str
    required: true
  uv_version:
    description:
      - The version of uv that O(uv_requirements) must pin. Without it, the version is taken from there.
    type: str
  uv_root:
    description:
      - The folder that keeps uv, one folder for each version, and the lock that keeps two builds apart.
    type: path
    default: /opt/mlops-stack/uv
  index_url:
    description:
      - The URL of the package index, in place of the public one. It may carry a user and a password, which are kept out
        of argument lists and messages.
    type: str
  ca_bundle:
    description:
      - A file on the host with the certificates of the authorities to trust, in place of the system's own bundle.
    type: path
  warm_imports:
    description:
      - Names of Python modules that are imported once when the environment has been installed. This proves that it
        works, and leaves their bytecode for services that run as users who may not write it; these start faster then.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - The time for everything together, in seconds, including the wait for another build on the same host.
    type: int
    default: 600
extends_documentation_fragment:
  - mlops.stack.attributes.full
  - mlops.stack.proxies
attributes:
  check_mode:
    details:
      - Nothing is downloaded, so an unreachable index is not noticed.
  diff_mode:
    details:
      - The diff names the state, the interpreter and the digest of the requirements, not each package.
author:
  - The mlops.stack authors (@mlops-stack)
"""

EXAMPLES = r"""
- name: Build an environment for MLflow
  mlops.stack.python_env:
    path: /opt/mlops-stack/mlflow-3.17.2-py3.13-1a2b3c4d5e6f
    requirements: "{{ lookup('ansible.builtin.file', 'mlflow.txt') }}"
    uv_requirements: "{{ lookup('ansible.builtin.file', 'uv.txt') }}"
    warm_imports:
      - mlflow.server

- name: The same behind a company's proxy, index and certificate authority
  mlops.stack.python_env:
    path: /opt/mlops-stack/tools
    requirements: "{{ lookup('ansible.builtin.file', 'tools.txt') }}"
    uv_requirements: "{{ lookup('ansible.builtin.file', 'uv.txt') }}"
    index_url: https://packages.example.com/simple
    ca_bundle: /etc/ssl/certs/company.pem
    proxies:
      https: http://proxy.example.com:3128
      no_proxy: packages.example.com
"""

RETURN = r"""
path:
  description: The folder of the environment.
  returned: success
  type: str
  sample: /opt/mlops-stack/mlflow-3.17.2-py3.13-1a2b3c4d5e6f
python:
  description: The environment's own Python interpreter.
  returned: success
  type: str
  sample: /opt/mlops-stack/mlflow-3.17.2-py3.13-1a2b3c4d5e6f/bin/python
action:
  description: What was done, or would be done in check mode. One of V(none), V(build) and V(rebuild).
  returned: success
  type: str
  sample: build
reason:
  description: Why it was done.
  returned: success
  type: str
  sample: it does not exist
seconds:
  description: How long each step took, in seconds. A step that was not needed is missing.
  returned: success
  type: dict
  sample: {"bootstrap": 1.2, "build": 7.5}
phase:
  description: The step that failed. One of V(options), V(lock), V(bootstrap), V(create), V(download) and V(import).
  returned: failure
  type: str
  sample: download
kind:
  description:
    - What kind of failure it is. V(unreachable), V(tls), V(credentials), V(hash), V(no_wheel), V(no_version), V(lock),
      V(disk_full), V(timeout), V(locked), V(missing), V(killed), V(import), V(interrupted), V(invalid) or V(other).
  returned: failure
  type: str
  sample: unreachable
rc:
  description: The exit status of the command that failed.
  returned: when a command failed
  type: int
  sample: 2
stderr_tail:
  description: The last lines that the command wrote, without credentials.
  returned: when a command failed
  type: str
safe_to_retry:
  description: Whether the same call may succeed later, with nothing changed.
  returned: failure
  type: bool
  sample: true
"""

from ansible_collections.mlops.stack.plugins.module_utils.process.quiet import QuietModule
from ansible_collections.mlops.stack.plugins.module_utils.process.run import end_cleanly_on_signals
from ansible_collections.mlops.stack.plugins.module_utils.python_env.work import ensure

ARGUMENTS = dict(
    path=dict(type="path", required=True),
    requirements=dict(type="str", required=True),
    python=dict(type="path", default="/usr/bin/python3"),
    uv_requirements=dict(type="str", required=True),
    uv_version=dict(type="str"),
    uv_root=dict(type="path", default="/opt/mlops-stack/uv"),
    index_url=dict(type="str", no_log=True),
    ca_bundle=dict(type="path"),
    proxies=dict(
        type="dict",
        options=dict(
            http=dict(type="str", no_log=True),
            https=dict(type="str", no_log=True),
            no_proxy=dict(type="str"),
        ),
    ),
    warm_imports=dict(type="list", elements="str", default=[]),
    timeout=dict(type="int", default=600),
)


def main():
    module = QuietModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    end_cleanly_on_signals()
    failed, result = ensure(module.params, module.check_mode)
    if failed:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
