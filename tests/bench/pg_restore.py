# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pg_restore: a set loaded into a database of its own, and compared with what its manifest says.

Value: seconds of the task mlops.stack.pg_restore (mode=scratch) from Ansible's beginning with it to its end with it,
less those of a ping as the same user just before it: the hashes of all files, a new database, pg_restore, the rows of
every table and the schema's revision compared. The start of ansible-playbook and the connection are not in it.
Floor: seconds of a bare `pg_restore --format=directory` of the same files with as many jobs, into an empty database
that is made before.
Both run on the backup host and over the network, with one login; backup_stack.py tells of the stack and the database.
Stand-in: as for pg_backup.
"""

from __future__ import annotations

import datetime
import json

import backup_rounds
import backup_stack
import harness

UNIT = "s"
GOAL = harness.Goal("<=", 1.15)
ROUNDS = 3
RESTORED, BARE = "bench_restored", "bench_bare"
PLAY = """\
---
- name: Restore
  hosts: backup
  gather_facts: false
  become: true
  become_user: "{{ user }}"
  vars:
    ansible_python_interpreter: "{{ python }}"
    ansible_remote_tmp: /var/lib/mlops-backup/tmp
  tasks:
    - name: Connect
      ansible.builtin.ping:
    - name: Ping
      ansible.builtin.ping:
    - name: Restore
      mlops.stack.pg_restore:
        source: "{{ source }}"
        databases: ["{{ database }}"]
        target_db: "{{ target }}"
        login_host: "{{ host }}"
        login_password: "{{ lookup('ansible.builtin.file', inventory_dir ~ '/.secrets/database_restore_password') }}"
        jobs: "{{ jobs }}"
        work_dir: "{{ source }}"
"""


def measure(session: harness.Session) -> harness.Measured:
    """Restore both ways in turn, and take medians."""
    stack = backup_stack.stack(session)
    stack.fill(backup_stack.SIZE_MB)
    stack.configure(databases=[backup_stack.DATABASE], artifacts={"mode": "none"})
    made = backup_rounds.one_set(stack)
    dump = made["databases"][0]["dump"]
    bare = (
        f"pg_restore --exit-on-error --no-owner --role=mlflow --jobs={dump['jobs']} --dbname={BARE} "
        f"{backup_stack.SETS}/{made['label']}/{dump['path']}"
    )
    harness.say(f"the floor: {bare}")
    try:
        sides = harness.alternate(
            ROUNDS, lambda _number: by_module(stack, dump["jobs"]), lambda _number: by_hand(stack, bare)
        )
    finally:
        stack.forget()
    return harness.compared(("pg_restore task", sides[0]), ("bare pg_restore", sides[1]), UNIT)


def by_module(stack: backup_stack.Stack, jobs: int) -> float:
    """Restore with the module, remove what it made, and return the seconds that it took more than a ping."""
    stack.drop(RESTORED)
    stack.settle()
    seconds, result = run_module(stack, jobs)
    rows = int(stack.sql("SELECT count(*) FROM metrics", RESTORED))
    stack.drop(RESTORED)
    if not result["changed"] or rows != result["counts"][RESTORED]["public.metrics"]:
        raise harness.BenchError("pg_restore did not restore what the set has.")
    harness.say(f"phases: {result['seconds']}")
    return seconds


def run_module(stack: backup_stack.Stack, jobs: int) -> tuple[float, dict]:
    """Restore with the module: the seconds that it took more than a ping, and its result."""
    play = stack.nodes.folder / "restore.yml"
    play.write_text(PLAY, encoding="utf-8")
    unit = f"/etc/systemd/system/{backup_stack.UNIT}"
    variables = {
        "user": backup_stack.USER,
        "python": stack.vault(f"sed -n 's/^ExecStart=\\([^ ]*\\).*/\\1/p' {unit}").strip(),
        "source": backup_stack.SETS,
        "database": backup_stack.DATABASE,
        "target": RESTORED,
        "host": stack.nodes.address("core"),
        "jobs": jobs,
    }
    callback = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    output = harness.playbook(play, stack.nodes.inventory, "-e", json.dumps(variables), env=callback)
    _connect, ping, restore = json.loads(output)["plays"][0]["tasks"]
    return duration(restore) - duration(ping), restore["hosts"]["vault"]


def duration(task: dict) -> float:
    """Return the seconds of a task, as the callback tells them."""
    begin, end = (datetime.datetime.fromisoformat(task["task"]["duration"][key][:-1]) for key in ("start", "end"))
    return (end - begin).total_seconds()


def by_hand(stack: backup_stack.Stack, command: str) -> float:
    """Restore with the bare command into an empty database, remove it, and return the seconds."""
    stack.drop(BARE)
    stack.sql(f"CREATE DATABASE {BARE} OWNER mlflow TEMPLATE template0 ENCODING UTF8")
    stack.settle()
    try:
        return stack.seconds(command, "database_restore_password")
    finally:
        stack.drop(BARE)
