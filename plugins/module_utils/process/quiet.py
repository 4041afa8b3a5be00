# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module whose options are not written to the system's log."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


class QuietModule(AnsibleModule):
    """For modules with secrets inside lists and dictionaries.

    Ansible writes such options to the host's log as Python would write them. A secret with a quote, a backslash or a
    line break then no longer looks like the value that Ansible hides.
    """

    def log(self, msg, log_args=None):
        """Say that the module ran, whatever ``msg`` and ``log_args`` would tell."""
        super().log("Invoked; what it is given is not logged.")
