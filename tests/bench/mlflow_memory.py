# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mlflow_memory: memory of MLflow as deployed, after the load of mlflow_throughput.

Value: summed PSS of all processes of the deployed server's unit, in MiB.
Floor: the same of `mlflow server` with its defaults and no authentication; mlflow_pair.py tells how.
PSS counts a page that several processes share once, RSS counts it for each of them: PSS says what the machine lacks,
and RSS, which most tools show, is told beside it in the progress.
Stand-in: as for mlflow_throughput.
"""

from __future__ import annotations

import harness
import mlflow_pair

UNIT = "MiB"
GOAL = harness.Goal("<=", 1 / 3)


def measure(session: harness.Session) -> harness.Measured:
    """Take medians over the rounds."""
    sides = mlflow_pair.measure(session)
    shown = [
        harness.say_rounds(f"{side}, RSS", [taken.rss for taken in rounds], UNIT)
        for side, rounds in zip(("deployed", "default"), sides, strict=True)
    ]
    harness.say(f"ratio by RSS: {shown[0] / shown[1]:.3f}")
    value, floor = (
        harness.say_rounds(f"{side}, PSS", [taken.pss for taken in rounds], UNIT)
        for side, rounds in zip(("deployed", "default"), sides, strict=True)
    )
    return harness.Measured(value, floor)
