# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a real PostgreSQL, by the modules and by the command."""

from __future__ import annotations

import json

import pytest


def test_check_apply_repeat_absent(host):
    options = host.options(label="one", versions={"mlflow": "3.17.2"})
    checked = host.node.module("pg_backup", options, check=True)
    assert (checked["changed"], checked["action"]) == (True, "backup")
    assert host.shell("ls -A /srv/backup-test") == "password"
    made = host.node.module("pg_backup", options)
    assert (made["changed"], made["label"]) == (True, "one")
    assert made["set"]["rows"] == 2 * 2001
    again = host.node.module("pg_backup", options)
    assert (again["changed"], again["action"]) == (False, "none")
    young = host.node.module("pg_backup", host.options(max_age="1h"))
    assert (young["changed"], young["label"]) == (False, "one")
    told = host.node.module("pg_backup_info", {"dest": options["dest"], "deep": True, "minimum_redundancy": 1})
    assert (told["healthy"], told["latest"], told["problems"]) == (True, "one", [])
    gone = host.node.module("pg_backup", {"dest": options["dest"], "state": "absent", "label": "one"})
    assert gone["changed"] is True
    assert host.labels == []
    assert (
        host.node.module("pg_backup", {"dest": options["dest"], "state": "absent", "label": "one"})["changed"] is False
    )


def test_the_manifest_says_what_is_there_and_files_are_private(host):
    assert host.run().status == 0
    label = host.labels[0]
    folder = f"/srv/backup-test/sets/{label}"
    data = json.loads(host.shell(f"cat {folder}/manifest.json"))
    facts = {entry["name"]: entry for entry in data["databases"]}
    assert sorted(facts) == ["a/b", "mlflow"]
    assert facts["mlflow"]["tables"] == {"public.Odd.name": 0, "public.alembic_version": 1, "public.runs": 2000}
    assert facts["mlflow"]["alembic"] == {"alembic_version": "head"}
    assert (facts["mlflow"]["owner"], facts["mlflow"]["dump"]["compress"]) == ("mlflow", "zstd:1")
    assert data["postgres"]["system_identifier"] == host.sql("SELECT system_identifier FROM pg_control_system()")
    assert host.shell(f"cd {folder}; sha256sum databases/mlflow/toc.dat").split()[0] in json.dumps(data["files"])
    assert len(data["files"]) == int(host.shell(f"find {folder} -type f | wc -l")) - 1
    assert "CREATE ROLE mlflow" in host.shell(f"cat {folder}/globals.sql")
    assert host.shell(f"grep -c SCRAM {folder}/globals.sql || true") == "0"
    assert host.shell(f"find {folder} /srv/backup-test/sets -type f ! -perm 600") == ""
    assert host.shell("find /srv/backup-test/sets -type d ! -perm 700") == ""


@pytest.mark.parametrize("name", ["a=b", "postgresql://mlflow"])
def test_a_database_whose_name_looks_like_a_connection_string(host, name):
    host.sql(f'CREATE DATABASE "{name}" OWNER mlflow')
    result = host.run(databases=[name]).result
    assert result["set"]["databases"] == [name]
    assert "CREATE ROLE mlflow" in host.shell(f"cat {result['set']['path']}/globals.sql")
    host.sql(f'DROP DATABASE "{name}"')


def test_what_would_fail_after_the_dump_fails_before_it(host):
    host.shell("mkdir -m 0700 -p /srv/backup-test/sets /srv/backup-test/art")
    for given, says in (
        ({"secret_files": {"x": "/none"}}, "The file /none that secret_files.x names"),
        ({"verify": "restore", "restore_password": "wrong"}, "correct restore_user or restore_password"),
        (
            {"artifacts": {"source": {"path": "/srv/backup-test"}, "destination": {"path": "/srv/backup-test/art"}}},
            "lie in each other",
        ),
    ):
        for check in (True, False):
            refused = host.node.module("pg_backup", host.options(**given), check=check)
            assert says in refused["msg"]
    assert host.labels == []


def test_counts_are_those_of_the_dump_while_rows_are_written(host):
    host.sql("CREATE DATABASE busy OWNER mlflow")
    host.sql("CREATE TABLE t AS SELECT i, md5(i::text) AS text FROM generate_series(1, 300000) i", "busy")
    writing = "while echo 'INSERT INTO t VALUES (1);'; do :; done | runuser -u postgres -- psql -q busy"
    host.shell(f'cd /; timeout 60 bash -c "{writing}" >/dev/null 2>&1 &')
    host.until("runuser -u postgres -- psql -Atc 'SELECT 1 FROM t WHERE text IS NULL LIMIT 1' busy | grep -q 1")
    result = host.run(databases=["busy"]).result
    path = result["set"]["path"]
    dumped = host.shell(f"pg_restore -f - -t t --data-only {path}/databases/busy | grep -cP '^\\d+\\t'")
    told = json.loads(host.shell(f"cat {path}/manifest.json"))["databases"][0]["tables"]["public.t"]
    assert told == int(dumped)
    assert told < int(host.sql("SELECT count(*) FROM t", "busy"))
    # It ends the writer, too.
    host.sql("DROP DATABASE busy WITH (FORCE)")


