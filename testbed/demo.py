# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demonstration: three bare machines, the stack on them, a training run logged through it.

.venv/bin/python testbed/demo.py [--name demo] [--inventory inventories/testbed]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

import host

BIN = host.CLONE / ".venv" / "bin"
CLIENT = host.CLONE / ".build" / "client"
CLIENT_LOCK = host.CLONE / "examples" / "requirements.txt"
VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
LAYOUT = {"postgres": "db1", "seaweedfs": "store1", "mlflow": "ml1", "backup": "store1"}


def main() -> int:
    """Run the demonstration's steps, each of which does nothing where it has nothing to do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="demo", help="the testbed's name")
    parser.add_argument("--inventory", type=pathlib.Path, default=host.CLONE / "inventories" / "testbed")
    arguments = parser.parse_args()
    inventory = arguments.inventory.resolve()
    steps = (
        ("three bare machines", lambda: start_machines(arguments.name, inventory)),
        ("the stack on them", lambda: deploy(inventory)),
        ("a client's environment", make_client),
        ("a training run", lambda: train(inventory)),
    )
    began = time.monotonic()
    for number, (title, step) in enumerate(steps, start=1):
        print(f"\n=== {number}/{len(steps)} {title}", flush=True)
        started = time.monotonic()
        try:
            step()
        except (host.TestbedError, subprocess.CalledProcessError) as failure:
            text = (
                failure if isinstance(failure, host.TestbedError) else f"it ended with {failure.returncode}; see above."
            )
            print(f"demo: the step '{title}' failed: {text}", file=sys.stderr)
            print("demo: `make demo` goes on from here, `make clean` removes all it made.", file=sys.stderr)
            return 1
        print(f"=== {number}/{len(steps)} {title}: {time.monotonic() - started:.1f} s", flush=True)
    print_card(inventory, time.monotonic() - began)
    return 0


def start_machines(name: str, inventory: pathlib.Path) -> None:
    """Start the nodes and write their addresses into the inventory."""
    command = [sys.executable, str(host.CLONE / "testbed" / "testbed.py"), "up", "--name", name]
    for node in dict.fromkeys(LAYOUT.values()):
        command += ["--node", node]
    for group, node in LAYOUT.items():
        command += ["--group", f"{group}={node}"]
    subprocess.run([*command, "--inventory", str(inventory / "hosts.yml")], check=True)


def deploy(inventory: pathlib.Path) -> None:
    """Run the collection's main playbook, as a user does."""
    subprocess.run(
        [str(BIN / "ansible-playbook"), "site.yml", "-i", str(inventory)],
        cwd=host.CLONE,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
        check=True,
    )


def make_client() -> None:
    """Make the environment of somebody who trains models: the lock beside the example, and nothing of Ansible."""
    wanted = hashlib.sha256(CLIENT_LOCK.read_bytes() + sys.version.encode()).hexdigest()
    mark = CLIENT / ".packages"
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        print("The client's environment is there; nothing changed.")
        return
    print(f"Installing the packages of {CLIENT_LOCK.relative_to(host.CLONE)}", flush=True)
    shutil.rmtree(CLIENT, ignore_errors=True)
    environment = {**os.environ, "UV_SYSTEM_CERTS": "true", "VIRTUAL_ENV": str(CLIENT)}
    uv = str(BIN / "uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(CLIENT)], env=environment, check=True)
    # On a terminal uv shows what it downloads; in a log that is a hundred lines that nobody reads.
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    install = [uv, "pip", "sync", "--require-hashes", *quiet, str(CLIENT_LOCK)]
    subprocess.run(install, env=environment, check=True)
    mark.write_text(wanted, encoding="utf-8")


def train(inventory: pathlib.Path) -> None:
    """Run the example with the three environment variables that an MLflow client needs."""
    command = [str(CLIENT / "bin" / "python"), str(host.CLONE / "examples" / "train_digits.py")]
    subprocess.run(command, cwd=host.CLONE, env={**os.environ, **read_client(inventory)}, check=True)


def read_client(inventory: pathlib.Path) -> dict[str, str]:
    """Return the variables that the playbook wrote for clients."""
    path = inventory / ".secrets" / "client.env"
    if not path.exists():
        raise host.TestbedError(f"site.yml did not write {path}.")
    values = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            key, _equals, value = words[-1].partition("=")
            values[key] = value
    missing = [variable for variable in VARIABLES if not values.get(variable)]
    if missing:
        raise host.TestbedError(f"{path} lacks {', '.join(missing)}.")
    return values


def print_card(inventory: pathlib.Path, seconds: float) -> None:
    """Print what the user needs from here on."""
    values = read_client(inventory)
    password = inventory / ".secrets" / "mlflow_client_password"
    with_path = password.relative_to(host.CLONE) if password.is_relative_to(host.CLONE) else password
    lines = [
        f"The stack runs ({seconds:.0f} s).",
        "",
        f"MLflow          {values['MLFLOW_TRACKING_URI']}",
        f"user            {values['MLFLOW_TRACKING_USERNAME']}",
        f"password        in {with_path}",
        "",
        "A client needs three lines:",
        f"  export MLFLOW_TRACKING_URI={shlex.quote(values['MLFLOW_TRACKING_URI'])}",
        f"  export MLFLOW_TRACKING_USERNAME={shlex.quote(values['MLFLOW_TRACKING_USERNAME'])}",
        f'  export MLFLOW_TRACKING_PASSWORD="$(cat {shlex.quote(str(with_path))})"',
        "",
        "make clean      removes all of it",
    ]
    width = max(map(len, lines))
    print("\n+-" + "-" * width + "-+")
    for line in lines:
        print(f"| {line:{width}} |")
    print("+-" + "-" * width + "-+", flush=True)


if __name__ == "__main__":
    sys.exit(main())
