# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inject every fault of docs/faults.md again and again on nodes of its own, and print one table.

    .venv/bin/python tests/faults/run.py                 each 20 times; the slow ones 5 times
    .venv/bin/python tests/faults/run.py --tries 1

The tests are those that the suite runs once; they carry the marker `fault`, and `slow` where one takes over 20 seconds.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys

CLONE = pathlib.Path(__file__).resolve().parents[2]
TRIES = 20
SLOW_TRIES = 5


def main() -> int:
    """Run the quick ones, then the slow ones; 0 when every promise held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=TRIES, help="how often each fault is injected")
    tries = parser.parse_args().tries
    status = 0
    environment = {**os.environ, "PYTHONPATH": str(CLONE / "tests" / "faults")}
    for which, count in (("fault and not slow", tries), ("fault and slow", min(tries, SLOW_TRIES))):
        command = [sys.executable, "-m", "pytest", "--quiet", "-p", "fault_table", "-m", which, f"--count={count}"]
        status |= subprocess.run([*command, "tests/integration"], cwd=CLONE, env=environment, check=False).returncode
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