def test_artifacts_secrets_and_encryption(host):
    host.shell(
        "cd /srv/backup-test; mkdir -p art/1; echo model >art/1/model; age-keygen -o key 2>/dev/null; echo pass >kek"
    )
    recipient = host.shell("age-keygen -y /srv/backup-test/key")
    result = host.run(
        artifacts={"source": {"path": "/srv/backup-test/art"}},
        encrypt_to=[recipient],
        secret_files={"passphrase": "/srv/backup-test/kek"},
        verify="restore",
        restore_password="Rs-1/x:y canary",
    ).result
    assert result["set"]["encrypted"] is True
    assert result["set"]["artifacts"]["objects"] == 1
    assert result["set"]["verified"]["level"] == "restore"
    path = result["set"]["path"]
    assert host.shell(f"find {path} -type f ! -name '*.age'") == f"{path}/manifest.json"
    assert json.loads(host.shell(f"age -d -i /srv/backup-test/key {path}/secrets.json.age")) == {"passphrase": "pass"}
    assert host.shell("find /srv/backup-test/sets/artifacts/current -type f | xargs cat") == "model"
    # Nothing of the rehearsal is left.
    assert host.sql("SELECT count(*) FROM pg_database WHERE datname LIKE '%\\_\\_%'") == "0"


@pytest.mark.fault(20, 21, 25)
def test_copies_that_cannot_be_made_cost_no_set(host):
    host.shell("mkdir -p /srv/backup-test/art/1; echo model >/srv/backup-test/art/1/model")
    first = host.run(artifacts={"source": {"path": "/srv/backup-test/art"}}).result["label"]
    dead = {
        "bucket": "copies",
        "endpoint_url": "http://127.0.0.1:9",
        "access_key": "k",
        "secret_key": "canary",
        "wait_timeout": 1,
    }
    away = {"artifacts": {"source": {"path": "/srv/backup-test/art"}, "destination": dead}}
    ended = host.run(**away, retention={"keep_last": 1}, minimum_redundancy=1)
    assert ended.status == 1
    second = [label for label in host.labels if label not in (first, "artifacts")]
    assert len(second) == 1 and first in host.labels
    assert "http://127.0.0.1:9" in ended.err
    assert f"The set stays in /srv/backup-test/sets/{second[0]}, and no set was removed." in ended.err
    told = host.run("info", minimum_redundancy=1)
    assert "The last backup" in told.err
    # The next one that can makes a set with copies, though this one is young enough.
    assert host.run(artifacts={"source": {"path": "/srv/backup-test/art"}}).result["set"]["artifacts"]["mode"] == "copy"


def test_retention_by_the_command(host):
    for _number in range(3):
        result = host.run(retention={"keep_last": 2}, minimum_redundancy=1).result
        # Of two sets of one second, chance says which is the newer.
        host.shell("sleep 1")
    assert len(host.labels) == 2
    assert len(result["expired"]) == 1
    oldest = host.labels[0]
    assert host.run("expire", retention={"keep_last": 1}, minimum_redundancy=1).result["expired"] == [oldest]
    assert len(host.labels) == 1


def test_the_command_tells_how_it_stands(host):
    metrics = "/srv/backup-test/backup.prom"
    assert host.run("info", metrics_file=metrics).status == 1
    assert "mlops_stack_backup_healthy 0" in host.shell(f"cat {metrics}")
    assert host.run(minimum_redundancy=1, metrics_file=metrics).status == 0
    assert "mlops_stack_backup_healthy 1" in host.shell(f"cat {metrics}")
    ended = host.run("info", minimum_redundancy=1, max_age="1h")
    assert (ended.status, ended.result["healthy"]) == (0, True)
    ended = host.run("info", minimum_redundancy=1, max_age="1s")
    assert ended.status == 1
    assert "max_age allows" in ended.err


def test_a_failure_starts_the_hook(host):
    hook = ["/bin/sh", "-c", "cat >/srv/backup-test/hook"]
    ended = host.run(login_port=1, on_failure=hook)
    assert ended.status == 1
    told = json.loads(host.shell("cat /srv/backup-test/hook"))
    assert (told["ok"], told["error"]["phase"]) == (False, "connect")
    assert "nothing listens at 127.0.0.1 port 1" in told["error"]["msg"]


def test_no_secret_is_seen_by_others(host):
    over, watched = "/srv/backup-test/over", "/srv/backup-test/watched"
    watch = f"until test -e {over}; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; sleep 0.01; done"
    host.shell(f"({watch}; touch {watched}) >/srv/backup-test/seen 2>&1 &")
    ended = host.run()
    # The watch would also see the arguments of the commands that look into what it saw.
    host.shell(f"touch {over}; timeout 30 sh -c 'until test -e {watched}; do sleep 0.05; done'")
    assert ended.status == 0
    assert int(host.shell("grep -ac pg_dump /srv/backup-test/seen")) > 0
    assert host.shell("grep -ac 'x:y' /srv/backup-test/seen || true") == "0"
    assert "canary" not in ended.out + ended.err
    assert host.shell("grep -rac 'x:y' /srv/backup-test/sets | grep -v ':0' || true") == ""
