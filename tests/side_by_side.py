# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that run side by side, a few at a time, and leave nothing behind."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

CLONE = pathlib.Path(__file__).resolve().parent.parent
BIN = CLONE / ".venv" / "bin"
INTEGRATION = CLONE / "tests" / "integration"
LOCK = CLONE / ".build" / "tests.lock"
# The testbeds that tests start.
TESTBEDS = re.compile(r"itest-.*|bench-recovery|molecule|test")
# Each waits for its machines now and then, so that three keep two cores busy.
AT_ONCE = 3
# Folders of integration tests that take minutes, the longest first: nothing long is left alone at the end.
LONG = ("jupyter", "archive", "restore", "backup", "site", "chameleon", "nodes")


@dataclasses.dataclass(frozen=True)
class Job:
    """A command, and the file that its output is appended to."""

    name: str
    command: tuple[str, ...]
    log: pathlib.Path


def integration_folders() -> list[str]:
    """Return the names of the folders of integration tests, which share no machine, the longest first."""
    found = sorted({file.parent.name for file in INTEGRATION.glob("*/test_*.py")})
    return sorted(found, key=lambda name: LONG.index(name) if name in LONG else len(LONG))


def run(jobs: list[Job]) -> list[Job]:
    """Run all jobs, a few at a time, and return those that failed.

    Each runs in a process group of its own, of which no process is left when it ends, or when this is interrupted.
    """
    waiting, running, failed = list(jobs), [], []
    said = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                job = waiting.pop(0)
                running.append((job, start(job), time.monotonic()))
            time.sleep(0.2)
            for one in [one for one in running if one[1].poll() is not None]:
                running.remove(one)
                if not ended(*one):
                    failed.append(one[0])
            if time.monotonic() - said > 60:
                said = time.monotonic()
                for job, _process, began in running:
                    say(job, "runs", began)
    finally:
        with uninterrupted():
            end_groups([process for _job, process, _began in running])
    return failed


def ended(job: Job, process: subprocess.Popen, began: float) -> bool:
    """Clean up after a job that has ended, and return whether it passed."""
    end_groups([process])
    passed = process.returncode == 0
    say(job, "passed" if passed else "FAILED", began)
    return passed


def say(job: Job, what: str, began: float) -> None:
    """Print a line about a job."""
    print(f"{job.name:25} {what:6} {time.monotonic() - began:6.0f} s", flush=True)


def start(job: Job) -> subprocess.Popen:
    """Start a job's command."""
    with job.log.open("a") as stream:
        print(f"$ {' '.join(job.command)}", file=stream, flush=True)
        return subprocess.Popen(
            job.command,
            cwd=CLONE,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            process_group=0,
        )


def end_groups(processes: list[subprocess.Popen]) -> None:
    """End what is left of commands' process groups: as Ctrl-C does, which lets tests clean up, then less politely.

    A second Ctrl-C would interrupt the cleaning up, so each signal is sent once, and all have their time together.
    """
    for number, patience in ((signal.SIGINT, 60), (signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        deadline = time.monotonic() + patience
        processes = [process for process in processes if tell_group(process, number)]
        while processes and time.monotonic() < deadline:
            time.sleep(0.1)
            for process in processes:
                process.poll()
            processes = [process for process in processes if tell_group(process, 0)]


def tell_group(process: subprocess.Popen, number: int) -> bool:
    """Send a signal to a command's process group; 0 only asks. Return whether there is anybody in it."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let nothing interrupt a cleaning up."""
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def clean_nodes() -> Iterator[None]:
    """Start without nodes that a killed run left, and leave none behind; one run at a time has this clone's nodes."""
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Another run of the tests has this clone's nodes: wait for it, or use another clone.")
        remove_nodes()
        try:
            yield
        finally:
            with uninterrupted():
                remove_nodes()


def remove_nodes() -> None:
    """Remove the nodes that tests started."""
    for folder in (CLONE / ".testbed").glob("*"):
        if folder.is_dir() and TESTBEDS.fullmatch(folder.name):
            command = [sys.executable, "testbed/testbed.py", "down", "--name", folder.name]
            subprocess.run(command, cwd=CLONE, check=False)


def environment() -> dict[str, str]:
    """Return the environment of all commands: the clone's tools first, and no colours in logs."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    own = {"PATH": path, "VIRTUAL_ENV": str(CLONE / ".venv"), "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
    # molecule would otherwise warn that it prefers another folder for its scenarios.
    return {**os.environ, **own, "MOLECULE_GLOB": "molecule/*/molecule.yml"}
