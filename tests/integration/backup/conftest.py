# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with PostgreSQL of its distribution, and the command there as the timer starts it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import pathlib
import shlex
import subprocess
import tempfile
import time

import harm
import pytest
import yaml

SIBLING = pathlib.Path(__file__).resolve().parents[1] / "nodes" / "conftest.py"
SPEC = importlib.util.spec_from_file_location("integration_nodes", SIBLING)
NODES = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(NODES)

# A node of its own: these tests fill its file systems and kill what runs on it.
NODES.NAME = "itest-backup"
# Loop devices, of which one becomes a disk whose power can be cut.
NODES.FLAGS = ("--device-cgroup-rule=b 7:* rwm", "--device-cgroup-rule=c 10:237 rwm")
node = NODES.node

WORK = "/srv/backup-test"
SETS = f"{WORK}/sets"
DISK = f"{WORK}/disk"
CODE = "/opt/backup-code"
PASSWORD = r"Bk-2/x:y\z canary"
RESTORE_PASSWORD = "Rs-1/x:y canary"
PACKAGES = "postgresql python3-psycopg2 python3-boto3 rclone age pgbouncer faketime e2fsprogs"
COMMAND = f"env PYTHONPATH={CODE} python3 -m ansible_collections.mlops.stack.plugins.module_utils.backup.command"
ROLES = rf"""
CREATE ROLE mlflow LOGIN PASSWORD 'mlflow';
CREATE ROLE mlops_backup LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data;
CREATE ROLE mlops_restore LOGIN CREATEDB PASSWORD '{RESTORE_PASSWORD}' IN ROLE mlflow;
"""
BIG = """
CREATE TABLE big AS SELECT i, md5(i::text) || md5((i * 7)::text) AS text FROM generate_series(1, 600000) i;
"""
SMALL = """
CREATE TABLE runs (id int PRIMARY KEY, name text);
INSERT INTO runs SELECT i, md5(i::text) FROM generate_series(1, 2000) i;
CREATE TABLE "Odd.name" (x int);
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('head');
"""


@dataclasses.dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def result(self):
        assert self.status == 0, self.err
        return json.loads(self.out)


class Host:
    """The node as its administrator sees it, and backups there."""

    def __init__(self, node, folder):
        self.node = node
        self.number = 0
        facts = yaml.safe_load(node.inventory.read_text())["all"]["hosts"]["n1"]
        login = f"{facts['ansible_user']}@{facts['ansible_host']}"
        key = facts["ansible_ssh_private_key_file"]
        self.ssh = ["ssh", "-q", "-i", key, *shlex.split(facts["ansible_ssh_common_args"]), login]
        # Scripts share one connection, as Ansible's do: a test runs dozens.
        kept = {"ControlMaster": "auto", "ControlPath": f"{folder}/%C", "ControlPersist": "60"}
        self.kept_ssh = [*self.ssh[:-1], *(f"-o{name}={value}" for name, value in kept.items()), login]

    def shell(self, text):
        """What a script says on the node. By SSH alone: these tests ask far more often than Ansible would be quick."""
        argv = [*self.kept_ssh, "sudo", "bash", "-o", "pipefail", "-s"]
        ended = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=300)
        assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout.rstrip("\n")

    def copy_code(self):
        """The collection's code as the role puts it on a host; Ansible would copy file by file."""
        source = NODES.CLONE / "plugins" / "module_utils"
        target = f"{CODE}/ansible_collections/mlops/stack/plugins/module_utils"
        packed = subprocess.run(["tar", "-cC", source, "--exclude=__pycache__", "."], capture_output=True, check=True)
        unpack = f"sudo rm -rf {CODE} && sudo mkdir -p {target} && sudo tar -xC {target}"
        subprocess.run([*self.ssh, unpack], input=packed.stdout, check=True, timeout=60)

    def write(self, path, text):
        self.shell(f"cat >{path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE\n")

    def sql(self, text, database="postgres", port=5432):
        """What psql says, as the superuser over the socket."""
        argv = f"runuser -u postgres -- psql -p {port} -v ON_ERROR_STOP=1 -qAt -d {database}"
        return self.shell(f"cd /; {argv} <<'END_OF_SQL'\n{text}\nEND_OF_SQL\n")

    def options(self, **given):
        """The options of a backup, for the module and for the command."""
        return {
            "dest": SETS,
            "databases": ["mlflow", "a/b"],
            "login_host": "127.0.0.1",
            "login_password_file": f"{WORK}/password",
            **given,
        }

    def place(self, **given):
        """A folder for what a command leaves, with its configuration."""
        self.number += 1
        place = f"{WORK}/run{self.number}"
        self.shell(f"mkdir -p {place}")
        self.write(f"{place}/config", json.dumps(self.options(**given)))
        return place

    def start(self, action="run", prefix="", **given):
        """Start the command with these options; it goes on meanwhile. The path of what it leaves."""
        place = self.place(**given)
        asked = f"{prefix} {COMMAND} {action} --json --config {place}/config"
        command = f"{asked} >{place}/out 2>{place}/err & echo $! >{place}/pid"
        self.shell(f"setsid bash -c '{command}; wait $!; echo $? >{place}/status' >/dev/null 2>&1 </dev/null &")
        return place

    def end(self, place, patience=60):
        """How the command ended."""
        self.until(f"test -s {place}/status", patience)
        status, out, err = (self.shell(f"cat {place}/{name}") for name in ("status", "out", "err"))
        return Ended(int(status), out, err)

    def run(self, action="run", **given):
        return self.end(self.start(action, **given))

    def until(self, test, patience=60):
        """Until a test in the shell succeeds."""
        self.shell(f"for i in $(seq {patience * 10}); do if {test}; then exit 0; fi; sleep 0.1; done; exit 1")

    def dumping(self, sets=SETS):
        """Until pg_dump writes a table's data."""
        self.until(f"find {sets} -path '*.partial-*' -name '*.dat.gz' -size +200k | grep -q .")

    def hold_table(self, database, table):
        """Lock a table in a session of its own, until release_table()."""
        locking = f"BEGIN; LOCK TABLE {table}; SELECT pg_sleep(300)"
        argv = f"runuser -u postgres -- psql -q {database} -c '{locking}'"
        self.shell(f"cd /; setsid {argv} >/dev/null 2>&1 </dev/null &")
        query = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL"
        self.until(f'cd /; runuser -u postgres -- psql -Atc "{query}" | grep -q 1')

    def release_table(self):
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE%'")

    @property
    def labels(self):
        return self.labels_in(SETS)

    def labels_in(self, sets):
        return self.shell(f"ls {sets} | grep -v -e json -e lost+found || true").split()

    @contextlib.contextmanager
    def unchanged(self, path):
        """The set at this path is afterwards what it was before, byte for byte."""
        hashes = f"cd {path} || exit 0; find . -type f | sort | xargs sha256sum"
        before = self.shell(hashes)
        assert before
        yield
        harm.check_sets(self.shell(hashes), before)

    @property
    def leftovers(self):
        """What should be nowhere after any end: partial sets, and programs."""
        running = "pgrep -a 'pg_dump|pg_restore' | grep -v defunct"
        return self.shell(f"ls -d {SETS}/.partial-* {SETS}/.removed-* 2>/dev/null; {running} || true")

    def wait_quiet(self):
        """Until no backup's program is left."""
        self.until("! pgrep 'pg_dump|pg_restore' >/dev/null")


