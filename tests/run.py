# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the stages of the test suite: lint and unit tests first, and where these pass, all others side by side.

.venv/bin/python tests/run.py [STAGE ...]
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re
import signal
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


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the suite: its commands by name. A quick one has to pass before the next one begins."""

    name: str
    commands: dict[str, tuple[str, ...]]
    quick: bool = False
    needs_nodes: bool = False

    def jobs(self) -> list[side_by_side.Job]:
        """Return its commands as jobs."""
        return [
            side_by_side.Job(f"{self.name} {name}".strip(), command, LOGS / f"{self.name}-{name or 'all'}.log")
            for name, command in self.commands.items()
        ]


STAGES = (
    Stage(
        "lint",
        {
            "ansible": ("ansible-lint", "-q"),
            "python": ("ruff", "check", "--quiet", "."),
            "format": ("ruff", "format", "--check", "--quiet", "."),
            "yaml": ("yamllint", "--strict", "."),
        },
        quick=True,
    ),
    Stage(
        "unit",
        {"": ("pytest", "--quiet", "-n", "auto", "--cov", "--cov-report=term-missing", "tests/unit")},
        quick=True,
    ),
    # Of what follows, what takes longest comes first.
    Stage("recovery", {"": (PYTHON, "tests/recovery.py")}, needs_nodes=True),
    # A run that was killed has left molecule in the belief that its nodes are there.
    Stage(
        "molecule",
        {"": ("bash", "-ec", "molecule reset --no-report; exec molecule test --all --report")},
        needs_nodes=True,
    ),
    Stage(
        "integration",
        {
            # What takes long stands at the end of each log.
            name: ("pytest", "--quiet", "--durations=25", "--durations-min=5", f"tests/integration/{name}")
            for name in side_by_side.integration_folders()
        },
        needs_nodes=True,
    ),
    Stage("sanity", {"": (PYTHON, "tests/sanity.py")}),
    Stage("demo", {"": (PYTHON, "tests/acceptance.py")}, needs_nodes=True),
    Stage("package", {"": (PYTHON, "tests/package.py")}),
)


def main(names: list[str]) -> int:
    """Run the stages asked for, or all of them."""
    known = [stage.name for stage in STAGES]
    strange = [name for name in names if name not in known]
    if strange:
        print(f"There is no stage {', '.join(strange)}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    stages = [stage for stage in STAGES if not names or stage.name in names]
    # A kill ends like Ctrl-C does: with the cleaning up below. Also where this was started in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    nodes = side_by_side.clean_nodes() if any(stage.needs_nodes for stage in stages) else contextlib.nullcontext()
    try:
        with nodes:
            for job in [job for stage in stages for job in stage.jobs()]:
                job.log.unlink(missing_ok=True)
            passed = run_stages(stages)
        status = 0 if passed else 1
        closing = f"passed: {', '.join(stage.name for stage in stages)}" if passed else "FAILED"
    except KeyboardInterrupt:
        status, closing = 130, "INTERRUPTED, so nothing is shown"
    print(f"Tests {closing}; {time.monotonic() - began:.0f} s.", flush=True)
    print(f"{count(stages, 'passed')} passed, {count(stages, 'failed', 'error', 'errors')} failed", flush=True)
    return status


def run_stages(stages: list[Stage]) -> bool:
    """Run the quick stages one after the other, then the others together; return whether all passed."""
    quick = [[stage] for stage in stages if stage.quick]
    for group in filter(None, [*quick, [stage for stage in stages if not stage.quick]]):
        failed = side_by_side.run([job for stage in group for job in stage.jobs()])
        for job in failed:
            print(f"\n{job.name} FAILED: {' '.join(job.command)}")
            print("\n".join(job.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]))
            print(f"The whole log: {job.log}", flush=True)
        skipped = count(group, "skipped")
        if skipped:
            print(f"FAILED: {skipped} tests were skipped, which shows nothing; the logs are in {LOGS}.")
        if failed or skipped:
            return False
    return True


def count(stages: list[Stage], *outcomes: str) -> int:
    """Return how many tests ended so, by the closing lines of pytest in this run's logs."""
    total = 0
    for job in [job for stage in stages for job in stage.jobs() if job.log.exists()]:
        for line in PYTEST_CLOSING.findall(job.log.read_text(encoding="utf-8", errors="replace")):
            total += sum(int(number) for number, word in PYTEST_COUNT.findall(line) if word in outcomes)
    return total


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
