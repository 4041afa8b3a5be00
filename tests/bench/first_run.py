# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""first_run: three bare nodes -> a first run with a metric and an artifact in MLflow.

Value: seconds of `ansible-playbook site.yml` on three bare nodes, and of the first run.
Floor: seconds of by_hand.sh on three nodes of the same kind, and of the same first run. The script installs the same
versions from the same locks over the same SSH on all nodes at once, and checks nothing.
Stand-ins: nodes are containers on the control machine, so both sides share its cores and its network; both download
their packages anew for every round. The first run is made of REST calls (tracking.py).
"""

from __future__ import annotations

import harness
import tracking

UNIT = "s"
GOAL = harness.Goal("<=", 1.25)
ROUNDS = 3
BY_HAND_LIMIT = 400


def measure(_session: harness.Session) -> harness.Measured:
    """Do both on fresh nodes, each of them first in turn, and take medians."""
    values, floors = harness.alternate(ROUNDS, lambda _number: on_fresh(deploy), lambda _number: on_fresh(by_hand))
    return harness.Measured(harness.say_rounds("site.yml", values), harness.say_rounds("by_hand.sh", floors))


def on_fresh(way) -> float:
    """Return the seconds that a way to deploy and the first run take on nodes that are bare."""
    with harness.bed("first") as nodes:
        nodes.up(harness.THREE_NODES)
        deployed = harness.timed(lambda: way(nodes))
        logged = harness.timed(lambda: tracking.Client.of(nodes.client()).log_first_run())
        harness.say(f"{way.__name__}: {deployed:.1f} s, and {logged:.1f} s for the first run")
        return deployed + logged


def deploy(nodes: harness.Bed) -> None:
    """Bring the stack up with the collection."""
    harness.playbook("site.yml", nodes.inventory)


def by_hand(nodes: harness.Bed) -> None:
    """Bring the same services up with the script."""
    script = str(harness.CLONE / "tests" / "bench" / "by_hand.sh")
    addresses = [nodes.address(name) for name in ("db1", "store1", "ml1")]
    steps = harness.run(["bash", script, str(nodes.folder), *addresses], limit=BY_HAND_LIMIT, what="by_hand.sh")
    harness.say(f"  since the script's start: {', '.join(steps.split(chr(10))).strip(', ')}")
