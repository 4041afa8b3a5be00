# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lose a stack and bring it back, then upgrade it, on nodes of its own.

    .venv/bin/python tests/recovery.py                       with fewer runs, and without some of the upgrades and the
                                                             point in time
    RECOVERY_RUNS=2000 .venv/bin/python tests/recovery.py    the whole of it

Runs, models and artifacts are logged while the timer makes backups, with copies in a store elsewhere by a key that
cannot delete. All machines are destroyed and new ones made, with new passwords; site.yml and restore.yml bring the
stack back from that store, whose sets are encrypted. Every run that was acknowledged before the backup has to be there,
with every artifact's hash equal. Then an upgrade of MLflow's two servers fails half-way, one fails after the migration
on one of them, and one succeeds; nothing may be lost by any of them, of what is logged meanwhile neither. What was
deleted is removed for good, but not while a backup is made. Last, a restore is rehearsed: with all copies of artifacts,
on another PostgreSQL server and in another bucket, without one of the copies, and without any.

Stand-ins: the clients speak REST (bench/tracking.py), the store elsewhere is a process of the control machine, and the
other PostgreSQL server is one on the backup host.
"""

from __future__ import annotations

import calendar
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import threading
import time

CLONE = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(CLONE / folder) for folder in ("tests/bench", "tests/support", "testbed")]
import engine
import harness
import host
import tracking
from seaweedfs import IDENTITIES, no_delete_policy, running, secret

RUNS = int(os.environ.get("RECOVERY_RUNS", "400"))
WHOLE = "RECOVERY_RUNS" in os.environ
THREADS = 8
# Every so many runs one has a model, which is registered.
MODEL_EVERY = 100
ARTIFACT_BYTES = 3000
OLD, NEW = "3.16.1", "3.17.2"
GROUPS = {"postgres": ["core"], "seaweedfs": ["core"], "mlflow": ["core", "second"], "backup": ["vault"]}
VARIABLES = {
    "mlflow_server_version": f'"{OLD}"',
    "mlflow_server_workers": "1",
    "backup_schedule": '"* * * * *"',
    "backup_random_delay_seconds": "0",
}
SETS = "/var/backups/mlops-stack"
BUCKET = "elsewhere"
FROM_STORE = ("-e", "backup_restore_from=store")
KEY = "/run/age-key"
WITH_KEY = ("-e", f"backup_identity_file={KEY}")
COPIES = "backups/artifacts/current/"
BACKUP_LIMIT = 300
PATIENCE = 10
# What a rehearsal may use, and others use as well.
SCRATCH = "scratch"
SHARED = "/srv/shared"
SERVER = """
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends postgresql >/dev/null
cd /
runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 <<'SQL'
CREATE ROLE rehearsal LOGIN CREATEDB PASSWORD '{password}';
ALTER SYSTEM SET log_statement = 'ddl';
SELECT pg_reload_conf();
SQL
mkdir -m 0755 {shared}
touch {shared}/theirs
"""
# What a rehearsal has made, of which nothing but this was left when it was killed.
LEFTOVER = """
install -d -o mlops-backup {shared}/.mlops-stack-drill
echo -n killed > {shared}/.mlops-stack-drill/set
cd /
runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 <<'SQL'
CREATE DATABASE mlflow__scratch_killed OWNER rehearsal;
COMMENT ON DATABASE mlflow__scratch_killed IS 'mlops.stack scratch set killed';
SQL
"""
OBSTACLE = "ALTER TABLE jobs ADD COLUMN executor_backend text"


class Log:
    """Threads that log runs until they are told to stop, and what the server has acknowledged."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.experiment = tracking.Client.of(variables).post("experiments/create", {"name": "recovery"})[
            "experiment_id"
        ]
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        # By run: when it was acknowledged whole, the path and the SHA-256 sum of its artifact.
        self.acknowledged: dict[str, tuple[float, str, str]] = {}
        self.models: dict[str, float] = {}
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self.work) for _number in range(THREADS)]

    def __enter__(self) -> Log:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_error) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def wait(self, count: int, limit: float) -> None:
        """Wait until so many runs are acknowledged."""
        deadline = time.monotonic() + limit
        while len(self.acknowledged) < count:
            if len(self.failures) > PATIENCE or time.monotonic() > deadline:
                raise harness.BenchError(f"{len(self.acknowledged)} of {count} runs were logged: {self.failures[:1]}")
            time.sleep(0.5)

    def work(self) -> None:
        """Log one run after the other; what the server does not acknowledge does not count.

        A server closes connections that are idle for a few seconds, which one is on a machine that is busy enough.
        """
        client = tracking.Client.of(self.variables)
        while not self.stopped.is_set() and len(self.failures) <= PATIENCE:
            try:
                self.log_run(client)
            except harness.BenchError as failure:
                self.failures.append(str(failure))
                client = tracking.Client.of(self.variables)
            if len(self.acknowledged) >= RUNS:
                # Enough for what is counted; a backup is to find runs being logged, and a machine that it can work on.
                time.sleep(1)

    def log_run(self, client: tracking.Client) -> None:
        """Log a run with metrics, a param and an artifact, sometimes with a model."""
        info = client.create_run(self.experiment)
        metrics = [{"key": f"m{number}", "value": number / 7, "timestamp": 1, "step": 0} for number in range(10)]
        batch = {"run_id": info["run_id"], "metrics": metrics, "params": [{"key": "p", "value": "1"}]}
        client.post("runs/log-batch", batch)
        content = secrets.token_bytes(ARTIFACT_BYTES)
        path = info["artifact_uri"].partition("mlflow-artifacts:")[2].strip("/") + "/results/data%201.bin"
        client.call("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", content)
        with self.lock:
            number = len(self.acknowledged)
            self.acknowledged[info["run_id"]] = (time.time(), path, hashlib.sha256(content).hexdigest())
        if number % MODEL_EVERY == 0:
            name = f"model-{number}"
            client.post("registered-models/create", {"name": name})
            source = {"name": name, "source": f"{info['artifact_uri']}/results", "run_id": info["run_id"]}
            client.post("model-versions/create", source)
            self.models[name] = time.time()


