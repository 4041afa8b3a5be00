# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""added_host: what one more MLflow host costs in a site.yml that has nothing to do, from 1 to 6 of them.

Value: seconds per added host: those of `ansible-playbook site.yml` on a stack with 6 MLflow hosts less those on a stack
with 1, by 5.
Floor: the same difference for a playbook of pings on the same hosts, as root and without facts, with as many pings as
site.yml runs tasks on an added host. Counted are tasks of a real run whose module ran on that host: none that was
skipped, and none that works on the control machine alone (harness.task_runs). All four playbooks run in every round,
and the median is taken of the rounds' differences, so that what slows a round down meets both sizes.
Stand-ins: in both stacks PostgreSQL and SeaweedFS share one node, and all nodes share the control machine's cores; so
every MLflow server has one worker here, which changes none of the tasks.
"""

from __future__ import annotations

import harness

UNIT = "s"
GOAL = harness.Goal("<=", 1.5)
ROUNDS = 5
SIZES = (1, 6)
VARIABLES = {"mlflow_server_workers": "1"}


def measure(_session: harness.Session) -> harness.Measured:
    """Measure both playbooks on both stacks, and compare what the added hosts cost."""
    with harness.bed("one", VARIABLES) as one, harness.bed("six", VARIABLES) as six:
        for nodes, size in zip((one, six), SIZES, strict=True):
            deploy(nodes, size)
        # The last host: on the first one the tasks run that are done once for all of them.
        count = harness.task_runs(six.inventory)[f"ml{SIZES[-1]}"]
        harness.say(f"site.yml runs {count} tasks on an added host")
        pings = harness.write_pings(harness.WORK / "pings.yml", "postgres:seaweedfs:mlflow", count)
        sides = harness.alternate(
            ROUNDS,
            lambda _number: cost([lambda nodes=nodes: harness.unchanged(nodes.inventory) for nodes in (one, six)]),
            lambda _number: cost(
                [
                    lambda nodes=nodes: harness.timed(lambda: harness.playbook(pings, nodes.inventory))
                    for nodes in (one, six)
                ]
            ),
        )
    value, floor = (
        harness.say_rounds(f"{what}, per added host", costs)
        for what, costs in zip(("site.yml", f"{count} pings"), sides, strict=True)
    )
    if floor <= 0:
        raise harness.BenchError("The pings did not take longer on more hosts: the machine is too busy to measure.")
    return harness.Measured(value, floor)


def deploy(nodes: harness.Bed, size: int) -> None:
    """Bring a stack up with a number of MLflow hosts."""
    nodes.up({"postgres": ["core"], "seaweedfs": ["core"], "mlflow": [f"ml{number + 1}" for number in range(size)]})
    harness.say(f"{nodes.name}: site.yml")
    harness.playbook("site.yml", nodes.inventory)
    harness.unchanged(nodes.inventory)


def cost(works) -> float:
    """Return the seconds per added host, from the seconds with one host and with six."""
    few, many = (work() for work in works)
    harness.say(f"  {few:.2f} s with {SIZES[0]}, {many:.2f} s with {SIZES[1]}")
    return (many - few) / (SIZES[1] - SIZES[0])
