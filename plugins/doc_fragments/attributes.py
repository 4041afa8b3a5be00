# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Behaviour that modules of this collection promise."""

from __future__ import annotations


class ModuleDocFragment:
    # For modules that state their support themselves (partial, or with details).
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would be changed without changing it.
  diff_mode:
    description: Tells what was changed, or in check mode would be changed, when in diff mode.
  idempotent:
    description: A second run with the same options changes nothing and reports that nothing was changed.
"""

    # For modules that keep all three promises.
    FULL = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would be changed without changing it.
    support: full
  diff_mode:
    description: Tells what was changed, or in check mode would be changed, when in diff mode.
    support: full
  idempotent:
    description: A second run with the same options changes nothing and reports that nothing was changed.
    support: full
"""

    # For modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would be changed without changing it.
    support: full
    details: This module only reads.
  diff_mode:
    description: Tells what was changed, or in check mode would be changed, when in diff mode.
    support: N/A
    details: This module only reads.
  idempotent:
    description: A second run with the same options changes nothing and reports that nothing was changed.
    support: full
    details: This module only reads.
"""
