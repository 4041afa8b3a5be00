# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the stages of the test suite in order and stop at the first that fails.

.venv/bin/python tests/run.py [STAGE ...]
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import signal
import subprocess
import sys
import time

import side_by_side

CLONE = pathlib.Path(__file__).resolve().parent.parent
LOGS = CLONE / ".build" / "test"
PYTHON = sys.executable
TAIL = 60
# How pytest closes: "3 failed, 5 passed in 1.20s".
PYTEST_CLOSING = re.compile(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.:]+ ?s", re.MULTILINE)
PYTEST_COUNT = re.compile(r"(\d+) (\w+)")
# The testbeds that stages start. They are removed at the end, and at the start: a killed run may have left some.
TESTBEDS = (
    *("itest", "itest-archive", "itest-backup", "itest-docker", "itest-host", "itest-jupyter"),
    "itest-restore",
    *("bench-recovery", "molecule", "test"),
)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A named part of the suite: commands that run one after another, or all at the same time."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    needs_nodes: bool = False
    side_by_side: bool = False


STAGES = (
    Stage(
        "lint",
        (
            ("ruff", "check", "--quiet", "."),
            ("ruff", "format", "--check", "--quiet", "."),
            ("yamllint", "--strict", "."),
            ("ansible-lint", "-q"),
        ),
    ),
    Stage("unit", (("pytest", "--quiet", "-n", "auto", "--cov", "--cov-report=term-missing", "tests/unit"),)),
    Stage("sanity", ((PYTHON, "tests/sanity.py"),)),
    Stage("package", ((PYTHON, "tests/package.py"),)),
    Stage(
        "integration",
        tuple(("pytest", "--quiet", *lane) for lane in side_by_side.lanes()),
        needs_nodes=True,
        side_by_side=True,
    ),
    Stage("molecule", (("molecule", "test", "--all", "--report"),), needs_nodes=True),
    Stage("demo", ((PYTHON, "tests/acceptance.py"),), needs_nodes=True),
    Stage("recovery", ((PYTHON, "tests/recovery.py"),), needs_nodes=True),
)


def main(names: list[str]) -> int:
    """Run the stages asked for, or all of them."""
    known = [stage.name for stage in STAGES]
    strange = [name for name in names if name not in known]
    if strange:
        print(f"There is no stage {', '.join(strange)}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    stages = [stage for stage in STAGES if not names or stage.name in names]
    # A kill ends like Ctrl-C does: with the cleaning up below.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    LOGS.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        for log in LOGS.glob(f"{stage.name}*.log"):
            log.unlink()
    began = time.monotonic()
    uses_nodes = any(stage.needs_nodes for stage in stages)
    status = 1
    try:
        if uses_nodes:
            remove_nodes()
        failed = run_stages(stages)
        status = 1 if failed else 0
        closing = f"FAILED in the stage {failed}" if failed else f"passed: {', '.join(stage.name for stage in stages)}"
    except KeyboardInterrupt:
        status, closing = 130, "INTERRUPTED, so nothing is shown"
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if uses_nodes:
            remove_nodes()
    print(f"Tests {closing}; {time.monotonic() - began:.0f} s.", flush=True)
    print(f"{count(stages, 'passed')} passed, {count(stages, 'failed')} failed", flush=True)
    return status


def run_stages(stages: list[Stage]) -> str:
    """Run stages until one fails, and return its name."""
    for stage in stages:
        began = time.monotonic()
        log = LOGS / f"{stage.name}.log"
        groups = [stage.commands] if stage.side_by_side else [(command,) for command in stage.commands]
        failed = next(filter(None, (side_by_side.run(group, log, stage.name) for group in groups)), None)
        if failed:
            print(f"{stage.name:12} FAILED   {time.monotonic() - began:6.1f} s   {' '.join(failed)}")
            print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]))
            print(f"The whole log: {log}")
            return stage.name
        if count(stages, "skipped"):
            print(f"{stage.name:12} FAILED   some of its tests were skipped, which shows nothing; the whole log: {log}")
            return stage.name
        print(f"{stage.name:12} passed   {time.monotonic() - began:6.1f} s", flush=True)
    return ""


def count(stages: list[Stage], outcome: str) -> int:
    """Return how many tests ended so, by the closing lines of pytest in the stages' logs of this run."""
    total = 0
    for stage in stages:
        log = LOGS / f"{stage.name}.log"
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        for line in PYTEST_CLOSING.findall(text):
            total += sum(int(number) for number, word in PYTEST_COUNT.findall(line) if word == outcome)
    return total


def remove_nodes() -> None:
    """Remove the nodes that the stages started."""
    for name in TESTBEDS:
        if (CLONE / ".testbed" / name).exists():
            subprocess.run([PYTHON, "testbed/testbed.py", "down", "--name", name], cwd=CLONE, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
