# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""jupyter_first: a bare node beside a tracking server -> notebooks in a container that has logged a run.

Value: seconds of `ansible-playbook site.yml`, of which the tracking server's part has nothing to do.
Floor: seconds of jupyter_by_hand.sh on a node of the same kind: the same image from the same lock, nothing checked.
Stand-ins: nodes are containers on the control machine, the base image is that of the nodes. It is put into the node's
engine once that runs, for both sides, and this is not timed. Both download their packages anew for every round.
"""

from __future__ import annotations

import sys

import harness

UNIT = "s"
GOAL = harness.Goal("<=", 1.25)
ROUNDS = 3
LIMIT = 600
NODE = "gpu"
GROUPS = {"mlflow": ["ml"], "jupyter": [NODE]}
VARIABLES = {
    "mlflow_server_backend": "sqlite",
    "mlflow_server_artifacts": "local",
    "jupyter_image_base": '"testbed-base:latest"',
}
SCRIPT = str(harness.CLONE / "tests" / "bench" / "jupyter_by_hand.sh")


def measure(_session: harness.Session) -> harness.Measured:
    """Do both on fresh nodes, each of them first in turn, and take medians."""
    with harness.bed("jupyter", VARIABLES) as nodes:
        nodes.up({"mlflow": GROUPS["mlflow"]})
        harness.playbook("site.yml", nodes.inventory)
        values, floors = harness.alternate(
            ROUNDS, lambda _number: on_fresh(nodes, deploy), lambda _number: on_fresh(nodes, by_hand)
        )
    return harness.Measured(harness.say_rounds("site.yml", values), harness.say_rounds("jupyter_by_hand.sh", floors))


def on_fresh(nodes: harness.Bed, way) -> float:
    """Return the seconds that a way takes on a node that is bare."""
    nodes.up(GROUPS, docker_inside=[NODE])
    try:
        seconds = sum(harness.timed(step) for step in way(nodes))
    finally:
        testbed("down", nodes)
    harness.say(f"{way.__name__}: {seconds:.1f} s")
    return seconds


def deploy(nodes: harness.Bed):
    """Bring Docker and the notebooks up with the collection; what happens between the steps is not timed."""
    yield lambda: harness.playbook("site.yml", nodes.inventory, "--tags", "docker")
    testbed("load-image", nodes)
    yield lambda: harness.playbook("site.yml", nodes.inventory)


def by_hand(nodes: harness.Bed):
    """Do the same with the script."""
    yield lambda: harness.run(["bash", SCRIPT, str(nodes.folder), "install"], limit=LIMIT)
    testbed("load-image", nodes)
    uri = nodes.client()["MLFLOW_TRACKING_URI"]
    yield lambda: harness.run(["bash", SCRIPT, str(nodes.folder), "run", uri], limit=LIMIT)


def testbed(command: str, nodes: harness.Bed) -> None:
    """Run a command of the testbed for the node."""
    harness.run([sys.executable, "testbed/testbed.py", command, "--name", nodes.name, "--node", NODE], limit=LIMIT)
