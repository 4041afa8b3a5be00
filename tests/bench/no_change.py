# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""no_change: a site.yml that has nothing to do, on the three nodes of the demonstration.

Value: seconds of the whole command `ansible-playbook site.yml`, every host of which must say changed=0.
Floor: seconds of the whole command for a playbook of one ping, as root and without facts, on the same hosts through
the same inventory. The kept SSH connections are open for both.
Stand-in: nodes are containers on the control machine, so both sides share its cores.
"""

from __future__ import annotations

import harness

UNIT = "s"
GOAL = harness.Goal("<=", 10)
ROUNDS = 5


def measure(session: harness.Session) -> harness.Measured:
    """Run both in turn and take medians."""
    nodes = session.stack()
    ping = harness.write_pings(harness.WORK / "ping.yml", "postgres:seaweedfs:mlflow", 1)
    # Not timed: what the first run after a deployment compiles and connects.
    harness.unchanged(nodes.inventory)
    count = harness.task_runs(nodes.inventory)
    harness.say(f"{sum(count.values())} task-runs: {', '.join(f'{host} {number}' for host, number in count.items())}")
    values, floors = harness.alternate(
        ROUNDS,
        lambda _number: harness.unchanged(nodes.inventory),
        lambda _number: harness.timed(lambda: harness.playbook(ping, nodes.inventory)),
    )
    return harness.Measured(harness.say_rounds("site.yml", values), harness.say_rounds("one ping", floors))
