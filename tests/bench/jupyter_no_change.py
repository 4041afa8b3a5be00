# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""jupyter_no_change: the role jupyter where it has nothing to do, on a host that has the whole stack.

Value: seconds of the whole command `ansible-playbook site.yml --tags jupyter`, which must say changed=0.
Floor: seconds of the whole command for a playbook of one ping, as root and without facts, on the same host.
Stand-in: the node is a container on the control machine, so both sides share its cores.
"""

from __future__ import annotations

import harness
import jupyter_first

UNIT = "s"
GOAL = harness.Goal("<=", 6)
ROUNDS = 5


def measure(_session: harness.Session) -> harness.Measured:
    """Run both in turn and take medians."""
    with harness.bed("notebooks", jupyter_first.VARIABLES) as nodes:
        jupyter_first.serve_base(nodes)
        nodes.up(dict.fromkeys(jupyter_first.GROUPS, [jupyter_first.NODE]), docker_inside=[jupyter_first.NODE])
        jupyter_first.deploy(nodes)
        ping = harness.write_pings(harness.WORK / "ping-jupyter.yml", "jupyter", 1)
        harness.unchanged(nodes.inventory, "--tags", "jupyter")
        values, floors = harness.alternate(
            ROUNDS,
            lambda _number: harness.unchanged(nodes.inventory, "--tags", "jupyter"),
            lambda _number: harness.timed(lambda: harness.playbook(ping, nodes.inventory)),
        )
    return harness.Measured(harness.say_rounds("site.yml", values), harness.say_rounds("one ping", floors))
