# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the benchmarks share: nodes of their own, playbooks and remote commands with a time limit, figures.

Nothing here measures by itself. All nodes are testbeds whose names begin with `bench-`; they are removed when the
block that asked for them ends, whatever happened in it. Working files lie in .build/bench.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time

CLONE = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sys.executable).parent
WORK = CLONE / ".build" / "bench"
PREFIX = "bench-"
THREE_NODES = {"postgres": ["db1"], "seaweedfs": ["store1"], "mlflow": ["ml1"]}
PLAYBOOK_LIMIT = 600
TAIL = 80
CONTROLLER_ACTIONS = frozenset(
    ("add_host", "assert", "debug", "fail", "group_by", "import_role", "import_tasks", "include_role", "include_tasks")
    + ("include_vars", "meta", "pause", "set_fact", "set_stats", "stack_plan", "validate_argument_spec")
)
BEGAN = time.monotonic()
RECAP = re.compile(
    r"^(?P<host>\S+)\s*: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)"
    r"\s+failed=(?P<failed>\d+)",
    re.MULTILINE,
)

sys.path.insert(0, str(CLONE / "testbed"))


class BenchError(Exception):
    """A benchmark that cannot be measured; its text is the one sentence the user reads."""


@dataclasses.dataclass(frozen=True)
class Goal:
    """What the ratio of value to floor has to be."""

    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:.3g}"

    def holds(self, ratio: float) -> bool:
        """Tell whether a ratio meets the goal."""
        return ratio <= self.limit if self.sign == "<=" else ratio >= self.limit


@dataclasses.dataclass(frozen=True)
class Measured:
    """A figure: what was measured of the collection, and the floor beside it, in the same unit.

    ``spread``: the lowest and the highest ratio of any one round, where rounds were compared.
    """

    value: float
    floor: float
    spread: tuple[float, float] | None = None

    @property
    def ratio(self) -> float:
        """Value by floor."""
        return self.value / self.floor


def say(text: str) -> None:
    """Print one line of progress; standard output belongs to the figures."""
    print(f"[bench {time.monotonic() - BEGAN:6.1f} s] {text}", file=sys.stderr, flush=True)


def say_rounds(what: str, values: list[float], unit: str = "s") -> float:
    """Print what several rounds gave, and return their median."""
    median = statistics.median(values)
    say(f"{what}: median {median:.2f} {unit} of {', '.join(f'{value:.2f}' for value in values)}")
    return median


def compared(value: tuple[str, list[float]], floor: tuple[str, list[float]], unit: str) -> Measured:
    """Say what the rounds of both sides gave, and return the medians with the spread of the rounds' ratios."""
    ratios = [one / other for one, other in zip(value[1], floor[1], strict=True)]
    return Measured(say_rounds(*value, unit), say_rounds(*floor, unit), (min(ratios), max(ratios)))


def alternate(rounds: int, first, second) -> tuple[list, list]:
    """Call both sides in every round, each of them first in turn, and return what they gave."""
    results = ([], [])
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            results[side].append((first, second)[side](number))
    return results


# ---- commands --------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """Return the environment of all commands: this virtual environment's tools first, no colours."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "ANSIBLE_NOCOLOR": "1", "NO_COLOR": "1"}