@contextlib.contextmanager
def elsewhere(nodes: harness.Bed):
    """A store that survives: its client, and the variables of encrypted backups to it.

    The bucket has versions, and the backup's key cannot delete.
    """
    host.install_missing({"age": ["age"]})
    harness.run(["age-keygen", "-o", str(nodes.folder / "age-key")], limit=60, what="age-keygen")
    recipient = harness.run(["age-keygen", "-y", str(nodes.folder / "age-key")], limit=60, what="age-keygen").strip()
    # Nobody else may have started it yet.
    engine.ensure()
    nodes.testbed.ensure_network()
    inspected = json.loads(host.docker("network", "inspect", nodes.testbed.prefix).stdout)
    gateway = inspected[0]["IPAM"]["Config"][0]["Gateway"]
    folder = nodes.folder / "elsewhere"
    folder.mkdir()
    with running(folder, identities={**IDENTITIES, "backup": []}, address=gateway) as store:
        client = store.client()
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        client.put_bucket_policy(Bucket=BUCKET, Policy=no_delete_policy(BUCKET, "backup", "backups"))
        place = {
            "bucket": BUCKET,
            "prefix": "backups",
            "endpoint_url": store.url,
            "access_key": "backup-key",
            "secret_key": secret("backup"),
        }
        yield client, {"backup_s3": json.dumps(place), "backup_encrypt_to": json.dumps([recipient])}


def main() -> int:
    """Return 0 when everything held."""
    with harness.bed("recovery", VARIABLES) as nodes, elsewhere(nodes) as (store, variables):
        nodes.variables.update(variables)
        nodes.up(GROUPS)
        harness.say("site.yml")
        harness.playbook("site.yml", nodes.inventory)
        harness.say("a second site.yml, which may change nothing")
        harness.unchanged(nodes.inventory)
        logged, created, label = log_under_the_timer(nodes)
        lose_the_stack(nodes)
        harness.say("site.yml on the new machines")
        harness.playbook("site.yml", nodes.inventory)
        stop_timer(nodes)
        refuse_the_empty_one(nodes)
        named = (*FROM_STORE, "-e", f"backup_set={label}")
        harness.say("restore.yml, at first without the key")
        refused(nodes, "restore", (f"The set {label} is encrypted: set identity_file",), *named)
        lend_key(nodes)
        named += WITH_KEY
        only_look(nodes, label, *named)
        harness.say("restore.yml")
        harness.playbook("playbooks/restore.yml", nodes.inventory, *named)
        look(nodes, logged, created)
        harness.say("restore.yml again, which may change nothing")
        harness.expect_unchanged(harness.playbook("playbooks/restore.yml", nodes.inventory, *named))
        upgrade(nodes, logged, created)
        remove_for_good(nodes, logged)
        rehearse(nodes, store)
        without_copies(nodes)
        if WHOLE:
            go_back(nodes, logged.experiment)
    return 0


