# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inject every fault of docs/faults.md again and again on nodes of its own, and print one table.

    .venv/bin/python tests/faults/run.py                 each 20 times; the slow ones 5 times
    .venv/bin/python tests/faults/run.py --tries 1
    .venv/bin/python tests/faults/run.py --go-on         where an interrupted run of the same kind stopped

The tests are those that the suite runs once; they carry the marker `fault`, and `slow` where one takes over 20 seconds.
Logs and notes are in .build/faults. The status is 0 when every promise held.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import signal
import sys
import time

CLONE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CLONE / "tests"))
import side_by_side

LOGS = CLONE / ".build" / "faults"
FAULTS = CLONE / "docs" / "faults.md"
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \|", re.MULTILINE)
TRIES = 20
SLOW_TRIES = 5


def main() -> int:
    """Run the tests folder by folder, some side by side: all quick faults, then the slow ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=TRIES, help="how often each fault is injected")
    parser.add_argument("--go-on", action="store_true", help="keep what an interrupted run has shown, and do the rest")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.environ["PYTHONPATH"] = str(CLONE / "tests" / "faults")
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    failed = False
    try:
        with side_by_side.clean_nodes():
            for old in () if given.go_on else LOGS.iterdir():
                old.unlink()
            for which, marked, count in (
                ("quick", "fault and not slow", given.tries),
                ("slow", "fault and slow", min(given.tries, SLOW_TRIES)),
            ):
                failed |= bool(side_by_side.run([job(folder, which, marked, count) for folder in folders()]))
    except KeyboardInterrupt:
        failed = True
        print("INTERRUPTED: the table shows what was run until then.")
    held = print_table()
    print(f"{time.monotonic() - began:.0f} s; the whole logs: {LOGS}")
    return 0 if held and not failed else 1


def folders() -> list[str]:
    """Return the folders of integration tests that inject faults."""
    return [
        name
        for name in side_by_side.integration_folders()
        if any("mark.fault(" in file.read_text("utf-8") for file in (side_by_side.INTEGRATION / name).glob("*.py"))
    ]


def job(folder: str, which: str, marked: str, count: int) -> side_by_side.Job:
    """Return what runs the marked tests of a folder so many times."""
    notes = LOGS / f"{which}-{folder}.json"
    options = ("-p", "fault_table", f"--fault-notes={notes}", "-m", marked, f"--count={count}")
    command = ("pytest", "--verbose", *options, f"tests/integration/{folder}")
    return side_by_side.Job(f"{which} {folder}", command, notes.with_suffix(".log"))


def print_table() -> bool:
    """Print one line for each fault that there is, also for those that no test injected; return whether all held."""
    tests = [test for file in sorted(LOGS.glob("*.json")) for test in json.loads(file.read_text("utf-8")).values()]
    print(f"{'fault':>5}  {'held':>9}  {'sets lost':>9}  {'damaged':>7}  {'seconds':>7}  what")
    missing = False
    for number, what in ROW.findall(FAULTS.read_text(encoding="utf-8")):
        own = [test for test in tests if int(number) in test["faults"]]
        missing |= not own
        print(f"{number:>5}  {line(own)}  {what.strip()}")
    print(f"{'all':>5}  {line(tests)}  damaged: live databases")
    return all(test["held"] for test in tests) and not missing


def line(tests: list[dict]) -> str:
    """Return the columns of some tests: promises held, and how often one of the two harms was seen."""
    if not tests:
        return f"{'not run':>9}  {'':9}  {'':7}  {'':7}"
    held = f"{sum(test['held'] for test in tests)}/{len(tests)}"
    lost, damaged, seconds = (sum(test[name] for test in tests) for name in ("set_lost", "live_damaged", "seconds"))
    return f"{held:>9}  {lost:>9}  {damaged:>7}  {seconds:7.0f}"


if __name__ == "__main__":
    sys.exit(main())
