# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""MLflow as deployed and MLflow with its defaults, measured in turn for mlflow_throughput and mlflow_memory.

Both run on the same node from the same environment against the same PostgreSQL server, never at the same time. The
default server is `mlflow server` without authentication and with all that it does by itself (4 workers, job
execution); only its address, its database (a second one on the same server) and the switch that turns telemetry off,
as deployed too, are told to it.

One round of a side: start its unit, warm up, load it, then sum the memory of all processes in its control group.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
import urllib.parse

import harness
import tracking

ROUNDS = 3
WARM_UP = 6
SECONDS = 20
SETTLE = 3
START_LIMIT = 240
PORT = 5000
DEPLOYED = "mlflow.service"
DEFAULT = "bench-mlflow-default.service"
DATABASE = "bench_default"

# Sums PSS and RSS of a unit's processes; a page that several of them share counts once in PSS, and for each in RSS.
MEMORY = """\
python3 - UNIT <<'PYTHON'
import pathlib, re, sys
pss = rss = count = 0
for group in pathlib.Path("/proc").glob("[0-9]*/cgroup"):
    try:
        if f"/{sys.argv[1]}" not in group.read_text():
            continue
        text = (group.parent / "smaps_rollup").read_text()
    except OSError:
        continue
    count += 1
    pss += int(re.search(r"^Pss:\\s+(\\d+)", text, re.M)[1])
    rss += int(re.search(r"^Rss:\\s+(\\d+)", text, re.M)[1])
print(pss, rss, count)
PYTHON
"""


@dataclasses.dataclass(frozen=True)
class Round:
    """What one round of a side gave: runs per second, and megabytes."""

    speed: float
    pss: float
    rss: float


def measure(session: harness.Session) -> tuple[list[Round], list[Round]]:
    """Return the rounds of the deployed server and of the default one; both figures come from the same."""
    return session.once("mlflow_pair", lambda: take_turns(session.stack()))


def take_turns(nodes: harness.Bed) -> tuple[list[Round], list[Round]]:
    """Run both servers in turn, and leave the deployed one running as it was."""
    prepare_default(nodes)
    deployed = nodes.client()
    uri = f"http://{nodes.address('ml1')}:{PORT}"
    stop = f"systemctl stop {DEPLOYED} {DEFAULT} 2>/dev/null || true\n"
    unit = f"--unit={DEFAULT} --uid=mlflow --property=EnvironmentFile=/run/bench-default.env"
    command = f'"$(cat /run/bench-mlflow)" server --host 0.0.0.0 --port {PORT}'
    start_default = f"systemd-run --quiet --collect {unit} --working-directory=/var/lib/mlflow {command}"
    try:
        return harness.alternate(
            ROUNDS,
            lambda _number: one_round(nodes, DEPLOYED, f"{stop}systemctl start {DEPLOYED}", deployed),
            lambda _number: one_round(nodes, DEFAULT, stop + start_default, {"MLFLOW_TRACKING_URI": uri}),
        )
    finally:
        nodes.ssh("ml1", f"{stop}systemctl start {DEPLOYED}")


def prepare_default(nodes: harness.Bed) -> None:
    """Make the default server's database, empty and migrated, and its environment."""
    owner, secret = "bench_default", secrets.token_hex(16)
    client = nodes.address("ml1")
    nodes.ssh(
        "db1",
        f"""cd /
runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 <<'SQL'
CREATE ROLE {owner} LOGIN PASSWORD '{secret}';
CREATE DATABASE {DATABASE} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0;
SQL
rules="$(runuser -u postgres -- psql --quiet --tuples-only --no-align --command 'SHOW hba_file')"
echo 'hostssl {DATABASE} {owner} {client}/32 scram-sha-256' >>"$rules"
runuser -u postgres -- psql --quiet --tuples-only --command 'SELECT pg_reload_conf()'
""",
    )
    where = f"{owner}:{urllib.parse.quote(secret)}@{nodes.address('db1')}/{DATABASE}?sslmode=require"
    nodes.ssh(
        "ml1",
        f"""umask 077
cat >/run/bench-default.env <<'ENV'
HOME=/var/lib/mlflow
MLFLOW_DISABLE_TELEMETRY=true
MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://{where}
ENV
sed -n 's/^ExecStart=\\([^ ]*\\).*/\\1/p' /etc/systemd/system/{DEPLOYED} >/run/bench-mlflow
set -a
. /run/bench-default.env
set +a
cd /
"$(cat /run/bench-mlflow)" db upgrade "$MLFLOW_BACKEND_STORE_URI"
""",
    )


def one_round(nodes: harness.Bed, unit: str, start: str, variables: dict[str, str]) -> Round:
    """Start one side, load it and weigh it."""
    began = time.monotonic()
    nodes.ssh("ml1", start)
    tracking.wait_until_well(variables["MLFLOW_TRACKING_URI"], START_LIMIT)
    harness.say(f"{unit}: up after {time.monotonic() - began:.1f} s")
    name = f"bench-{secrets.token_hex(6)}"
    experiment = tracking.Client.of(variables).post("experiments/create", {"name": name})["experiment_id"]
    speed = tracking.Load(variables, experiment)(WARM_UP, SECONDS)
    time.sleep(SETTLE)
    pss, rss, count = (int(word) for word in nodes.ssh("ml1", MEMORY.replace("UNIT", unit)).split())
    harness.say(f"{unit}: {speed:.1f} runs/s, PSS {pss / 1024:.0f} MiB, RSS {rss / 1024:.0f} MiB, {count} processes")
    # A connection of its own: servers close those that were idle for a few seconds.
    tracking.Client.of(variables).post("experiments/delete", {"experiment_id": experiment})
    return Round(speed, pss / 1024, rss / 1024)
