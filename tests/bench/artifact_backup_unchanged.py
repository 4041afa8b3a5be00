# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""artifact_backup_unchanged: what 10,000 artifacts of which none has changed add to a backup.

Value: seconds of a whole backup of an empty database and 10,000 artifacts that were copied before, less those of the
same backup without artifacts in the same round: listing source and copies, comparing them with the list of the last
backup, writing the new list.
Floor: seconds of a bare `rclone check --fast-list SOURCE COPIES`, whole process. Without that option rclone asks the
store for every folder by itself, and takes more than twice as long.
The artifacts are 10,000 files of 1 to 32 KiB in 1,000 runs, once in a folder of the backup host, once in the stack's
SeaweedFS; the copies are in a folder of the backup host both times. The figure is the one with the worse ratio.
The two do not look alike: rclone reads what is local and compares hashes, the backup compares size and time with its
last list, whose hashes it took itself. What rclone takes with --size-only is told in the progress.
Stand-in: as for pg_backup.
"""

from __future__ import annotations

import statistics

import backup_stack
import harness

UNIT = "s"
GOAL = harness.Goal("<=", 1.2)
ROUNDS = 5
COUNT = 10_000
SOURCE = "/srv/bench-artifacts"
PREFIX = "bench"
MAKE = f"""
import pathlib, random
chance = random.Random(2026)
for run in range({COUNT} // 10):
    folder = pathlib.Path("{SOURCE}", str(run % 20), f"{{chance.getrandbits(128):032x}}", "artifacts")
    folder.mkdir(parents=True)
    for number in range(10):
        (folder / f"file-{{number}}.bin").write_bytes(chance.randbytes(chance.randrange(1024, 32768)))
"""


def measure(session: harness.Session) -> harness.Measured:
    """Copy the artifacts once, then back them up unchanged and check them in turn."""
    stack = backup_stack.stack(session)
    stack.vault(f"rm -rf {SOURCE}\npython3 - <<'PYTHON'\n{MAKE}PYTHON\nchmod -R a+rX {SOURCE}\n")
    upload(stack)
    cases = []
    for name, source, remote in (("folder", {"path": SOURCE}, SOURCE), ("store", store(stack), f"S3:mlflow/{PREFIX}")):
        harness.say(f"copying {COUNT} artifacts from a {name}")
        copies = f"{backup_stack.SETS}/artifacts/{name}"
        artifacts = {"mode": "copy", "source": source, "destination": {"path": copies}}
        stack.configure(databases=[backup_stack.EMPTY], artifacts=artifacts)
        stack.forget()
        stack.backup()
        check = f"rclone check --fast-list {remote} {copies}/current"
        cases.append(one_case(stack, name, artifacts, check))
    stack.configure(artifacts={"mode": "none"})
    return max(cases, key=lambda measured: measured.ratio)


def one_case(stack: backup_stack.Stack, name: str, artifacts: dict, check: str) -> harness.Measured:
    """Take turns for artifacts in one kind of place."""
    values, floors = harness.alternate(
        ROUNDS, lambda _number: added(stack, artifacts), lambda _number: by_rclone(stack, check)
    )
    by_size = statistics.median(by_rclone(stack, f"{check} --size-only") for _number in range(ROUNDS))
    harness.say(f"{name}: rclone check --size-only takes {by_size:.2f} s")
    measured = harness.compared((f"{name}: backup", values), (f"{name}: rclone check", floors), UNIT)
    harness.say(f"{name}: ratio {measured.ratio:.2f}")
    return measured


def added(stack: backup_stack.Stack, artifacts: dict) -> float:
    """Return the seconds that a backup takes more with the artifacts than without them."""
    taken = []
    for chosen in ({"mode": "none"}, artifacts):
        stack.configure(artifacts=chosen)
        stack.settle()
        taken.append(stack.backup())
    told = stack.sets()[-1]["artifacts"]
    if (told["objects"], told["kept"], told["copied"]) != (COUNT, COUNT, 0):
        raise harness.BenchError(f"The backup found other artifacts than those that are there: {told}")
    return taken[1] - taken[0]


def by_rclone(stack: backup_stack.Stack, check: str) -> float:
    """Return the seconds of a check, which ends with an error where anything differs."""
    stack.settle()
    return stack.seconds(f"{remote_of(stack, 'backup', 's3_backup_secret_key')} {check}")


def store(stack: backup_stack.Stack) -> dict:
    """The artifacts' place in the stack's store, as the timer reads it."""
    return {
        "bucket": "mlflow",
        "prefix": f"{PREFIX}/",
        "endpoint_url": endpoint(stack),
        "access_key": "backup",
        "secret_key_file": f"{backup_stack.CONFIG}/artifacts_secret_key",
    }


def endpoint(stack: backup_stack.Stack) -> str:
    """The URL of the stack's store."""
    return f"http://{stack.nodes.address('core')}:8333"


def remote_of(stack: backup_stack.Stack, user: str, secret: str) -> str:
    """The environment by which rclone knows the stack's store as S3."""
    values = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": endpoint(stack), "ACCESS_KEY_ID": user}
    values |= {"SECRET_ACCESS_KEY": stack.secret(secret), "REGION": "us-east-1", "FORCE_PATH_STYLE": "true"}
    return "env " + " ".join(f"RCLONE_CONFIG_S3_{name}={value}" for name, value in values.items())


def upload(stack: backup_stack.Stack) -> None:
    """Put the artifacts into the stack's store, with MLflow's own key."""
    harness.say(f"uploading {COUNT} artifacts")
    taken = stack.seconds(
        f"{remote_of(stack, 'mlflow', 's3_mlflow_secret_key')} rclone copy --transfers=16 --s3-no-check-bucket "
        f"{SOURCE} S3:mlflow/{PREFIX}"
    )
    harness.say(f"uploaded after {taken:.1f} s")
