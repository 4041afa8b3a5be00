# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters over the stack's plan."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.stack import checks


def unreachable(results, host):
    """Sentences about what a host cannot reach, from the results of the ``reachable`` module."""
    return checks.unreachable(host, results)


class FilterModule:
    """Registers the filters; each is documented in a file of its name."""

    def filters(self):
        return {"unreachable": unreachable}
