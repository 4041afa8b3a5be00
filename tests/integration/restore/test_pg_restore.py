# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore on a real PostgreSQL, by a role that is no superuser: what it brings back, and what it leaves alone."""

from __future__ import annotations

import json

import pytest

from .conftest import ARTIFACTS, SETS

LIVE = {"live": {"path": ARTIFACTS}}
# Connects, over and over, as an MLflow does whose pool was ended.
CLIENT = """
import psycopg2, time
until, seen = time.time() + 25, []
while time.time() < until:
    try:
        connection = psycopg2.connect(host="127.0.0.1", user="mlflow", password="mlflow", dbname="mlflow")
        cursor = connection.cursor()
        while time.time() < until:
            cursor.execute("SELECT count(*) FROM runs")
            seen.append(str(cursor.fetchone()[0]))
            time.sleep(0.02)
    except psycopg2.Error as error:
        seen.append("ended")
        time.sleep(0.02)
print(" ".join(one for number, one in enumerate(seen) if number == 0 or seen[number - 1] != one))
"""


def test_beside_the_live_databases(stack):
    stack.backup("a")
    before = stack.state()
    predicted = stack.restore("a", check=True)
    assert (predicted["changed"], stack.state()) == (True, before)
    made = stack.restore("latest")
    assert (made["changed"], made["set"]) == (True, "a")
    assert [one["target"] for one in made["databases"]] == ["mlflow__scratch_a", "mlflow_auth__scratch_a"]
    assert made["counts"]["mlflow__scratch_a"]["public.runs"] == stack.rows("mlflow__scratch_a") == 2000
    assert stack.properties("mlflow__scratch_a").startswith("mlflow|{mlflow=CTc/mlflow}|")
    assert stack.restore("a")["changed"] is False
    named = stack.restore("a", databases=["mlflow_auth"], target_db="mine")
    assert (named["changed"], stack.rows("mine")) == (True, 30)
    refused = stack.restore("a", databases=["mlflow_auth"], target_db="mlflow")
    assert "is the name of a live database" in refused["msg"]
    assert stack.restore("a", check=True, state="absent")["changed"] is True
    gone = stack.restore("a", state="absent")
    assert [one["name"] for one in gone["databases"]] == ["mine", "mlflow__scratch_a", "mlflow_auth__scratch_a"]
    assert stack.restore("a", state="absent")["changed"] is False
    stack.check_live(before)


@pytest.mark.fault(37, 41)
@pytest.mark.slow
def test_in_the_place_of_the_live_databases(stack):
    stack.shell("install -m 0600 /dev/null /srv/kek; echo canary-kek > /srv/kek")
    stack.backup("a", secret_files={"MLFLOW_CRYPTO_KEK_PASSPHRASE": "/srv/kek"})
    before = {name: stack.properties(name) for name in stack.databases()}
    stack.sql("DELETE FROM runs WHERE id > 5; INSERT INTO runs VALUES (-1, 'later')", "mlflow")
    predicted = stack.restore("a", check=True, mode="swap")
    assert (predicted["changed"], stack.rows()) == (True, 6)
    # A unit that is stopped meanwhile, and clients that will not stay away.
    stack.shell("systemd-run --unit idler --collect sleep infinity")
    stack.write("/srv/client.py", CLIENT)
    stack.shell("systemd-run --unit client --collect -p StandardOutput=file:/srv/client.out python3 /srv/client.py")
    stack.wait_for("SELECT pid FROM pg_stat_activity WHERE datname = 'mlflow'")
    made = stack.restore("a", mode="swap", stop_units=["idler.service"], secrets_dest="/srv/restored-secrets")
    assert (made["changed"], made["old_db"]) == (True, {"mlflow": "mlflow__old_a", "mlflow_auth": "mlflow_auth__old_a"})
    assert (stack.rows(), stack.rows("mlflow__old_a"), stack.rows("mlflow_auth")) == (2000, 6, 30)
    assert {name: stack.properties(name) for name in before} == before
    comments = stack.sql("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'mlflow'")
    assert comments == "the mlflow of a test\nmlops.stack set a"
    assert stack.shell("stat -c '%a %U' /srv/restored-secrets; cat /srv/restored-secrets").startswith("600 root\n{")
    assert "canary-kek" not in json.dumps(made)
    seen = stack.shell("while systemctl -q is-active client; do sleep 1; done; cat /srv/client.out")
    assert seen == "6 ended 2000"
    # What is granted on the tables themselves is in the dump.
    assert "grafana=r/mlflow" in stack.sql("SELECT relacl FROM pg_class WHERE relname = 'runs'", "mlflow")
    again = stack.restore("a", mode="swap")
    assert (again["changed"], again["msg"]) == (False, "the set a is there already; set force to restore it again")
    stack.sql("DELETE FROM runs", "mlflow")
    forced = stack.restore("a", mode="swap", force=True, keep_old=False)
    assert (forced["changed"], forced["old_db"], stack.rows()) == (True, {}, 2000)
    assert stack.databases() == ["mlflow", "mlflow__old_a", "mlflow_auth", "mlflow_auth__old_a"]