@pytest.fixture(scope="session")
def installed(node, request):
    # Its own service would listen where the test wants to.
    node.shell(
        f"apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {PACKAGES}; "
        "systemctl disable --now pgbouncer; systemctl start postgresql; pg_isready -t 30"
    )
    # A socket's path has to be short.
    folder = tempfile.TemporaryDirectory(prefix="ssh-")
    request.addfinalizer(folder.cleanup)
    made = Host(node, folder.name)
    made.sql(ROLES)
    for name, text in (("mlflow", SMALL), ("a/b", SMALL), ("empty", ""), ("big", BIG)):
        made.sql(f'CREATE DATABASE "{name}" OWNER mlflow')
        made.sql(f"SET ROLE mlflow;\n{text}" if name != "big" else text, f"'{name}'")
    made.copy_code()
    return made


@pytest.fixture
def host(installed):
    """No set, and no trace of an earlier test."""
    installed.wait_quiet()
    installed.shell(f"umount {DISK} 2>/dev/null; rm -rf {WORK}; mkdir -p {WORK}")
    installed.write(f"{WORK}/password", PASSWORD)
    installed.number = int(time.time())
    return installed


@pytest.fixture
def first(host):
    """One good set, which nothing that happens afterwards may touch."""
    assert host.run().status == 0
    label = host.labels[0]
    with host.unchanged(f"{SETS}/{label}"):
        yield label
    host.wait_quiet()
    assert host.run(minimum_redundancy=1).status == 0
    harm.check_sets(label in host.labels, True)
    assert host.leftovers == ""


@pytest.fixture
def disk(host):
    """A small file system with one good set, which nothing that happens afterwards may touch."""
    host.shell(f"mkdir {DISK}; mount -t tmpfs -o mode=0700,size=40m tmpfs {DISK}")
    label = host.run(dest=DISK, databases=["mlflow"]).result["label"]
    with host.unchanged(f"{DISK}/{label}"):
        yield label
    host.shell(f"mount -o remount,rw,size=100m,nr_inodes=0 {DISK}; rm -rf {DISK}/filler")
    assert host.run(dest=DISK, databases=["big"], compress="gzip:1").status == 0
    host.shell(f"umount {DISK}")
