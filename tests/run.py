# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the stages of the test suite in order and stop at the first that fails.

.venv/bin/python tests/run.py [STAGE ...]
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CLONE = pathlib.Path(__file__).resolve().parent.parent
BIN = CLONE / ".venv" / "bin"
LOGS = CLONE / ".build" / "test"
PYTHON = sys.executable
TAIL = 60
# How pytest closes: "3 failed, 5 passed in 1.20s".
PYTEST_CLOSING = re.compile(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.:]+ ?s", re.MULTILINE)
PYTEST_COUNT = re.compile(r"(\d+) (\w+)")
# The testbeds that stages start. They are removed at the end, and at the start: a killed run may have left some.
TESTBEDS = (
    *("itest", "itest-archive", "itest-backup", "itest-host", "itest-restore"),
    *("bench-recovery", "molecule", "test"),
)
# Folders of integration tests that share no machine with those of the other lane; each lane takes about as long.
LANES = (("archive", "backup"), ("backup_store", "host", "mlflow", "nodes", "restore", "s3", "site"))


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
        tuple(("pytest", "--quiet", *(f"tests/integration/{folder}" for folder in lane)) for lane in LANES),
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
        (LOGS / f"{stage.name}.log").unlink(missing_ok=True)
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
        with log.open("wb") as stream:
            groups = [stage.commands] if stage.side_by_side else [(command,) for command in stage.commands]
            failed = next(filter(None, (run_commands(group, stream, stage.name) for group in groups)), None)
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


def run_commands(commands: tuple[tuple[str, ...], ...], stream, stage: str) -> tuple[str, ...] | None:
    """Run commands side by side, each in a process group of its own, and leave none of their processes behind.

    Returns one that failed, if any did; its output comes last.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for command in commands:
            own = stream if len(commands) == 1 else stack.enter_context(tempfile.TemporaryFile())
            own.write(f"$ {' '.join(command)}\n".encode())
            own.flush()
            process = subprocess.Popen(
                command, cwd=CLONE, env=environment(), stdin=subprocess.DEVNULL, stdout=own, stderr=own, process_group=0
            )
            stack.callback(end_group, process)
            running.append((command, process, own))
        wait([process for _command, process, _own in running], stage)
        running.sort(key=lambda one: one[1].returncode != 0)
        for _command, _process, own in running:
            if own is not stream:
                own.seek(0)
                shutil.copyfileobj(own, stream)
        command, process, _own = running[-1]
        return command if process.returncode else None


def wait(processes: list[subprocess.Popen], stage: str) -> None:
    """Wait until all have ended, and say every minute that the stage goes on."""
    began = time.monotonic()
    for process in processes:
        while True:
            try:
                process.wait(60)
                break
            except subprocess.TimeoutExpired:
                print(f"{stage:12} runs     {time.monotonic() - began:6.0f} s", flush=True)


def end_group(process: subprocess.Popen) -> None:
    """End what is left of a command's process group: politely, then not."""
    for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def environment() -> dict[str, str]:
    """Return the environment of all commands: the clone's tools first, and no colours in logs."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    own = {"PATH": path, "VIRTUAL_ENV": str(CLONE / ".venv"), "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
    # molecule would otherwise warn that it prefers another folder for its scenarios.
    return {**os.environ, **own, "MOLECULE_GLOB": "molecule/*/molecule.yml"}


def remove_nodes() -> None:
    """Remove the nodes that the stages started."""
    for name in TESTBEDS:
        if (CLONE / ".testbed" / name).exists():
            subprocess.run([PYTHON, "testbed/testbed.py", "down", "--name", name], cwd=CLONE, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
