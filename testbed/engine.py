# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Docker Engine of this machine: installed, started and stopped where nobody else did."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import time

import disk
import host

RECORD = host.STATE / "engine.json"
LOG = host.STATE / "dockerd.log"
WAIT = 60


def answers() -> bool:
    """Tell whether a Docker Engine answers."""
    if not host.find_command("docker"):
        return False
    host.docker_prefix.cache_clear()
    return host.docker("version", "--format", "{{.Server.Version}}", check=False).returncode == 0


def ensure() -> None:
    """Install Docker where it is missing, start it where it does not run, and remember that it was us."""
    if answers():
        return
    with host.machine_lock():
        host.install_missing({"docker": ["docker.io", "docker-cli"], "dockerd": ["docker.io"]})
        if answers():
            return
        if "DOCKER_HOST" in os.environ:
            raise host.TestbedError(f"No Docker Engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}.")
        start()


def start() -> None:
    """Start dockerd: through systemd where that runs this machine, else as a process of its own."""
    host.say("starting the Docker Engine")
    host.STATE.mkdir(mode=0o700, exist_ok=True)
    record: dict[str, object] = {"systemd": pathlib.Path("/run/systemd/system").is_dir()}
    if record["systemd"]:
        host.run(host.as_root(["systemctl", "start", "docker.service"]))
    else:
        disk.ensure()
        with LOG.open("ab") as stream:
            process = subprocess.Popen(
                host.as_root([host.find_command("dockerd") or "dockerd"]),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        record["pid"] = process.pid
    RECORD.write_text(json.dumps(record), encoding="utf-8")
    deadline = time.monotonic() + WAIT
    while not answers():
        if time.monotonic() > deadline:
            end = host.tail(LOG.read_bytes()) if LOG.exists() else "see `journalctl -u docker`"
            raise host.TestbedError(f"The Docker Engine did not answer within {WAIT} s; the end of its log:\n{end}")
        time.sleep(0.3)
    host.say("the Docker Engine runs")


def stop() -> str:
    """Stop the engine when this clone started it and nobody else's container runs; return a sentence on what stays."""
    with host.machine_lock():
        return " ".join(filter(None, [stop_own() if RECORD.exists() else "", disk.remains()]))


def stop_own() -> str:
    """Stop the engine that this clone started, unless other containers use it; return a sentence where it goes on."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    if host.docker("ps", "--quiet", check=False).stdout.strip():
        return "The Docker Engine that this clone started keeps running: other containers use it."
    if record["systemd"]:
        host.run(host.as_root(["systemctl", "stop", "docker.socket", "docker.service"]))
        return ""
    try:
        dockerd = int(pathlib.Path("/var/run/docker.pid").read_text(encoding="utf-8"))
        if pathlib.Path(f"/proc/{dockerd}/comm").read_text(encoding="utf-8").strip() != "dockerd":
            return ""
    except (OSError, ValueError):
        return ""
    if not is_descendant(dockerd, record["pid"]):
        return "The Docker Engine keeps running: it is not the process that this clone started."
    empty = is_empty()
    host.run(host.as_root(["kill", f"-{signal.SIGTERM.value}", str(dockerd)]))
    deadline = time.monotonic() + WAIT
    while pathlib.Path(f"/proc/{dockerd}/comm").exists() and not is_zombie(dockerd):
        if time.monotonic() > deadline:
            return f"The Docker Engine (process {dockerd}) did not stop within {WAIT} s."
        time.sleep(0.2)
    host.say("the Docker Engine that this clone had started is stopped")
    if empty:
        disk.remove()
    return ""


def is_empty() -> bool:
    """Tell whether the engine has nothing of anybody, such as another clone's images."""
    listings = (("ps", "--all", "--quiet"), ("images", "--quiet"), ("volume", "ls", "--quiet"))
    return not any(host.docker(*listing).stdout.strip() for listing in listings)


def is_descendant(pid: int, ancestor: int) -> bool:
    """Tell whether a process is, or was started by, another one (sudo stands between us and dockerd)."""
    while pid > 1:
        if pid == ancestor:
            return True
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        pid = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))
    return False


def is_zombie(pid: int) -> bool:
    """Tell whether a process has ended and only waits to be reaped."""
    try:
        return "\nState:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return True
