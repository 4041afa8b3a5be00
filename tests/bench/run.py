# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure the collection against what is possible, and print one JSON line per figure; docs/benchmarks.md tells all.

    .venv/bin/python tests/bench/run.py                            every figure
    .venv/bin/python tests/bench/run.py no_change s3_bucket_1000   some

Standard output carries the JSON lines alone; progress goes to standard error. The status is 0 when everything asked
for was measured, whether or not the goals hold: each line says so itself.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import sys
import time

import harness

NAMES = (
    *("first_run", "no_change", "s3_bucket_1000", "mlflow_throughput", "mlflow_memory", "added_host"),
    "inventory_200",
    # The first of these lets the database grow.
    *("pg_backup_memory", "pg_backup", "pg_backup_vs_gzip", "pg_restore", "artifact_backup_unchanged"),
    *("jupyter_first", "jupyter_no_change"),
)


def main(names: list[str]) -> int:
    """Measure what was asked for, in the order of NAMES."""
    strange = [name for name in names if name not in NAMES]
    if strange:
        print(f"There is no figure {', '.join(strange)}; there are {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    # A kill ends like Ctrl-C does: with the cleaning up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = 0
    try:
        with contextlib.ExitStack() as stack:
            session = harness.Session(stack)
            for name in NAMES:
                if not names or name in names:
                    status |= measure(name, session)
    except KeyboardInterrupt:
        harness.say("interrupted")
        return 130
    return status


def measure(name: str, session: harness.Session) -> int:
    """Measure and print one figure; return 1 where that was not possible."""
    began = time.monotonic()
    harness.say(f"=== {name}")
    benchmark = importlib.import_module(name)
    try:
        measured = benchmark.measure(session)
    except harness.BenchError as failure:
        print(f"{name} could not be measured: {failure}", file=sys.stderr, flush=True)
        return 1
    line = {
        "name": name,
        "value": round(measured.value, 3),
        "unit": benchmark.UNIT,
        "floor": round(measured.floor, 3),
        "ratio": round(measured.ratio, 3),
        **({"spread": [round(ratio, 3) for ratio in measured.spread]} if measured.spread else {}),
        "goal": str(benchmark.GOAL),
        "holds": benchmark.GOAL.holds(measured.ratio),
    }
    print(json.dumps(line), flush=True)
    harness.say(f"=== {name} took {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
