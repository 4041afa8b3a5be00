# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: secret
author:
  - The mlops.stack authors (@mlops-stack)
version_added: "0.1.0"
short_description: A secret of the stack, generated once on the control machine
description:
  - Returns the secret from C(common_secrets) where the inventory sets it there (with Ansible Vault, for example).
  - Otherwise returns the first line of the file of that name in the secrets folder, and generates that file when it
    is absent. The folder has mode 0700 and its files 0600.
  - In check mode nothing is generated; a secret that does not exist yet is then a placeholder.
options:
  _terms:
    description: Names of secrets.
    type: list
    elements: str
    required: true
  directory:
    description: The folder on the control machine that holds one file for each secret.
    type: path
    required: true
notes:
  - A generated secret has 32 letters and digits, some 190 bits.
"""

EXAMPLES = r"""
- name: Show where the administrator's password comes from
  ansible.builtin.set_fact:
    password: "{{ lookup('mlops.stack.secret', 'mlflow_admin_password', directory=inventory_dir ~ '/.secrets') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The secrets, in the order of the names.
  type: list
  elements: str
"""

import os

from ansible.errors import AnsibleLookupError
from ansible.module_utils.common.text.converters import to_native
from ansible.plugins.lookup import LookupBase
from ansible_collections.mlops.stack.plugins.module_utils.stack import secrets


class LookupModule(LookupBase):
    """Reads secrets from variables or from the secrets folder."""

    def run(self, terms, variables=None, **kwargs):
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        given = self._templar.template(variables.get("common_secrets") or {})
        directory = os.path.expanduser(self.get_option("directory"))
        try:
            return [
                secrets.find(name, given, directory, generate=not variables.get("ansible_check_mode")) for name in terms
            ]
        except secrets.SecretError as error:
            raise AnsibleLookupError(to_native(error)) from error