def test_into_a_server_without_the_databases(stack):
    stack.backup("a")
    before = {name: stack.properties(name) for name in stack.databases()}
    stack.sql("DROP DATABASE mlflow WITH (FORCE)")
    stack.sql("DROP DATABASE mlflow_auth WITH (FORCE)")
    made = stack.restore("a", mode="swap")
    assert (made["changed"], made["old_db"], stack.rows()) == (True, {}, 2000)
    # The limit of connections is not in a manifest.
    after = {name: stack.properties(name) for name in stack.databases()}
    assert {name: text.replace("|-1|", "|50|") for name, text in after.items()} == before


def test_a_database_of_somebody_is_no_leftover(stack):
    stack.backup("a")
    for name in ("table", "function", "schema", "closed", "b"):
        stack.sql(f"CREATE DATABASE mlflow__new_{name} OWNER mlflow")
    stack.sql("CREATE TABLE mine (id int)", "mlflow__new_table")
    stack.sql("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'", "mlflow__new_function")
    stack.sql("CREATE SCHEMA mine", "mlflow__new_schema")
    stack.sql("REVOKE CONNECT ON DATABASE mlflow__new_closed FROM PUBLIC, mlflow")
    made = stack.restore("a", mode="swap")
    # The last one is what a kill leaves between the making of a database and its mark.
    assert (made["changed"], made["swept"]) == (True, ["mlflow__new_b"])
    left = [name for name in stack.databases() if "__new_" in name]
    assert left == ["mlflow__new_closed", "mlflow__new_function", "mlflow__new_schema", "mlflow__new_table"]
    stack.sql("ALTER DATABASE mlflow__new_table RENAME TO mlflow__new_a")
    refused = stack.restore("a", mode="swap", force=True)
    assert (refused["phase"], "'mlflow__new_a' is in the way" in refused["msg"]) == ("plan", True)
    assert "mlflow__new_a" in stack.databases()


def test_secrets_are_written_before_anything_goes_wrong_and_again(stack):
    stack.shell("install -m 0600 /dev/null /srv/kek; echo canary-kek > /srv/kek; rm -f /srv/restored-secrets")
    stack.backup("a", secret_files={"MLFLOW_CRYPTO_KEK_PASSPHRASE": "/srv/kek"})
    before = stack.state()
    for check in (True, False):
        refused = stack.restore("a", check=check, mode="swap", secrets_dest="/no/such/folder/s.json")
        assert (refused["phase"], "there is no folder /no/such/folder" in refused["msg"]) == ("options", True), refused
        stack.check_live(before)
    one = {"databases": ["mlflow_auth"], "secrets_dest": "/srv/restored-secrets"}
    assert stack.restore("a", **one)["changed"] is True
    for spoil in ("rm /srv/restored-secrets", "echo x >> /srv/restored-secrets", "chmod 644 /srv/restored-secrets"):
        assert [stack.restore("a", check=check, **one)["changed"] for check in (True, False)] == [False, False]
        stack.shell(spoil)
        made = [stack.restore("a", check=check, **one) for check in (True, False)]
        assert [result["changed"] for result in made] == [True, True]
        assert "canary-kek" not in json.dumps(made)
        assert (
            stack.shell("stat -c %a /srv/restored-secrets; cmp /srv/sets/a/secrets.json /srv/restored-secrets") == "600"
        )


