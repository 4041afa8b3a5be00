# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How modules of this collection reach PostgreSQL."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Name or address of the PostgreSQL server, or the folder of its socket.
      - It must be the server itself, no connection pooler in front of it, and no replica.
    type: str
    default: localhost
  login_port:
    description:
      - Port of the PostgreSQL server.
    type: int
    default: 5432
  login_user:
    description:
      - Role to connect as. Without it, V(mlops_backup) for a backup and V(mlops_restore) for a restore.
    type: str
  login_password:
    description:
      - Password of O(login_user). Without one, a server that asks for a password refuses the connection; nobody is
        ever asked for it.
    type: str
  login_password_file:
    description:
      - File on the machine that the module runs on, whose content is the password.
      - Mutually exclusive with O(login_password).
    type: path
  sslmode:
    description:
      - How the connection is secured, as libpq has it. V(verify-full) checks the server's certificate and name.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: require
  ca_cert:
    description:
      - File on the machine that the module runs on, with the certificates (PEM) of the authorities that may sign the
        server's certificate.
    type: path
"""
