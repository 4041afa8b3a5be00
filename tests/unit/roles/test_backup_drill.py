# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a restore drill works: in the stack by default, and elsewhere where the inventory says so."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

SPECS = pathlib.Path(__file__).parents[3] / "roles" / "backup" / "meta" / "argument_specs.yml"
STACK = {
    "postgres": {"host": "192.0.2.1", "port": 5433},
    "mlflow": {"artifacts": "s3", "version": "3.17.2"},
    "s3": {"bucket": "mlflow", "endpoint_url": "http://192.0.2.2:8333", "access_key": "mlflow"},
    "paths": {"secrets": "/secrets"},
}
DONE = {
    "databases": [{"name": "mlflow", "target": "mlflow__scratch_one"}],
    "counts": {"mlflow__scratch_one": {"public.runs": 7}},
}
OWN = {
    "common_stack": STACK,
    "backup_databases": ["mlflow"],
    "__backup_drill": DONE,
    "__backup_restore_password": "ours@1",
}
POSTGRES = {"host": "db.example.org", "user": "rehearsal", "password": "theirs@1"}
BUCKET = {"bucket": "rehearsal", "access_key": "key", "secret_key": "secret"}
PROBLEM = "__backup_drill_dir_problem"
FOLDER = {"path": "/var/backups/mlops-stack/drill/.mlops-stack-drill/artifacts"}

# By what is looked at: expression, further variables, value.
CASES = {
    "the stack's own server": (
        "__backup_drill_request.uri",
        {},
        "postgresql+psycopg2://mlops_restore:ours%401@192.0.2.1:5433/mlflow__scratch_one?sslmode=require",
    ),
    "another server": (
        "__backup_drill_request.uri",
        {"backup_drill_postgres": POSTGRES},
        "postgresql+psycopg2://rehearsal:theirs%401@db.example.org:5432/mlflow__scratch_one?sslmode=require",
    ),
    "another server whose certificate is checked": (
        "__backup_drill_request.uri",
        {"backup_drill_postgres": {**POSTGRES, "port": 5439, "sslmode": "verify-full", "ca_cert": "/ca.pem"}},
        "postgresql+psycopg2://rehearsal:theirs%401@db.example.org:5439/mlflow__scratch_one?sslmode=verify-full"
        "&sslrootcert=%2Fca.pem",
    ),
    "the usual folder": (PROBLEM, {}, ""),
    "the folder of the sets": (PROBLEM, {"backup_drill_dir": "/var/backups/mlops-stack"}, ""),
    "a folder elsewhere": (PROBLEM, {"backup_drill_dir": "/srv/scratch"}, ""),
    "a folder relative to nothing": (
        PROBLEM,
        {"backup_drill_dir": "scratch"},
        "is no absolute path: begin it with a slash",
    ),
    "a folder that looks like a set": (
        PROBLEM,
        {"backup_dir": "/srv/sets", "backup_drill_dir": "/srv/sets/rehearsal"},
        "would be taken for a set: use /srv/sets/drill, or a folder elsewhere",
    ),
    "a folder": ("__backup_drill_request.artifacts", {}, FOLDER),
    "a bucket": (
        "__backup_drill_request.artifacts",
        {"backup_drill_s3": BUCKET},
        {**BUCKET, "prefix": ".mlops-stack-drill"},
    ),
    "a bucket's prefix": (
        "__backup_drill_artifacts.live",
        {"backup_drill_s3": {**BUCKET, "prefix": "/a/b/"}},
        {**BUCKET, "prefix": "a/b/.mlops-stack-drill"},
    ),
    "runs": ("__backup_drill_request.runs", {}, 7),
}


@pytest.fixture(scope="module")
def values(evaluate):
    """All cases' values."""
    requests = [["backup", expression, {**OWN, **more}] for expression, more, _value in CASES.values()]
    return dict(zip(CASES, evaluate(requests), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_value(values, name):
    assert values[name] == CASES[name][-1]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("backup_drill_postgres", {}, None),
        ("backup_drill_postgres", POSTGRES, None),
        ("backup_drill_postgres", {"host": "a", "user": "b"}, "required together: host, user, password"),
        ("backup_drill_postgres", {"port": 5433}, "required by 'port': host"),
        ("backup_drill_postgres", {**POSTGRES, "database": "x"}, "backup_drill_postgres.database"),
        ("backup_drill_s3", {}, None),
        ("backup_drill_s3", BUCKET, None),
        ("backup_drill_s3", {"bucket": "a"}, "required together: bucket, access_key, secret_key"),
        ("backup_drill_s3", {"endpoint_url": "http://a"}, "required by 'endpoint_url': bucket"),
        ("backup_drill_s3", {**BUCKET, "expire": True}, "backup_drill_s3.expire"),
    ],
)
def test_what_is_missing_is_told(name, value, problem):
    options = yaml.safe_load(SPECS.read_text(encoding="utf-8"))["argument_specs"]["drill"]["options"]
    said = ArgumentSpecValidator({name: options[name]}).validate({name: value}).error_messages
    assert said == [] if problem is None else problem in said[0]
