# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the demonstration on nodes of its own: once, again without a change, and the acceptance check on the result.

    .venv/bin/python tests/acceptance.py

A demonstration that the user has running is not touched: names, inventory and passwords are others.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import sanity

sys.path.insert(0, str(sanity.CLONE / "testbed"))
import demo
import host

BIN = pathlib.Path(sys.executable).parent
INVENTORY = sanity.CLONE / ".build" / "test" / "inventory"
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s", re.MULTILINE)


def main() -> int:
    """Return 0 when everything held."""
    copy_inventory()
    command = [sys.executable, "testbed/demo.py", "--name", "test", "--inventory", str(INVENTORY)]
    run(command)
    recap = dict(RECAP.findall(run(command)))
    if not recap.keys() >= set(demo.LAYOUT.values()):
        print("The second demonstration did not say what it changed on each host.")
        return 1
    changed = [f"{name} ({count})" for name, count in recap.items() if count != "0"]
    if changed:
        print(f"The second demonstration changed something on {', '.join(changed)}; it may not.")
        return 1
    playbook = str(BIN / "ansible-playbook")
    run([playbook, "playbooks/verify.yml", "-i", str(INVENTORY)])
    strange = sorted(set(hosts_of_inventory()) - set(demo.LAYOUT.values()))
    if strange:
        print(f"Ansible reads {len(strange)} more hosts out of the inventory's folder, secrets perhaps.")
        return 1
    look_with_a_browser()
    return 0


def hosts_of_inventory() -> list[str]:
    """Return the hosts that Ansible finds in the inventory's folder, generated files included."""
    command = [str(BIN / "ansible-inventory"), "--list", "-i", str(INVENTORY)]
    listing = json.loads(subprocess.run(command, cwd=sanity.CLONE, check=True, capture_output=True, text=True).stdout)
    return [host for group in listing.values() for host in group.get("hosts", [])]


def look_with_a_browser() -> None:
    """Open the logged run as a person does. Chromium is Debian's; where it is missing it is installed."""
    with host.lock("packages"):
        host.install_missing({"chromium": ["chromium"]})
    os.environ.update(demo.read_client(INVENTORY))
    os.environ["MLOPS_STACK_SCREENSHOT"] = str(sanity.CLONE / ".build" / "test" / "digits-run.png")
    run([str(BIN / "pytest"), "--quiet", "tests/browser"])


def copy_inventory() -> None:
    """Copy the demonstration's inventory, without what was generated into it."""
    shutil.rmtree(INVENTORY, ignore_errors=True)
    source = "inventories/testbed/"
    for name in sanity.list_files():
        if name.startswith(source):
            target = INVENTORY / name.removeprefix(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(sanity.CLONE / name, target)
    INVENTORY.mkdir(parents=True, exist_ok=True)


def run(command: list[str]) -> str:
    """Run a command, show its output as it comes, and return it."""
    print(f"$ {' '.join(command)}", flush=True)
    lines = []
    with subprocess.Popen(
        command, cwd=sanity.CLONE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(process.returncode)
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
