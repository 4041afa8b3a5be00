# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Evaluate expressions over a role's variables as Ansible does, with the collection's own filters.

Requests come as a JSON list of [role, expression, variables] on standard input, and their values are printed as one.
A process of its own, because Ansible finds a collection's filters only where it began to look for collections first.
"""

from __future__ import annotations

import json
import pathlib
import sys

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

ROLES = pathlib.Path(__file__).parents[3] / "roles"


def evaluate(role, expression, variables):
    """What an expression means in a task of a role, where the inventory sets some variables."""
    loader, known = DataLoader(), {}
    for name in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLES / role / name / "main.yml"), trusted_as_template=True)
    templar = Templar(loader, variables=known | variables)
    return templar.template(trust_as_template("{{ %s }}" % expression))


if __name__ == "__main__":
    init_plugin_loader([])
    print(json.dumps([evaluate(*request) for request in json.load(sys.stdin)]))