def test_the_newest_set_until_a_time(stack):
    stack.backup("a")
    told = stack.restore("2020-01-01T00:00:00Z")
    assert (told["phase"], "No complete set in /srv/sets was made until" in told["msg"]) == ("set", True)
    assert stack.restore("2999-01-01T00:00:00Z", check=True)["set"] == "a"
    assert stack.restore(f"{SETS}/a", check=True)["set"] == "a"
    # A later one of another choice is the newest for nobody who asks for what it lacks.
    stack.shell("mkdir -p /srv/empty")
    stack.backup("b", databases=["mlflow_auth"], artifacts={"mode": "inventory", "source": {"path": "/srv/empty"}})
    for wanted in ("latest", "2999-01-01T00:00:00Z"):
        found = [stack.restore(wanted, check=True, databases=one)["set"] for one in (["mlflow"], ["mlflow_auth"], [])]
        assert found == ["a", "b", "b"]
    told = stack.restore("latest", databases=["gone"])
    assert told["msg"] == "No complete set in /srv/sets holds 'gone'; the newest one, b, holds 'mlflow_auth'."
    # It names no artifact, so that none can be missing.
    assert stack.restore("latest", mode="swap")["set"] == "b"


def test_artifacts_come_back(stack):
    stack.backup("a", artifacts={"mode": "copy", "source": {"path": ARTIFACTS}})
    refused = stack.restore("a", mode="swap")
    assert "set artifacts.live" in refused["msg"]
    stack.shell(f"rm {ARTIFACTS}/1/run/model")
    made = stack.restore("a", mode="swap", artifacts=LIVE)
    assert (made["changed"], made["restored_artifacts"], made["missing_artifacts"]) == (True, ["1/run/model"], [])
    assert stack.shell(f"cat {ARTIFACTS}/1/run/model") == "model"


@pytest.mark.fault(40)
def test_artifacts_that_are_nowhere_keep_the_live_databases(stack):
    stack.backup("a", artifacts={"mode": "copy", "source": {"path": ARTIFACTS}})
    before = stack.state()
    stack.shell(f"mv {ARTIFACTS}/1/run/plot /srv/plot; rm {SETS}/artifacts/current/1/run/plot")
    refused = stack.restore("a", mode="swap", artifacts=LIVE)
    assert (refused["phase"], refused["missing_artifacts"]) == ("check_artifacts", ["1/run/plot"])
    stack.check_live(before)
    beside = stack.restore("a", artifacts=LIVE)
    assert (beside["changed"], beside["missing_artifacts"]) == (True, ["1/run/plot"])
    forced = stack.restore("a", mode="swap", artifacts=LIVE, force=True)
    assert (forced["changed"], forced["missing_artifacts"]) == (True, ["1/run/plot"])
    stack.shell(f"mv /srv/plot {ARTIFACTS}/1/run/plot")