def run(
    argv: list[str], *, limit: float, env: dict[str, str] | None = None, text: str | None = None, what: str = ""
) -> str:
    """Run a command to its end within limit seconds and return its output; end its process group when that fails."""
    what = what or pathlib.Path(argv[0]).name
    process = subprocess.Popen(
        argv,
        cwd=CLONE,
        env={**environment(), **(env or {})},
        stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        output, errors = process.communicate(text, timeout=limit)
    except subprocess.TimeoutExpired as expired:
        raise BenchError(f"{what} did not end within {limit:.0f} s.") from expired
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        last = "\n".join((output + errors).strip().splitlines()[-TAIL:])
        raise BenchError(f"{what} ended with {process.returncode}:\n{last}")
    return output


def playbook(path: str | pathlib.Path, inventory: pathlib.Path, *options: str, env: dict | None = None) -> str:
    """Run a playbook on an inventory and return its output."""
    argv = [str(BIN / "ansible-playbook"), str(path), "-i", str(inventory), *options]
    return run(argv, limit=PLAYBOOK_LIMIT, env=env, what=f"ansible-playbook {pathlib.Path(path).name}")


def timed(work) -> float:
    """Return the seconds that a call takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def unchanged(inventory: pathlib.Path, *options: str) -> float:
    """Return the seconds of a site.yml that has nothing to do; one that changes a host is no such run."""
    began = time.monotonic()
    output = playbook("site.yml", inventory, *options)
    seconds = time.monotonic() - began
    expect_unchanged(output)
    return seconds


def expect_unchanged(output: str) -> None:
    """Fail where the playbook with this output changed a host."""
    hosts = list(RECAP.finditer(output))
    changed = [match["host"] for match in hosts if match["changed"] != "0"]
    if not hosts or changed:
        raise BenchError(f"Nothing was to change, and {', '.join(changed) or 'nobody knows what'} did.")


def task_runs(inventory: pathlib.Path) -> dict[str, int]:
    """Return how many tasks of a site.yml with nothing to do run on each host: those that reach the host's Python.

    Skipped tasks, tasks delegated to the control machine and actions that never leave it do not count; a loop counts
    once for each of its items.
    """
    output = json.loads(playbook("site.yml", inventory, env={"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}))
    count: dict[str, int] = {}
    for play in output["plays"]:
        for task in play["tasks"]:
            for host, result in task["hosts"].items():
                count[host] = count.get(host, 0) + remote_runs(result)
    return count


def remote_runs(result: dict) -> int:
    """Return how often a task's module ran on the host that the result is of."""
    if result["action"].rpartition(".")[2] in CONTROLLER_ACTIONS or "_ansible_delegated_vars" in result:
        return 0
    return sum(1 for entry in result.get("results", [result]) if not entry.get("skipped"))


def write_pings(path: pathlib.Path, hosts: str, count: int) -> pathlib.Path:
    """Write a playbook of as many pings, which are run as root as every task of site.yml is."""
    lines = ["---", "- name: Ping", f"  hosts: {hosts}", "  become: true", "  gather_facts: false", "  tasks:"]
    for number in range(count):
        lines += [f"    - name: Ping {number + 1}", "      ansible.builtin.ping:"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# ---- nodes -----------------------------------------------------------------------------------------------------


class Bed:
    """A testbed of the benchmarks: its nodes, inventory folder and SSH settings."""

    def __init__(self, name: str, variables: dict[str, str] | None = None) -> None:
        import nodes

        self.name = PREFIX + name
        self.folder = WORK / name
        self.variables = variables or {}
        self.testbed = nodes.Testbed(self.name)

    def up(self, groups: dict[str, list[str]], docker_inside: list[str] | None = None) -> None:
        """Start the groups' nodes that are not there yet, and write the inventory and ssh's settings.

        ``docker_inside``: nodes that can run Docker Engine.
        """
        wanted = list(dict.fromkeys(node for members in groups.values() for node in members))
        say(f"{self.name}: starting {', '.join(wanted)}")
        argv = [sys.executable, "testbed/testbed.py", "up", "--name", self.name]
        for node in wanted:
            argv += ["--node", node]
        for node in docker_inside or ():
            argv += ["--docker-inside", node]
        for group, members in groups.items():
            argv += ["--group", f"{group}={','.join(members)}"]
        run([*argv, "--inventory", str(self.folder / "hosts.yml")], limit=600, what="testbed.py up")
        group_vars = self.folder / "group_vars"
        group_vars.mkdir(exist_ok=True)
        lines = ["---", 'mlflow_server_client_env_file: "{{ inventory_dir }}/client.env"']
        lines += [f"{key}: {value}" for key, value in self.variables.items()]
        (group_vars / "all.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.write_ssh_config(wanted)

    @property
    def inventory(self) -> pathlib.Path:
        """The inventory file."""
        return self.folder / "hosts.yml"

    @property
    def client_file(self) -> pathlib.Path:
        """The file with a client's three variables, written by whatever deploys to these nodes."""
        return self.folder / "client.env"

    def address(self, node: str) -> str:
        """Return a node's address."""
        return self.testbed.containers()[node]["address"]

    def write_ssh_config(self, names: list[str]) -> None:
        """Write settings with which plain ssh reaches the nodes by name, as Ansible does: one kept connection each."""
        import image

        containers = self.testbed.containers()
        lines = []
        for name in names:
            lines += [
                f"Host {name}",
                f"  HostName {containers[name]['address']}",
                f"  User {image.USER}",
                f'  IdentityFile "{self.testbed.key}"',
                "  IdentitiesOnly yes",
                "  BatchMode yes",
                f'  UserKnownHostsFile "{self.testbed.known_hosts(name)}"',
                "  GlobalKnownHostsFile none",
                "  StrictHostKeyChecking yes",
                "  LogLevel ERROR",
            ]
        self.ssh_config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def ssh_config(self) -> pathlib.Path:
        """The file with ssh's settings."""
        return self.folder / "ssh.config"

    def ssh(self, node: str, script: str, limit: float = 120) -> str:
        """Run a shell script as root on a node and return its output."""
        argv = ["ssh", "-F", str(self.ssh_config), node, "sudo", "bash", "-eu", "-s"]
        return run(argv, limit=limit, text=script, what=f"a command on {node}")

    def client(self) -> dict[str, str]:
        """Return the variables of a client of the MLflow server on these nodes."""
        values = {}
        for line in self.client_file.read_text(encoding="utf-8").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                key, _equals, value = words[-1].partition("=")
                values[key] = value
        return values

    def down(self) -> None:
        """Remove the nodes and all that was written for them."""
        say(f"{self.name}: removing its nodes")
        try:
            run([sys.executable, "testbed/testbed.py", "down", "--name", self.name], limit=120, what="testbed.py down")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def bed(name: str, variables: dict[str, str] | None = None):
    """Give a testbed that is empty at first, and gone at the end; leftovers of a killed run go before."""
    WORK.mkdir(parents=True, exist_ok=True)
    made = Bed(name, variables)
    if made.testbed.folder.exists():
        made.down()
    made.folder.mkdir(exist_ok=True)
    try:
        yield made
    finally:
        made.down()


class Session:
    """One call of run.py: what several benchmarks use, made when the first of them asks for it."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.exit_stack = stack
        self.deployed: Bed | None = None
        self.kept: dict[str, object] = {}

    def stack(self) -> Bed:
        """Return three nodes with the whole stack on them."""
        if self.deployed is None:
            nodes = self.exit_stack.enter_context(bed("stack"))
            nodes.up(THREE_NODES)
            say("bench-stack: site.yml, to have a stack to measure on")
            playbook("site.yml", nodes.inventory)
            self.deployed = nodes
        return self.deployed

    def once(self, name: str, work):
        """Return what a call gave, calling it the first time only: two figures may come from one measurement."""
        if name not in self.kept:
            try:
                self.kept[name] = work()
            except BenchError as failure:
                self.kept[name] = failure
        if isinstance(self.kept[name], BenchError):
            raise self.kept[name]
        return self.kept[name]
