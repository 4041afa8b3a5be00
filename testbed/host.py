# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the testbed needs of the machine it runs on: commands, root's rights, Debian packages, docker."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import time

CLONE = pathlib.Path(__file__).resolve().parent.parent
STATE = CLONE / ".testbed"
# One Docker Engine serves all clones and users.
MACHINE_LOCK = pathlib.Path("/run/lock/mlops-stack-testbed.lock")
CLONE_ID = hashlib.sha256(str(CLONE).encode()).hexdigest()[:8]
PREFIX = f"mlops-stack-{CLONE_ID}"
HEARTBEAT = 10
STARTED = time.monotonic()


class TestbedError(Exception):
    """A step that cannot go on; its text is the one sentence the user reads."""


def say(text: str) -> None:
    """Print one progress line with the seconds since the command began."""
    print(f"[testbed {time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


def run(argv: list[str], *, check: bool = True, **kwargs) -> subprocess.CompletedProcess:
    """Run argv to its end and return it; output is captured as text unless kwargs say otherwise."""
    kwargs.setdefault("capture_output", True)
    kwargs.setdefault("text", True)
    kwargs.setdefault("stdin", None if "input" in kwargs else subprocess.DEVNULL)
    if "input" in kwargs:
        del kwargs["stdin"]
    result = subprocess.run(argv, check=False, **kwargs)
    if check and result.returncode:
        raise TestbedError(f"`{' '.join(argv)}` ended with {result.returncode}: {tail(result.stderr or result.stdout)}")
    return result


def tail(text: str | bytes, lines: int = 12) -> str:
    """Return the last lines of a command's output."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return "\n".join(text.strip().splitlines()[-lines:])


def run_long(what: str, argv: list[str], log: pathlib.Path, env: dict[str, str] | None = None) -> None:
    """Run a long command with its output in a log file, and a line every few seconds that says it still runs."""
    began = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=env)
        try:
            while True:
                try:
                    process.wait(HEARTBEAT)
                    break
                except subprocess.TimeoutExpired:
                    say(f"{what}: {time.monotonic() - began:.0f} s so far")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        raise TestbedError(f"{what} failed with {process.returncode}; the end of {log}:\n{tail(log.read_bytes())}")


@contextlib.contextmanager
def lock(name: str):
    """Hold a lock file of this clone, so that two commands that run at once do not do the same work twice."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    with (STATE / f"{name}.lock").open("w", encoding="utf-8") as stream:
        wait_for(stream, name)
        yield


@contextlib.contextmanager
def machine_lock():
    """Hold the lock of this machine's Docker Engine: two clones start or stop it one after the other."""
    try:
        stream = MACHINE_LOCK.open("rb")
    except FileNotFoundError:
        # For the next user to read, too; nobody may create somebody else's file anew in such a folder.
        stream = os.fdopen(os.open(MACHINE_LOCK, os.O_RDONLY | os.O_CREAT, 0o644), "rb")
    with stream:
        wait_for(stream, "the Docker Engine")
        yield


def wait_for(stream, name: str) -> None:
    """Lock an open file, and say so where that takes a while."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another testbed command that holds {name}")
        fcntl.flock(stream, fcntl.LOCK_EX)


@functools.cache
def root_prefix() -> tuple[str, ...]:
    """Return what goes before a command that needs root: nothing, or sudo once it has been unlocked."""
    if os.geteuid() == 0:
        return ()
    if not shutil.which("sudo"):
        raise TestbedError("The testbed needs root: run it as root, or install sudo and allow it for this user.")
    if run(["sudo", "-n", "true"], check=False).returncode and subprocess.run(["sudo", "-v"], check=False).returncode:
        raise TestbedError("The testbed needs root, and sudo refused: run it as root or as a user who may use sudo.")
    return ("sudo", "-n")


def as_root(argv: list[str]) -> list[str]:
    """Return argv as a command line that runs with root's rights."""
    return [*root_prefix(), *argv]


def install_missing(commands: dict[str, list[str]]) -> None:
    """Install the Debian packages of those commands that are not on this machine."""
    missing = [command for command in commands if not find_command(command)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise TestbedError(f"Install {', '.join(missing)}: this machine lacks them, and has no apt-get to do it with.")
    STATE.mkdir(mode=0o700, exist_ok=True)
    log = STATE / "apt.log"
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run_long("apt-get update", as_root([*environment, "apt-get", "update"]), log)
    packages = sorted({package for command in missing for package in commands[command] if is_offered(package)})
    say(f"installing the Debian packages {', '.join(packages)}")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    run_long("apt-get install", as_root([*environment, *install]), log)
    still = [command for command in missing if not find_command(command)]
    if still:
        raise TestbedError(f"Debian's packages did not bring {', '.join(still)}; see {log}.")


def find_command(command: str) -> str | None:
    """Return a command's path; the system folders count also where an ordinary user's PATH lacks them."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")


def is_offered(package: str) -> bool:
    """Tell whether apt knows a package of this name (Debian 13 splits docker-cli off docker.io, Debian 12 does not)."""
    return "Package:" in run(["apt-cache", "show", "--no-all-versions", package], check=False).stdout


def docker(*arguments: str, check: bool = True, **kwargs) -> subprocess.CompletedProcess:
    """Run one docker command."""
    return run([*docker_prefix(), *arguments], check=check, **kwargs)


@functools.cache
def docker_prefix() -> tuple[str, ...]:
    """Return the docker command, through sudo where the engine's socket is closed to this user."""
    socket = pathlib.Path("/var/run/docker.sock")
    if "DOCKER_HOST" in os.environ or os.access(socket, os.W_OK):
        return ("docker",)
    return (*root_prefix(), "docker")