def test_a_damaged_copy_takes_no_live_artifacts_place(stack):
    stack.backup("a", artifacts={"mode": "copy", "source": {"path": ARTIFACTS}})
    before = stack.state()
    stack.shell(f"echo later-model > {ARTIFACTS}/1/run/model; echo MODEL > {SETS}/artifacts/current/1/run/model")
    refused = stack.restore("a", mode="swap", artifacts=LIVE, force=True)
    assert (refused["phase"], refused["safe_to_retry"]) == ("artifacts", False)
    assert "1 artifacts were not put in the place of live ones, among them 1/run/model" in refused["msg"]
    assert stack.shell(f"cat {ARTIFACTS}/1/run/model") == "later-model"
    stack.check_live(before)
    stack.shell(f"echo model > {SETS}/artifacts/current/1/run/model")
    made = stack.restore("a", mode="swap", artifacts=LIVE, force=True)
    assert (made["changed"], made["restored_artifacts"]) == (True, ["1/run/model"])
    assert stack.shell(f"cat {ARTIFACTS}/1/run/model {SETS}/artifacts/kept/a/1/run/model") == "model\nlater-model"


def test_copies_that_are_gone_or_damaged_make_backups_unhealthy(stack):
    stack.backup("a", artifacts={"mode": "copy", "source": {"path": ARTIFACTS}})

    def look(**more):
        told = stack.node.module("pg_backup_info", {"dest": SETS, "minimum_redundancy": 1, **more})
        return told["healthy"], told["problems"]

    assert look() == look(deep=True) == (True, [])
    stack.shell(f"echo PLOT > {SETS}/artifacts/current/1/run/plot")
    assert look()[0] is True
    assert "1 have no whole copy in /srv/sets/artifacts (1/run/plot)" in look(deep=True)[1][0]
    stack.shell(f"mv {SETS}/artifacts /srv/copies; rm /srv/copies/current/1/run/model")
    assert "2 have no whole copy in /srv/sets/artifacts (1/run/model, 1/run/plot)" in look()[1][0]
    given = {"artifacts": {"destination": {"path": "/srv/copies"}}}
    assert "1 have no whole copy in /srv/copies (1/run/model)" in look(**given)[1][0]
    stack.shell("rm -r /srv/copies")


def test_an_encrypted_set(stack):
    stack.shell("rm -f /srv/identity; age-keygen -o /srv/identity 2>/dev/null")
    recipient = stack.shell("age-keygen -y /srv/identity")
    stack.backup("a", encrypt_to=[recipient])
    assert "set identity_file" in stack.restore("a")["msg"]
    # Before anything is made it is known that the key is the right one.
    stack.shell("rm -f /srv/another; age-keygen -o /srv/another 2>/dev/null")
    refused = stack.restore("a", identity_file="/srv/another", check=True)
    assert "no identity matched any of the recipients" in refused["msg"]
    assert stack.restore("a", identity_file="/srv/identity", check=True)["changed"] is True
    made = stack.restore("a", identity_file="/srv/identity")
    assert (made["changed"], stack.rows("mlflow__scratch_a")) == (True, 2000)
    assert stack.shell(f"ls -A {SETS} {SETS}/a | grep -c -e restore -e plain || true") == "0"


def test_a_set_that_the_passphrase_in_force_cannot_read(stack):
    stack.sql("SET ROLE mlflow; CREATE TABLE secrets (id int); INSERT INTO secrets VALUES (1)", "mlflow")
    stack.shell("echo theirs >/srv/theirs; echo ours >/srv/ours")
    stack.backup("a", secret_files={"mlflow_encryption_passphrase": "/srv/theirs"})
    before = stack.state()
    for check in (True, False):
        options = {"mode": "swap", "check": check}
        refused = stack.restore("a", secret_files={"mlflow_encryption_passphrase": "/srv/ours"}, **options)
        assert "made with another mlflow_encryption_passphrase than the one in force, and 1 rows" in refused["msg"]
        stack.check_live(before)
        made = stack.restore("a", secret_files={"mlflow_encryption_passphrase": "/srv/theirs"}, **options)
        assert made["changed"] is True


