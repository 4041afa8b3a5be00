# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whoever works in a clone works with that clone, whatever is installed besides."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

CLONE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.executable).parent
# Each has an older copy with a filter and a module of its own.
COLLECTIONS = {"mlops/stack": "0.0.1", "community/postgresql": "1.0.0"}


def install_older(home):
    """Put older copies where ansible-galaxy installs collections."""
    for name, version in COLLECTIONS.items():
        folder = home / ".ansible" / "collections" / "ansible_collections" / name
        (folder / "plugins" / "filter").mkdir(parents=True)
        namespace, _slash, collection = name.partition("/")
        info = {"namespace": namespace, "name": collection, "version": version}
        (folder / "MANIFEST.json").write_text(json.dumps({"collection_info": info}), encoding="utf-8")
        (folder / "plugins" / "filter" / "stack.py").write_text(
            "class FilterModule:\n    def filters(self):\n        return {'collection_file': lambda path: 'older'}\n",
            encoding="utf-8",
        )


def ansible(home, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [BIN / arguments[0], *arguments[1:]],
        cwd=CLONE,
        env={**environment, "HOME": str(home), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_clone_wins_over_an_older_copy_at_home(tmp_path):
    install_older(tmp_path)
    message = "msg={{ 'roles/common/tasks/main.yml' | mlops.stack.collection_file }}"
    done = ansible(tmp_path, "ansible", "localhost", "-m", "ansible.builtin.debug", "-a", message)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "older" not in done.stdout
    assert ".venv/collections/ansible_collections/mlops/stack/roles/common/tasks/main.yml" in done.stdout


def test_what_it_builds_on_wins_as_well(tmp_path):
    install_older(tmp_path)
    done = ansible(tmp_path, "ansible-doc", "--type=module", "--list", "--json", "community.postgresql")
    assert "community.postgresql.postgresql_query" in json.loads(done.stdout), done.stderr
