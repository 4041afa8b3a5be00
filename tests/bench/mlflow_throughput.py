# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mlflow_throughput: runs per second that MLflow takes as deployed, with authentication.

Value: runs per second of 8 client threads against the server as the collection deploys it; each run is a create-run and
one log-batch of 100 metrics and 10 params.
Floor: the same against `mlflow server` with its defaults and no authentication; mlflow_pair.py tells how.
Stand-in: node, database and clients share the control machine's cores, and the clients speak REST (tracking.py).
"""

from __future__ import annotations

import harness
import mlflow_pair

UNIT = "runs/s"
GOAL = harness.Goal(">=", 2)


def measure(session: harness.Session) -> harness.Measured:
    """Take medians over the rounds."""
    value, floor = (
        harness.say_rounds(side, [taken.speed for taken in rounds], UNIT)
        for side, rounds in zip(("deployed", "default"), mlflow_pair.measure(session), strict=True)
    )
    return harness.Measured(value, floor)
