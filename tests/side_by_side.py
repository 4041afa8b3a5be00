# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that run at the same time and leave nothing behind, and the integration tests that may."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

CLONE = pathlib.Path(__file__).resolve().parent.parent
BIN = CLONE / ".venv" / "bin"
INTEGRATION = CLONE / "tests" / "integration"
# Folders whose tests share no machine with those of the other folders, and take about half of the time.
FIRST_LANE = ("archive", "backup", "docker")


def lanes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the folders of integration tests in two lanes that may run side by side, relative to the clone."""
    folders = sorted(folder.parent for folder in INTEGRATION.glob("*/conftest.py"))
    paths = {folder.name: str(folder.relative_to(CLONE)) for folder in folders}
    first = tuple(paths[name] for name in FIRST_LANE)
    return first, tuple(path for path in paths.values() if path not in first)


def run(commands: tuple[tuple[str, ...], ...], log: pathlib.Path, title: str) -> tuple[str, ...] | None:
    """Run commands side by side, each in a process group of its own, and leave none of their processes behind.

    Their output is appended to the log, that of a command that failed last; while several run, each has a file of its
    own beside the log. Returns one that failed, if any did.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for number, command in enumerate(commands):
            own = log if len(commands) == 1 else log.with_suffix(f".{number}{log.suffix}")
            stream = stack.enter_context(own.open("a"))
            print(f"$ {' '.join(command)}", file=stream, flush=True)
            process = subprocess.Popen(
                command,
                cwd=CLONE,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                process_group=0,
            )
            stack.callback(end_group, process)
            running.append((command, process, own))
        wait([process for _command, process, _own in running], title)
    running.sort(key=lambda one: one[1].returncode != 0)
    for _command, _process, own in running:
        if own != log:
            with log.open("ab") as whole, own.open("rb") as part:
                shutil.copyfileobj(part, whole)
            own.unlink()
    command, process, _own = running[-1]
    return command if process.returncode else None


def wait(processes: list[subprocess.Popen], title: str) -> None:
    """Wait until all have ended, and say every minute that they go on."""
    began = time.monotonic()
    for process in processes:
        while True:
            try:
                process.wait(60)
                break
            except subprocess.TimeoutExpired:
                print(f"{title:12} runs     {time.monotonic() - began:6.0f} s", flush=True)


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
