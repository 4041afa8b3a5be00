# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters over the stack's plan and the collection's own files."""

from __future__ import annotations

import glob
import os

from ansible.errors import AnsibleFilterError
from ansible_collections.mlops.stack.plugins.module_utils.stack import addresses, checks

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def unreachable(results, host):
    """Sentences about what a host cannot reach, from the results of the ``reachable`` module."""
    return checks.unreachable(host, results)


def collection_file(path):
    """The absolute path of a file of this collection; unlike ``role_path`` it means the same in every role."""
    absolute = os.path.join(COLLECTION, path)
    if not os.path.exists(absolute):
        stem, _dash, _version = absolute.rpartition("-")
        siblings = sorted(os.path.basename(name) for name in glob.glob(glob.escape(stem) + "-*.txt"))
        raise AnsibleFilterError(
            "%s is not part of mlops.stack, which has %s: choose one of these releases, or set the role's variable "
            "for the requirements file to a lock of your own." % (path, ", ".join(siblings) or "nothing like it")
        )
    return absolute


class FilterModule:
    """Registers the filters; each is documented in a file of its name."""

    def filters(self):
        return {
            "unreachable": unreachable,
            "collection_file": collection_file,
            "url_host": addresses.url_host,
        }
