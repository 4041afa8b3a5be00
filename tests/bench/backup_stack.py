# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the benchmarks of backups share: a stack with a backup host, a database as big as wanted, runs of the timer.

The stack is one that site.yml makes: PostgreSQL, SeaweedFS and MLflow on one node, the backup host on another, which
reaches PostgreSQL over the network and TLS. MLflow's server is stopped once its tables are there, so that nothing
else works meanwhile.

The database has MLflow's own schema. Its rows come from generate_series and hashes of their numbers, so they are the
same every time: runs with 10 metrics of 100 steps each, 12 params and 8 tags. BENCH_DATABASE_MB says how big it is on
the server; about half of that are the indexes of the metrics, which no dump holds.

A backup is the timer's own program with the timer's settings, user and environment: the command of the unit
mlops-backup.service, started by hand. Python's start, the metrics file and the expiry of older sets are in its time,
systemd's sandbox around it is not.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os

import harness

GROUPS = {"postgres": ["core"], "seaweedfs": ["core"], "mlflow": ["core"], "backup": ["vault"]}
DATABASE = "mlflow"
# Empty, for what is measured beside a database.
EMPTY = "bench_empty"
VARIABLES = {
    # The timer itself stands still.
    "backup_schedule": '"0 0 1 1 *"',
    "postgres_databases": json.dumps([{"name": name, "owner": "mlflow"} for name in (DATABASE, EMPTY)]),
}
SIZE_MB = int(os.environ.get("BENCH_DATABASE_MB", "2000"))
RUNS_PER_MB = 2.3
BATCH = 200
LIMIT = 3600
USER = "mlops-backup"
UNIT = "mlops-backup.service"
SETS = "/var/backups/mlops-stack"
CONFIG = "/etc/mlops-stack/backup"
# On the file system of the sets, and not among them.
FLOOR = "/var/backups/bench-floor"
SAMPLER = "bench-memory.service"

FILL = """
SET session_replication_role = replica;
SET synchronous_commit = off;
SET max_parallel_workers_per_gather = 0;
CREATE FUNCTION pg_temp.chance(number bigint) RETURNS float8 LANGUAGE sql IMMUTABLE
  AS 'SELECT (hashint8extended(number, 2026) & 9007199254740991) / 9007199254740992.0::float8';
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
  SELECT i, 'experiment-' || i, 'mlflow-artifacts:/' || i, 'active', 1700000000000 + i, 1700000000000 + i
  FROM generate_series(1, 20) i ON CONFLICT DO NOTHING;
DO $fill$
DECLARE
  beginning int := FIRST_RUN;
  ending int;
BEGIN
  WHILE beginning <= LAST_RUN LOOP
    ending := least(beginning + BATCH - 1, LAST_RUN);
    INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
                      end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
      SELECT md5(r::text), 'sunny-finch-' || r, 'LOCAL', '/home/trainer/project/train.py', '', 'trainer',
        CASE WHEN r % 25 = 0 THEN 'FAILED' ELSE 'FINISHED' END, 1700000000000 + r * 600000::bigint,
        1700000000000 + r * 600000::bigint + 150000, md5((r / 50)::text), 'active',
        'mlflow-artifacts:/' || 1 + r % 20 || '/' || md5(r::text) || '/artifacts', 1 + r % 20
      FROM generate_series(beginning, ending) r;
    INSERT INTO params (key, value, run_uuid)
      SELECT k.key, CASE WHEN n < 7 THEN pg_temp.chance(r * 100 + n)::text ELSE 'choice-' || (r + n) % 9 END,
        md5(r::text)
      FROM generate_series(beginning, ending) r,
        unnest(ARRAY['learning_rate', 'weight_decay', 'dropout', 'momentum', 'beta1', 'beta2', 'optimizer',
                     'batch_size', 'epochs', 'layers', 'scheduler', 'dataset']) WITH ORDINALITY k(key, n)
      ORDER BY r, n;
    INSERT INTO tags (key, value, run_uuid)
      SELECT k.key, CASE n WHEN 1 THEN 'sunny-finch-' || r WHEN 2 THEN md5((r / 50)::text) ELSE 'value-' || r % 7 END,
        md5(r::text)
      FROM generate_series(beginning, ending) r,
        unnest(ARRAY['mlflow.runName', 'mlflow.source.git.commit', 'mlflow.source.name', 'mlflow.source.type',
                     'mlflow.user', 'team', 'stage', 'dataset']) WITH ORDINALITY k(key, n)
      ORDER BY r, n;
    INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
      SELECT k.key, exp(-s / 40.0::float8) * n * (1 + pg_temp.chance(r * 1000000::bigint + s * 100 + n)),
        1700000000000 + r * 600000::bigint + s * 1500 + n, md5(r::text), s, false
      FROM generate_series(beginning, ending) r, generate_series(0, 99) s,
        unnest(ARRAY['train_loss', 'train_accuracy', 'train_f1', 'val_loss', 'val_accuracy', 'val_f1', 'grad_norm',
                     'learning_rate', 'epoch_seconds', 'system/gpu_memory_usage_megabytes']) WITH ORDINALITY k(key, n)
      ORDER BY r, s, n;
    INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
      SELECT key, value, timestamp, step, is_nan, run_uuid FROM metrics
      WHERE step = 99 AND run_uuid IN (SELECT md5(r::text) FROM generate_series(beginning, ending) r);
    COMMIT;
    beginning := ending + 1;
  END LOOP;
END
$fill$;
VACUUM (ANALYZE);
CHECKPOINT;
SELECT pg_size_pretty(pg_database_size(current_database())) || ', ' || (SELECT count(*) FROM metrics) || ' metrics';
"""