def log_under_the_timer(nodes: harness.Bed) -> tuple[Log, float, str]:
    """Log runs while the timer makes backups: what was acknowledged, the newest set's time, and its name."""
    harness.say(f"logging {RUNS} runs under the timer")
    with Log(nodes.client()) as logged:
        logged.wait(RUNS, 600)
        done = time.time()
        deadline = time.monotonic() + BACKUP_LIMIT
        # One that began after the last of these runs, while more of them are logged.
        while snapshot_time(nodes, newest(nodes)) <= done:
            if time.monotonic() > deadline:
                raise harness.BenchError("The timer made no backup: " + nodes.ssh("vault", "journalctl -n 20"))
            time.sleep(1)
    if len(logged.failures) > PATIENCE:
        raise harness.BenchError(f"Logging was disturbed by the backup: {logged.failures[0]}")
    stop_timer(nodes)
    label = newest(nodes)
    created = snapshot_time(nodes, label)
    before = sum(1 for when, _path, _digest in logged.acknowledged.values() if when < created)
    harness.say(f"{label}: {before} of {len(logged.acknowledged)} runs were acknowledged before it")
    if before < RUNS:
        raise harness.BenchError("The backup is older than the runs that it is to hold.")
    return logged, created, label


def lend_key(nodes: harness.Bed) -> None:
    """Put the key that decrypts sets onto the backup host."""
    content = (nodes.folder / "age-key").read_text(encoding="utf-8")
    nodes.ssh("vault", f"install -m 0600 -o mlops-backup /dev/stdin {KEY} <<'KEY'\n{content}KEY\n")


def stop_timer(nodes: harness.Bed) -> None:
    """Have no further backup made but by a playbook, and wait for the one that is being made."""
    running = '[ "$(systemctl show --property ActiveState --value mlops-backup)" = activating ]'
    nodes.ssh("vault", f"systemctl stop mlops-backup.timer; while {running}; do sleep 0.2; done")


def newest(nodes: harness.Bed) -> str | None:
    """The newest complete set."""
    listing = nodes.ssh("vault", f"cd {SETS} && ls -d 2*/manifest.json 2>/dev/null || true").split()
    return max(listing).partition("/")[0] if listing else None


def snapshot_time(nodes: harness.Bed, label: str | None) -> float:
    """When a set's snapshot of the database was taken, in seconds since the epoch; 0 where there is no set."""
    if label is None:
        return 0
    manifest = json.loads(nodes.ssh("vault", f"cat {SETS}/{label}/manifest.json"))
    return calendar.timegm(time.strptime(manifest["created"], "%Y-%m-%dT%H:%M:%SZ"))


def lose_the_stack(nodes: harness.Bed) -> None:
    """Destroy all machines, and start empty ones of those names.

    All secrets but the one that is in a set are lost as well: what comes up is another stack.
    """
    harness.say("destroying all machines, and the secrets")
    nodes.testbed.remove_nodes(["core", "second", "vault"])
    for path in (nodes.folder / ".secrets").iterdir():
        if path.name not in (".gitignore", "mlflow_encryption_passphrase"):
            path.unlink()
    nodes.up(GROUPS)


def refuse_the_empty_one(nodes: harness.Bed) -> None:
    """Backups go on: a set of the new, empty stack must not be taken for the newest one."""
    harness.say("a backup of the empty stack, which 'latest' may not mean")
    harness.playbook("playbooks/backup.yml", nodes.inventory)
    refused(nodes, "restore", ("name the set that you mean",), *FROM_STORE)


def only_look(nodes: harness.Bed, label: str, *options: str) -> None:
    """A rehearsed restore says that the set can be restored, and no server is stopped for it."""
    harness.say("restore.yml that only looks")
    started = "systemctl show --property InvocationID mlflow.service"
    before = [nodes.ssh(server, started) for server in GROUPS["mlflow"]]
    told = harness.playbook("playbooks/restore.yml", nodes.inventory, *options, "-e", "backup_rehearse=true")
    after = [nodes.ssh(server, started) for server in GROUPS["mlflow"]]
    if f"The set {label} can be restored." not in told or after != before:
        raise harness.BenchError(f"A rehearsed restore did something else than to look:\n{told}")


