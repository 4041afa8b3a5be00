# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the demonstration on nodes of its own: once, again without a change, and the acceptance check on the result.

    .venv/bin/python tests/demo.py

A demonstration that the user has running is not touched: names, inventory and passwords are others.
"""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

import sanity

INVENTORY = sanity.CLONE / ".build" / "test" / "inventory"
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s", re.MULTILINE)


def main() -> int:
    """Return 0 when everything held."""
    copy_inventory()
    demo = [sys.executable, "testbed/demo.py", "--name", "test", "--inventory", str(INVENTORY)]
    run(demo)
    changed = [f"{name} ({count})" for name, count in RECAP.findall(run(demo)) if count != "0"]
    if changed:
        print(f"The second demonstration changed something on {', '.join(changed)}; it may not.")
        return 1
    playbook = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
    run([playbook, "playbooks/verify.yml", "-i", str(INVENTORY)])
    return 0


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
