# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build the collection in this clone, install it elsewhere, and ask Ansible for its playbooks there.

.venv/bin/python tests/package.py
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import sanity

BIN = pathlib.Path(sys.executable).parent
PLAYBOOKS = ("mlops.stack.site", "mlops.stack.verify")


def main() -> int:
    """Return 0 when the package holds the clone's own files and works where it is installed."""
    with tempfile.TemporaryDirectory(prefix="mlops-stack-package-") as folder:
        run("ansible-galaxy", "collection", "build", "--output-path", folder)
        (archive,) = pathlib.Path(folder).glob("mlops-stack-*.tar.gz")
        strange = foreign_members(archive)
        if strange:
            print(f"The package carries files that are not the project's: {', '.join(strange[:20])}; see galaxy.yml.")
            return 1
        collections = pathlib.Path(folder).resolve() / "collections"
        # The dependencies are in the environment already, and Galaxy may be out of reach. Forced, because the clone
        # itself is in the environment too.
        install = ["install", "--force", "--no-deps", "--collections-path", str(collections), str(archive)]
        run("ansible-galaxy", "collection", *install)
        inventory = sanity.CLONE / "inventories" / "single_vm"
        for playbook in PLAYBOOKS:
            where = {"ANSIBLE_COLLECTIONS_PATH": str(collections)}
            check = ["--syntax-check", "--inventory", str(inventory)]
            output = run("ansible-playbook", playbook, *check, cwd=folder, **where)
            if f"playbook: {collections}" not in output:
                print(f"Ansible found {playbook} elsewhere than in the installed collection.")
                return 1
    return 0


def foreign_members(archive: pathlib.Path) -> list[str]:
    """Return the files in a package that git would not track, such as generated passwords."""
    own = {*sanity.list_files(), "MANIFEST.json", "FILES.json"}
    with tarfile.open(archive) as tar:
        return sorted(member.name for member in tar if not member.isdir() and member.name not in own)


def run(program: str, *arguments: str, cwd: str | pathlib.Path = sanity.CLONE, **variables: str) -> str:
    """Run one of Ansible's programs; show its output and return it."""
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", **variables}
    done = subprocess.run(
        [str(BIN / program), *arguments], cwd=cwd, env=environment, check=False, stdout=subprocess.PIPE, text=True
    )
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