def look(nodes: harness.Bed, logged: Log, created: float) -> None:
    """Find every run, model and artifact that was acknowledged before the backup, each artifact with its hash."""
    client = tracking.Client.of(nodes.client())
    runs, token = set(), None
    while True:
        body = {"experiment_ids": [logged.experiment], "max_results": 1000}
        page = client.post("runs/search", {**body, **({"page_token": token} if token else {})})
        runs |= {run["info"]["run_id"] for run in page.get("runs", [])}
        token = page.get("next_page_token")
        if not token:
            break
    expected = {run: entry for run, entry in logged.acknowledged.items() if entry[0] < created}
    lost = sorted(set(expected) - runs)
    damaged = []
    for run, (_when, path, digest) in expected.items():
        if run in runs:
            content = client.call("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}")
            if hashlib.sha256(content).hexdigest() != digest:
                damaged.append(path)
    page = json.loads(client.call("GET", "/api/2.0/mlflow/registered-models/search?max_results=1000"))
    models = {model["name"] for model in page.get("registered_models", [])}
    gone = sorted(name for name, when in logged.models.items() if when < created and name not in models)
    harness.say(f"{len(expected)} runs: {len(lost)} lost, {len(damaged)} artifacts damaged, {len(gone)} models gone")
    if lost or damaged or gone or len(expected) < RUNS:
        raise harness.BenchError(f"Not everything is back: {lost[:3]} {damaged[:3]} {gone[:3]}")


def upgrade(nodes: harness.Bed, logged: Log, created: float) -> None:
    """Fail half-way, perhaps fail after the migration, then succeed; look for everything each time."""
    harness.say(f"upgrade.yml to {NEW}, whose second migration cannot be made")
    to_new = ("-e", f"mlflow_server_version={NEW}")
    refused(nodes, "upgrade", ("is encrypted: set identity_file",), *to_new)
    to_new += WITH_KEY
    told = harness.playbook("playbooks/upgrade.yml", nodes.inventory, *to_new, "--check")
    if f"MLflow would be upgraded to {NEW}" not in told:
        raise harness.BenchError(f"--check did not tell what would be done:\n{told}")
    psql = "cd / && runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 mlflow --command"
    nodes.ssh("core", f'{psql} "{OBSTACLE}"')
    expect_failure(nodes, logged, created, "executor_backend", *to_new)
    nodes.ssh("core", f'{psql} "{OBSTACLE.replace("ADD", "DROP").replace(" text", "")}"')
    if WHOLE:
        harness.say(f"upgrade.yml to {NEW}, whose second server cannot start")
        broken = json.dumps(
            {"mlflow_server_environment": "{{ {'MLFLOW_WORKERS': 'zero'} if inventory_hostname == 'second' else {} }}"}
        )
        expect_failure(nodes, logged, created, "died at its start", *to_new, "-e", broken)
        interrupt(nodes, *to_new)
        harness.say("site.yml, which may not touch the servers now")
        refused(nodes, "site", ("An upgrade of MLflow was interrupted on core",), *to_new)
        harness.say(f"upgrade.yml to {NEW} again, whose second server cannot start")
        made = before_upgrades(nodes)
        expect_failure(nodes, logged, created, "died at its start", *to_new, "-e", broken)
        if before_upgrades(nodes) != made:
            raise harness.BenchError("An upgrade that goes on made a backup of the database that it had changed.")
    harness.say(f"upgrade.yml to {NEW}")
    harness.playbook("playbooks/upgrade.yml", nodes.inventory, *to_new)
    expect_version(nodes, NEW)
    look(nodes, logged, created)
    harness.say("upgrade.yml again, which may change nothing")
    harness.expect_unchanged(harness.playbook("playbooks/upgrade.yml", nodes.inventory, *to_new))