# Sums the resident memory of all processes of a user, shared pages once for each, and keeps the highest sum.
WATCH = """\
import os, pwd, signal, sys, time
user, page, highest = pwd.getpwnam(sys.argv[1]).pw_uid, os.sysconf("SC_PAGE_SIZE"), 0
def tell(*_signal):
    print(highest, file=open(sys.argv[2], "w"))
    sys.exit()
signal.signal(signal.SIGTERM, tell)
while True:
    total = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat("/proc/" + name).st_uid == user:
                    total += int(open(f"/proc/{name}/statm").read().split()[1]) * page
            except OSError:
                pass
    highest = max(highest, total)
    time.sleep(0.05)
"""


class Stack:
    """The deployed stack, and how many runs its database has."""

    def __init__(self, nodes: harness.Bed) -> None:
        self.nodes = nodes
        self.runs = 0

    # ---- the database ----------------------------------------------------------------------------------------------

    def sql(self, text: str, database: str = DATABASE, limit: float = 600) -> str:
        """Return what psql says as the superuser."""
        psql = f"runuser -u postgres -- psql --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 {database}"
        return self.nodes.ssh("core", f"cd /\n{psql} <<'SQL'\n{text}\nSQL\n", limit).strip()

    def fill(self, megabytes: int) -> None:
        """Let the database grow to this size; it never shrinks."""
        wanted = int(megabytes * RUNS_PER_MB)
        if wanted <= self.runs:
            return
        harness.say(f"filling the database up to {megabytes} MB")
        text = FILL.replace("FIRST_RUN", str(self.runs + 1)).replace("LAST_RUN", str(wanted))
        said = self.sql(text.replace("BATCH", str(BATCH)), limit=LIMIT)
        harness.say(f"the database has {said}")
        self.runs = wanted

    def drop(self, database: str) -> None:
        """Remove a database that a restore made, and write out what it left in PostgreSQL's cache."""
        self.sql(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE);\nCHECKPOINT;')

    def settle(self) -> None:
        """Write out what is in caches, so that no side pays for the other."""
        self.sql("CHECKPOINT")
        self.vault("sync")

    # ---- the backup host -------------------------------------------------------------------------------------------

    def vault(self, script: str, limit: float = LIMIT) -> str:
        """Return what a script says as root on the backup host."""
        return self.nodes.ssh("vault", script, limit)

    def seconds(self, command: str, password: str = "database_backup_password", user: str = USER) -> float:
        """Return the seconds of a shell command, which runs as the timer's user with a connection to PostgreSQL."""
        login = "mlops_restore" if "restore" in password else "mlops_backup"
        secret = self.secret(password)
        script = f"""
export PGPASSWORD='{secret}' PGHOST={self.nodes.address("core")} PGUSER={login} PGSSLMODE=require
export RCLONE_CONFIG=/notfound
cd /
cat >/run/bench-command <<'COMMAND'
set -eu -o pipefail
{command}
COMMAND
began=$EPOCHREALTIME
runuser -u {user} -- bash /run/bench-command </dev/null >/dev/null
ended=$EPOCHREALTIME
echo "$began $ended"
"""
        began, ended = self.vault(script).split()
        return float(ended) - float(began)

    def secret(self, name: str) -> str:
        """Return one of the stack's generated secrets."""
        return (self.nodes.folder / ".secrets" / name).read_text(encoding="utf-8").strip()

    def configure(self, **options: object) -> None:
        """Change options of the timer's settings."""
        path = f"{CONFIG}/settings.json"
        held = json.loads(self.vault(f"cat {path}"))
        self.vault(f"cat >{path} <<'JSON'\n{json.dumps({**held, **options})}\nJSON\n")

    def backup(self) -> float:
        """Make a set as the timer does, and return the seconds."""
        return self.seconds(self.program)

    @functools.cached_property
    def program(self) -> str:
        """The timer's command with its environment."""
        unit = self.vault(f"sed -e ':a' -e '/\\\\$/N; s/\\\\\\n//; ta' /etc/systemd/system/{UNIT}")
        found = dict(line.partition("=")[::2] for line in unit.splitlines() if "=" in line)
        return f"env {found['Environment']} {found['ExecStart']}"

    def sets(self) -> list[dict]:
        """Return the manifests of the sets, the newest last."""
        join = "for file in */manifest.json; do [ ! -e $file ] || tr -d '\\n' <$file; echo; done"
        said = self.vault(f"cd {SETS}\n{join}")
        found = [json.loads(line) for line in said.splitlines() if line]
        return sorted(found, key=lambda manifest: manifest["created"])

    def forget(self) -> None:
        """Remove all sets, and what a floor has written; copies of artifacts stay."""
        self.vault(
            f"find {SETS} -mindepth 1 -maxdepth 1 -name '2*' -exec rm -rf {{}} +\n"
            f"rm -rf {FLOOR}\ninstall --directory --owner={USER} --mode=0700 {FLOOR}"
        )

    @contextlib.contextmanager
    def memory(self):
        """Watch the memory of the timer's user meanwhile: a list that has the highest sum, in MiB, afterwards."""
        self.vault(
            f"cat >/run/bench-watch.py <<'PYTHON'\n{WATCH}PYTHON\nrm -f /run/bench-peak\n"
            f"systemd-run --quiet --collect --unit={SAMPLER} python3 /run/bench-watch.py {USER} /run/bench-peak"
        )
        found: list[float] = []
        try:
            yield found
        finally:
            self.vault(f"systemctl stop {SAMPLER}")
        found.append(int(self.vault("cat /run/bench-peak")) / 1048576)


def stack(session: harness.Session) -> Stack:
    """Return the stack, deployed when the first benchmark asks for it."""
    return session.once("backup stack", lambda: deploy(session))


def deploy(session: harness.Session) -> Stack:
    """Make the nodes and run site.yml."""
    nodes = session.exit_stack.enter_context(harness.bed("backup", VARIABLES))
    nodes.up(GROUPS)
    harness.say("bench-backup: site.yml, to have a stack with a backup host")
    harness.playbook("site.yml", nodes.inventory)
    nodes.ssh("core", "systemctl stop mlflow.service")
    made = Stack(nodes)
    made.configure(artifacts={"mode": "none"})
    made.forget()
    # The first run compiles Python files; none of the measured ones does.
    made.backup()
    made.forget()
    return made