LARGEST = "f=$(ls -S databases/mlflow/*.dat* | head -1);"
FLIP = "conv=notrunc status=none"
DAMAGES = [
    pytest.param(f"{LARGEST} truncate -s -1 $f", marks=pytest.mark.fault(31), id="truncated"),
    pytest.param(
        f"{LARGEST} printf '\\x5a' | dd of=$f bs=1 seek=300 {FLIP}", marks=pytest.mark.fault(32), id="a flipped byte"
    ),
    pytest.param(f"{LARGEST} rm $f", marks=pytest.mark.fault(33), id="a member missing"),
    pytest.param(
        f"printf x | dd of=databases/mlflow/toc.dat bs=1 seek=40 {FLIP}",
        marks=pytest.mark.fault(32),
        id="the table of contents",
    ),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_set(stack, damage):
    stack.backup("a")
    before = stack.state()
    stack.shell(f"cd {SETS}/a; {damage}")
    for mode in ("scratch", "swap"):
        refused = stack.restore("a", mode=mode)
        assert refused["phase"] in ("hash", "set"), refused
        assert refused["safe_to_retry"] is False
        assert "databases/mlflow/" in refused["msg"]
    stack.check_live(before)


@pytest.mark.fault(34)
def test_a_role_that_is_not_there(stack):
    stack.sql("CREATE ROLE reader; GRANT SELECT ON runs TO reader", "mlflow")
    stack.backup("a")
    stack.sql("DROP OWNED BY reader; DROP ROLE reader", "mlflow")
    before = stack.state()
    refused = stack.restore("a", mode="swap")
    assert (refused["phase"], refused["rc"]) == ("load", 1)
    assert "the role 'reader', which the set grants rights to, does not exist" in refused["msg"]
    stack.check_live(before)
    refused = stack.restore("a", owner="nobody")
    assert "The role 'nobody', which is to own the restored database, does not exist" in refused["msg"]
    refused = stack.restore("a", owner="grafana")
    assert "GRANT grafana TO mlops_restore" in refused["msg"]


@pytest.mark.fault(35)
def test_an_extension_that_is_not_there(stack):
    stack.sql("CREATE EXTENSION pg_trgm", "mlflow")
    stack.backup("a")
    before = stack.state()
    control = "/usr/share/postgresql/*/extension/pg_trgm.control"
    stack.shell(f"mv {control} /srv/pg_trgm.control")
    try:
        refused = stack.restore("a", mode="swap")
    finally:
        stack.shell("mv /srv/pg_trgm.control /usr/share/postgresql/*/extension/")
    assert (refused["phase"], "needs the extension 'pg_trgm'" in refused["msg"]) == ("plan", True)
    stack.check_live(before)
    # One that its database's owner may make is made.
    assert stack.restore("a", mode="swap")["changed"] is True


def test_a_role_without_rights(stack):
    stack.backup("a")
    stack.sql("ALTER ROLE mlops_restore NOCREATEDB; REVOKE mlflow FROM mlops_restore")
    try:
        refused = stack.restore("a", mode="swap")
    finally:
        stack.sql("ALTER ROLE mlops_restore CREATEDB; GRANT mlflow TO mlops_restore")
    assert "ALTER ROLE mlops_restore CREATEDB" in refused["msg"]
    assert stack.rows() == 2000


def test_what_only_a_superuser_may_set_is_told(stack):
    stack.backup("a")
    stack.sql("ALTER DATABASE mlflow SET log_min_duration_statement TO '1s'")
    stack.sql("ALTER ROLE grafana IN DATABASE mlflow SET work_mem TO '1MB'")
    made = stack.restore("a", mode="swap")
    assert made["changed"] is True
    assert sorted(made["not_reapplied"]) == [
        'ALTER DATABASE "mlflow" SET "log_min_duration_statement" TO \'1s\';',
        'ALTER ROLE "grafana" IN DATABASE "mlflow" SET "work_mem" TO \'1MB\';',
    ]