def interrupt(nodes: harness.Bed, *options: str) -> None:
    """Kill an upgrade when the new release works on the first server, and nobody else can use it."""
    harness.say("upgrade.yml, killed when the database is migrated")
    reach_every_server(nodes)
    argv = [str(harness.BIN / "ansible-playbook"), "playbooks/upgrade.yml", "-i", str(nodes.inventory), *options]
    killed = subprocess.Popen(
        argv,
        cwd=CLONE,
        env=harness.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        migrated = f"grep -qs mlflow-{NEW}- /etc/systemd/system/mlflow.service && systemctl is-active -q mlflow.service"
        nodes.ssh("core", f"until {migrated}; do sleep 0.2; done", limit=600)
        if killed.poll() is not None:
            raise harness.BenchError("The upgrade ended before it could be killed.")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    reach_every_server(nodes, "!")


def reach_every_server(nodes: harness.Bed, otherwise: str = "") -> None:
    """Connect to each server as a client does, and as a proxy on the server would; or the other way round, by a `!`."""
    for server in GROUPS["mlflow"]:
        for address in (nodes.address(server), "127.0.0.1"):
            nodes.ssh(server, f"{otherwise} timeout 5 bash -c '</dev/tcp/{address}/5000'")


def before_upgrades(nodes: harness.Bed) -> list[str]:
    """The sets that upgrades have made."""
    return nodes.ssh("vault", f"ls {SETS} | grep ^before-mlflow-").split()


def expect_failure(nodes: harness.Bed, logged: Log, created: float, reason: str, *options: str) -> None:
    """An upgrade that has to fail for a reason, and to leave the old release serving with nothing lost."""
    with somebody_logs(nodes, logged.experiment):
        refused(nodes, "upgrade", (reason, "the old release serves again"), *options)
    # The upgrade has let it go on.
    stop_timer(nodes)
    expect_version(nodes, OLD)
    look(nodes, logged, created)


def refused(nodes: harness.Bed, playbook: str, words: tuple[str, ...], *options: str) -> None:
    """A playbook that has to fail, with these words."""
    try:
        harness.playbook(f"playbooks/{playbook}.yml", nodes.inventory, *options)
    except harness.BenchError as failure:
        text = " ".join(str(failure).split())
        if not all(word in text for word in words):
            raise harness.BenchError(f"{playbook}.yml failed in another way than it was to:\n{failure}") from failure
    else:
        raise harness.BenchError(f"{playbook}.yml was to fail, and did not.")


@contextlib.contextmanager
def somebody_logs(nodes: harness.Bed, experiment: str):
    """Log runs through every server meanwhile, whenever one answers; each that is acknowledged has to stay."""
    acknowledged: list[str] = []
    over = threading.Event()

    def log(server: str) -> None:
        place = {**nodes.client(), "MLFLOW_TRACKING_URI": f"http://{nodes.address(server)}:5000"}
        while not over.wait(0.3):
            with contextlib.suppress(harness.BenchError):
                acknowledged.append(tracking.Client.of(place).create_run(experiment)["run_id"])

    threads = [threading.Thread(target=log, args=(server,)) for server in GROUPS["mlflow"]]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    client = tracking.Client.of(nodes.client())
    for run in acknowledged:
        client.call("GET", f"/api/2.0/mlflow/runs/get?run_id={run}")
    harness.say(f"{len(acknowledged)} runs that were logged meanwhile are there")
    if not acknowledged:
        raise harness.BenchError("Nobody could log a run before or after the upgrade.")


def expect_version(nodes: harness.Bed, wanted: str) -> None:
    """Which MLflow serves on each server, as it says itself."""
    for server in GROUPS["mlflow"]:
        address = f"http://{nodes.address(server)}:5000"
        found = tracking.Client.of({**nodes.client(), "MLFLOW_TRACKING_URI": address}).call("GET", "/version").decode()
        if found.strip() != wanted:
            raise harness.BenchError(f"MLflow {found.strip()} serves on {server} instead of {wanted}.")


def remove_for_good(nodes: harness.Bed, logged: Log) -> None:
    """gc.yml waits for the backup that is being made, then removes what was deleted; then it has nothing to do."""
    client = tracking.Client.of(nodes.client())
    run, (_when, path, _digest) = next(iter(logged.acknowledged.items()))
    client.post("runs/delete", {"run_id": run})
    places = [f"/api/2.0/mlflow/runs/get?run_id={run}", f"/api/2.0/mlflow-artifacts/artifacts/{path}"]
    at_once = ("playbooks/gc.yml", nodes.inventory, "-e", "mlflow_server_gc_older_than_days=0")
    harness.say("gc.yml while a backup is made, for which it has to wait")
    # The upgrade has started it again.
    stop_timer(nodes)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with slow_backup(nodes):
            removing = pool.submit(harness.playbook, *at_once)
            state = "systemctl show --property ActiveState --value"
            nodes.ssh("vault", f"until [ $({state} mlops-backup-hold) = activating ]; do sleep 0.1; done; sleep 3")
            nodes.ssh("vault", f"[ $({state} mlops-backup) = activating ]")
            for place in places:
                # The server closes connections that are idle for some seconds.
                tracking.Client.of(nodes.client()).call("GET", place)
            if removing.done():
                raise harness.BenchError(f"gc.yml did not wait for the backup:\n{removing.result()}")
        removing.result()
    listed = f"{SETS}/{newest(nodes)}/artifacts.jsonl.age"
    nodes.ssh("vault", f"age --decrypt --identity {KEY} {listed} | zgrep -q {path.rpartition('/')[0]}")
    for place in places:
        try:
            tracking.Client.of(nodes.client()).call("GET", place)
        except harness.BenchError as failure:
            if "MLflow answered" not in str(failure):
                raise
            continue
        raise harness.BenchError(f"gc.yml left {place}.")
    harness.say("gc.yml again, which may change nothing")
    harness.expect_unchanged(harness.playbook(*at_once))


def rehearse(nodes: harness.Bed, store) -> None:
    """restore_drill.yml reads everything, and is not content where a copy of an artifact is gone."""
    harness.say("restore_drill.yml, at first only to say what it would do")
    told = harness.playbook("playbooks/restore_drill.yml", nodes.inventory, *WITH_KEY, "--check")
    harness.expect_unchanged(told)
    harness.say("restore_drill.yml")
    read_all(nodes, *WITH_KEY)
    rehearse_elsewhere(nodes, store)
    name = store.list_objects_v2(Bucket=BUCKET, Prefix=COPIES, MaxKeys=1)["Contents"][0]["Key"]
    store.delete_object(Bucket=BUCKET, Key=name)
    harness.say("restore_drill.yml without one of the copies")
    words = ("cannot be relied on: 1 of its artifacts are nowhere", name.removeprefix(COPIES))
    refused(nodes, "restore_drill", words, *WITH_KEY)


def read_all(nodes: harness.Bed, *options: str) -> None:
    """A rehearsal that has to read every run and artifact."""
    output = harness.playbook("playbooks/restore_drill.yml", nodes.inventory, *options)
    found = re.search(r"can be restored: (\d+) runs and\s+(\d+) artifacts", output)
    if not found or min(map(int, found.groups())) < RUNS:
        raise harness.BenchError("The rehearsal did not read every run and artifact.")
    harness.say(f"the rehearsal read {found[1]} runs and {found[2]} artifacts")


def rehearse_elsewhere(nodes: harness.Bed, store) -> None:
    """restore_drill.yml works where it is told to, and leaves what is others' there, and nothing else.

    That it did work there, the server's log and the bucket's versions tell.
    """
    harness.say("restore_drill.yml from the store, on another PostgreSQL server, in another bucket, in a shared folder")
    server = {"host": "127.0.0.1", "user": "rehearsal", "password": secrets.token_urlsafe()}
    nodes.ssh("vault", SERVER.format(password=server["password"], shared=SHARED), limit=300)
    place = json.loads(nodes.variables["backup_s3"])
    place |= {"bucket": SCRATCH, "prefix": "drills", "access_key": "admin-key", "secret_key": secret("admin")}
    own = "drills/.mlops-stack-drill/"
    store.create_bucket(Bucket=SCRATCH)
    store.put_bucket_versioning(Bucket=SCRATCH, VersioningConfiguration={"Status": "Enabled"})
    for name in ("drills/theirs", f"{own}leftover"):
        store.put_object(Bucket=SCRATCH, Key=name, Body=b"x")
    wanted = {"backup_drill_postgres": server, "backup_drill_s3": place, "backup_drill_dir": SHARED}
    wrong = {**wanted, "backup_drill_s3": {**place, "secret_key": secret("nobody")}}
    words = (f"cannot be emptied of {own.rstrip('/')}", "SignatureDoesNotMatch")
    refused(nodes, "restore_drill", words, *FROM_STORE, *WITH_KEY, "-e", json.dumps(wrong))
    nodes.ssh("vault", LEFTOVER.format(shared=SHARED))
    read_all(nodes, *FROM_STORE, *WITH_KEY, "-e", json.dumps(wanted))
    versions = store.get_paginator("list_object_versions").paginate(Bucket=SCRATCH, Prefix=own)
    if sum(len(page.get("Versions", [])) for page in versions) < RUNS:
        raise harness.BenchError("The rehearsal did not use the bucket that it was given.")
    nodes.ssh("vault", "grep -q 'CREATE DATABASE \"mlflow__' /var/log/postgresql/*.log")
    names = nodes.ssh("vault", "cd / && runuser -u postgres -- psql -Atc 'SELECT datname FROM pg_database'").split()
    left = [name for name in names if "__" in name]
    left += [item["Key"] for item in store.list_objects_v2(Bucket=SCRATCH)["Contents"]]
    left += nodes.ssh("vault", f"ls -A {SHARED}; stat -c %a:%U {SHARED}").split()
    if left != ["drills/theirs", "theirs", "755:root"]:
        raise harness.BenchError(f"The rehearsal left something else than what was there before: {left}")


def without_copies(nodes: harness.Bed) -> None:
    """A set that only lists the artifacts, and is not encrypted, is rehearsed and restored like any other."""
    wanted = {"backup_artifacts": "inventory", "backup_encrypt_to": [], "backup_label": "listed"}
    plain = ("-e", json.dumps({**wanted, "mlflow_server_version": NEW}))
    for name, *options in (("backup",), ("restore_drill",), ("restore", "-e", "backup_set=listed")):
        harness.say(f"{name}.yml of a set that only lists artifacts")
        output = harness.playbook(f"playbooks/{name}.yml", nodes.inventory, *plain, *options)
        if name == "restore_drill" and "are in the live store" not in " ".join(output.split()):
            raise harness.BenchError(f"The rehearsal did not look for the artifacts:\n{output}")


def go_back(nodes: harness.Bed, experiment: str) -> None:
    """restore.yml to a point in time: what was logged before it is there, and nothing that was logged later."""
    harness.say("site.yml with an archive, and restore.yml to a point in time")
    archived = ("-e", json.dumps({"mlflow_server_version": NEW, "postgres_archive": "folder"}))
    harness.playbook("site.yml", nodes.inventory, *archived)
    before = tracking.Client.of(nodes.client()).create_run(experiment)["run_id"]
    moment = nodes.ssh("core", "sleep 2; date --utc +%Y-%m-%dT%H:%M:%SZ; sleep 2").strip()
    later = tracking.Client.of(nodes.client()).create_run(experiment)["run_id"]
    to_then = (*archived, "-e", f"postgres_recover_time={moment}")
    harness.playbook("playbooks/restore.yml", nodes.inventory, *to_then)
    expect_version(nodes, NEW)
    page = tracking.Client.of(nodes.client()).post("runs/search", {"experiment_ids": [experiment], "max_results": 50})
    there = {run["info"]["run_id"] for run in page["runs"]}
    if before not in there or later in there:
        raise harness.BenchError(f"The runs are not those of {moment}: {before} and not {later} were to be there.")
    harness.say("site.yml, which may change nothing")
    harness.unchanged(nodes.inventory, *archived)


@contextlib.contextmanager
def slow_backup(nodes: harness.Bed):
    """A backup by the timer's service, which goes on as long as the context lasts: it waits for a locked table."""
    psql = "cd / && runuser -u postgres -- psql --quiet mlflow --command"
    nodes.ssh("core", f"{psql} 'CREATE TABLE obstacle ()'")
    nodes.ssh(
        "core", f"systemd-run --quiet {psql.partition('&& ')[2]} 'BEGIN; LOCK TABLE obstacle; SELECT pg_sleep(300)'"
    )
    nodes.ssh(
        "core",
        f"until {psql} 'BEGIN; LOCK TABLE obstacle NOWAIT' 2>&1 | grep -q 'could not obtain'; do sleep 0.1; done",
    )
    nodes.ssh("vault", f"systemctl start --no-block mlops-backup; until ls -d {SETS}/.partial-*; do sleep 0.1; done")
    try:
        yield
    finally:
        sessions = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE obstacle; %'"
        )
        nodes.ssh("core", f'{psql} "{sessions}"')
    stop_timer(nodes)
    nodes.ssh("core", f"{psql} 'DROP TABLE obstacle'")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (harness.BenchError, host.TestbedError) as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
