# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proxies that modules of this collection go through."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  proxies:
    description:
      - The proxies that downloads go through.
    type: dict
    suboptions:
      http:
        description: The proxy for C(http) URLs. It may carry a user and a password.
        type: str
      https:
        description: The proxy for C(https) URLs. It may carry a user and a password.
        type: str
      no_proxy:
        description: Names and networks that are reached directly, separated by commas.
        type: str
"""
