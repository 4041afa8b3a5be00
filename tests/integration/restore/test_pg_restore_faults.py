# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore when things die under it: the live databases serve on, and the next call cleans up and succeeds."""

from __future__ import annotations

import json
import random
import time

import harm
import pytest

from .conftest import ARTIFACTS, SETS

HOLDER = (
    "systemd-run --unit holder --collect -E PGPASSWORD={password} "
    'psql -h 127.0.0.1 -U {user} -d mlflow -c "SELECT pg_sleep({seconds})"'
)
SESSION = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%' AND usename = '{user}'"


PSQL = 'cd /; systemd-run --unit holder --collect -p User=postgres psql -d mlflow -c "SELECT pg_sleep({seconds})"'
COPIES = {"artifacts": {"mode": "copy", "source": {"path": ARTIFACTS}}}
FORCED = {"mode": "swap", "force": True, "artifacts": {"live": {"path": ARTIFACTS}}}
MODEL = f"{ARTIFACTS}/1/run/model"


@pytest.fixture(name="slow")
def fixture_slow(stack):
    """A set whose restore stays at an index of mlflow for some seconds, and the state before."""
    stack.slow_down(15)
    stack.backup("a")
    stack.before = stack.state()
    return stack


def pg_restore(stack):
    """(the number of the process pg_restore, that of the module that started it)."""
    pid = stack.shell("pgrep -o -x pg_restore")
    return pid, stack.shell(f"ps -o ppid= -p {pid}").strip()


def crash(stack):
    """Kill PostgreSQL's main process, and start it again as its unit would after a power cut."""
    stack.shell(
        "kill -9 $(head -1 /var/lib/postgresql/*/main/postmaster.pid);"
        " while pgrep -x postgres > /dev/null; do sleep 0.1; done"
    )
    stack.start_again()


@pytest.mark.fault(30)
@pytest.mark.slow
def test_the_module_is_killed(slow):
    started = slow.begin("a", mode="swap")
    slow.wait_for_loading()
    program, module = pg_restore(slow)
    slow.shell(f"kill -9 {module}")
    started.communicate(timeout=60)
    harm.check_live(slow.rows(), 2000)
    # pg_restore goes with the process that started it; its workers with the statement that they wait for.
    slow.shell(f"for i in $(seq 100); do kill -0 {program} 2> /dev/null || exit 0; sleep 0.1; done; exit 1")
    assert [name for name in slow.databases() if "__new_" in name] == ["mlflow__new_a"]
    made = slow.restore("a", mode="swap")
    assert made["changed"] is True
    assert made["swept"] == ["mlflow__new_a"]
    assert slow.shell("pgrep -x pg_restore || true") == ""
    assert slow.databases() == ["mlflow", "mlflow__old_a", "mlflow_auth", "mlflow_auth__old_a"]


@pytest.mark.fault(30)
def test_the_module_is_asked_to_end(slow):
    started = slow.begin("a", mode="swap")
    slow.wait_for_loading()
    slow.shell(f"kill -TERM {pg_restore(slow)[1]}")
    result = slow.end(started)
    assert result["phase"] == "interrupted"
    slow.check_live(slow.before)


@pytest.mark.fault(30)
def test_pg_restore_is_killed(slow):
    started = slow.begin("a", mode="swap")
    slow.wait_for_loading()
    slow.shell(f"kill -9 {pg_restore(slow)[0]}")
    result = slow.end(started)
    assert (result["phase"], result["rc"]) == ("load", -9)
    slow.check_live(slow.before)


@pytest.mark.fault(30)
def test_its_session_is_ended(slow):
    started = slow.begin("a", mode="swap")
    slow.wait_for_loading()
    slow.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mlflow__new_a'")
    result = slow.end(started)
    assert (result["phase"], "the server went away" in result["msg"]) == ("load", True)
    slow.check_live(slow.before)


@pytest.mark.fault(38)
def test_postgres_crashes_while_it_loads(slow):
    started = slow.begin("a", mode="swap")
    slow.wait_for_loading()
    crash(slow)
    result = slow.end(started)
    assert result["phase"] == "load"
    slow.check_live(slow.before)


@pytest.mark.fault(38)
@pytest.mark.slow
def test_postgres_crashes_before_the_swap(stack):
    """A session that may not be ended holds the swap back, so that the crash comes right before it."""
    stack.backup("a")
    before = stack.state()
    stack.shell(HOLDER.format(user="grafana", password="grafana", seconds=60))
    stack.wait_for(SESSION.format(user="grafana"))
    started = stack.begin("a", mode="swap")
    stack.wait_for("SELECT 1 FROM pg_database WHERE datname = 'mlflow_auth__new_a'")
    time.sleep(2)
    crash(stack)
    result = stack.end(started)
    assert result["phase"] in ("swap", "properties", "compare", "load"), result
    stack.check_live(before)
    assert stack.restore("a", mode="swap")["changed"] is True


def let_go(stack):
    """End the session that holds the swap back: the server would not notice that its client is gone."""
    stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%'")
    stack.shell("while systemctl -q is-active holder; do sleep 0.1; done")


@pytest.fixture(name="held")
def fixture_held(stack):
    """A set with an older artifact than the live store has, and a superuser's session in a live database."""
    stack.shell(f"echo model > {MODEL}")
    stack.backup("a", **COPIES)
    stack.shell(f"echo later-model > {MODEL}")
    stack.write("/run/systemd/system/mlflow-like.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    stack.shell("systemctl daemon-reload; systemctl start mlflow-like")
    stack.before = stack.state()
    stack.shell(PSQL.format(seconds=300))
    stack.wait_for(SESSION.format(user="postgres"))
    yield stack
    let_go(stack)
    # With the timers of what was killed.
    stack.shell(f"echo model > {MODEL}; systemctl stop mlflow-like 'mlops-stack-restore-*.timer'")
    stack.shell("rm /run/systemd/system/mlflow-like.service; systemctl daemon-reload")


def begin_the_swap(stack):
    """Start a forced restore: (it, its process), once it has put the set's artifact in the live one's place."""
    # Whose the session is cannot be known where a unit is still to be stopped.
    started = stack.begin("a", stop_units=["mlflow-like.service"], **FORCED)
    stack.shell(f"for i in $(seq 600); do grep -qx model {MODEL} && exit 0; sleep 0.1; done; exit 1")
    progress = f"{SETS}/restore-progress.json"
    stack.shell(f"""until grep -q '"phase": "swap"' {progress}; do sleep 0.1; done""")
    return started, json.loads(stack.shell(f"cat {progress}"))["pid"]


@pytest.mark.fault(37)
@pytest.mark.slow
def test_a_session_that_stays_keeps_the_live_artifacts(held):
    touched = held.shell(f"stat -c %z {MODEL}")
    result = held.restore("a", **FORCED)
    assert (result["phase"], "Sessions of postgres use the database" in result["msg"]) == ("swap", True), result
    assert "put back" not in result["msg"]
    assert held.shell(f"cat {MODEL}; stat -c %z {MODEL}") == f"later-model\n{touched}"
    held.check_live(held.before)
    result = held.restore("a", stop_units=["mlflow-like.service"], **FORCED)
    assert (result["phase"], "Sessions of postgres use the database" in result["msg"]) == ("swap", True), result
    assert result["msg"].endswith(" The live artifacts that the set's had replaced were put back.")
    assert held.shell(f"cat {MODEL}; systemctl is-active mlflow-like") == "later-model\nactive"
    held.check_live(held.before)
    let_go(held)
    made = held.restore("a", **FORCED)
    assert (made["changed"], made["restored_artifacts"]) == (True, ["1/run/model"])
    assert held.shell(f"cat {MODEL} $(find {SETS}/artifacts/kept -type f)") == "model\nlater-model"


@pytest.mark.fault(37)
@pytest.mark.slow
def test_a_restore_that_is_asked_to_end_at_the_swap_keeps_the_live_artifacts(held):
    started, process = begin_the_swap(held)
    held.shell(f"kill -TERM {process}")
    result = held.end(started)
    assert result["phase"] == "interrupted", result
    assert result["msg"].endswith(" The live artifacts that the set's had replaced were put back.")
    assert held.shell(f"cat {MODEL}; systemctl is-active mlflow-like") == "later-model\nactive"
    held.check_live(held.before)


@pytest.mark.fault(30)
@pytest.mark.slow
def test_a_restore_that_is_killed_at_the_swap_is_ended_by_the_next(held):
    started, process = begin_the_swap(held)
    held.shell(f"kill -9 {process}")
    started.communicate(timeout=60)
    assert held.shell(f"cat {MODEL} {SETS}/artifacts/kept/a/1/run/model") == "model\nlater-model"
    # One that fails does not make it worse.
    result = held.restore("a", **FORCED)
    assert (result["phase"], "put back" in result["msg"]) == ("swap", False), result
    assert held.shell(f"cat {MODEL} {SETS}/artifacts/kept/a/1/run/model") == "model\nlater-model"
    assert held.rows() == 2000
    let_go(held)
    made = held.restore("a", **FORCED)
    assert (made["changed"], made["old_db"]["mlflow"], held.rows()) == (True, "mlflow__old_a", 2000)
    assert held.shell(f"cat {MODEL} $(find {SETS}/artifacts/kept -type f)") == "model\nlater-model"


# Holds the swap back when it has renamed the databases and not yet said whose set they are.
COMMENTS = "LOCK TABLE pg_shdescription IN SHARE MODE; SELECT pg_sleep(60)"
HELD = "SELECT pid FROM pg_locks WHERE relation = 'pg_shdescription'::regclass AND mode = 'ShareLock' AND granted"
AT_THE_SWAP = r"""
exec 3< <(exec tail -n 0 -f /var/log/postgresql/*-main.log)
grep -q -m 1 'COMMENT ON DATABASE "mlflow" IS' <&3
tail=$!
{release} &
{crash}
wait %1 || true; kill $tail
"""
CRASHES = {
    "the module": "kill -9 {module}",
    # As `pg_ctl stop -m immediate` does it, which takes longer to begin.
    "postgres": "kill -QUIT $(head -1 /var/lib/postgresql/*/main/postmaster.pid);"
    " while pgrep -x postgres > /dev/null; do sleep 0.1; done",
}
# Whether the swap may go on, and how many seconds later the crash is, at least and at most.
MOMENTS = {"within": (False, 0, 0.5), "at the end": (True, -0.02, 0.02), "after": (True, 0.02, 0.5)}


@pytest.mark.fault(39)
@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("crash", CRASHES)
def test_a_crash_in_or_after_the_swap(stack, crash, moment, request):
    """At moments by chance, which are the same whenever the test has the same name and number."""
    released, earliest, latest = MOMENTS[moment]
    moment = random.Random(request.node.nodeid).uniform(earliest, latest)
    stack.slow_down(6, "mlflow_auth")
    stack.backup("a")
    stack.sql("DELETE FROM runs WHERE id > 5", "mlflow")
    stack.sql("DELETE FROM runs WHERE id > 3", "mlflow_auth")
    old, new = {"mlflow": 5, "mlflow_auth": 3}, {"mlflow": 2000, "mlflow_auth": 30}
    properties = {name: stack.properties(name) for name in old}
    stack.sql("ALTER ROLE mlops_restore SET log_statement TO 'ddl'")
    try:
        started = stack.begin("a", mode="swap")
        stack.wait_for_loading("mlflow_auth")
        what = CRASHES[crash].format(module=pg_restore(stack)[1])
        stack.shell(f'cd /; systemd-run --unit holder --collect -p User=postgres psql -c "{COMMENTS}"')
        release = f"(sleep {max(-moment, 0)}; kill {stack.wait_for(HELD)})" if released else "true"
        crash = f"sleep {max(moment, 0)}; {what}"
        stack.write("/srv/crash", AT_THE_SWAP.format(release=release, crash=crash))
        stack.shell("bash /srv/crash")
        # PostgreSQL comes back while the module looks after what it made.
        stack.start_again()
        started.communicate(timeout=120)
    finally:
        stack.start_again()
        stack.sql("ALTER ROLE mlops_restore RESET log_statement")
        stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE pg_shdesc%'")
    names = stack.databases()
    live = {name: stack.rows(name) for name in old}
    harm.check_live(live, *([old, new] if released else [old]), when=moment)
    harm.check_live({name: stack.properties(name) for name in old}, properties, when=moment)
    swapped = live == new
    assert [name for name in names if "__old_" in name] == ["mlflow__old_a", "mlflow_auth__old_a"] * swapped
    again = stack.restore("a", mode="swap")
    assert again["changed"] is not swapped, (moment, again)
    assert {name: stack.rows(name) for name in new} == new
    harm.check_live({name: stack.rows(f"{name}__old_a") for name in old}, old)
    assert stack.databases() == ["mlflow", "mlflow__old_a", "mlflow_auth", "mlflow_auth__old_a"]
    assert stack.restore("a", mode="swap")["changed"] is False


@pytest.mark.fault(37)
@pytest.mark.slow
def test_sessions_that_may_not_be_ended_keep_the_live_databases(stack):
    stack.backup("a")
    before = stack.state()
    for user, connects in (("grafana", HOLDER), ("postgres", "")):
        if connects:
            stack.shell(connects.format(user=user, password="grafana", seconds=40))
        else:
            stack.shell(PSQL.format(seconds=40))
        stack.wait_for(SESSION.format(user=user))
        result = stack.restore("a", mode="swap")
        assert (result["phase"], f"Sessions of {user} use the database" in result["msg"]) == ("swap", True), result
        stack.check_live(before)
        let_go(stack)
    # With the right to end other roles' sessions, one of grafana's is no obstacle.
    stack.sql("GRANT pg_signal_backend TO mlops_restore")
    stack.shell(HOLDER.format(user="grafana", password="grafana", seconds=40))
    stack.wait_for(SESSION.format(user="grafana"))
    try:
        assert stack.restore("a", mode="swap")["changed"] is True
    finally:
        stack.sql("REVOKE pg_signal_backend FROM mlops_restore")


def test_two_at_a_time(slow):
    slow.shell(f"rm -rf /srv/elsewhere; mkdir /srv/elsewhere; cp -r {SETS}/a /srv/elsewhere")
    started = slow.begin("a")
    slow.wait_for_loading()
    refused = slow.restore("a", source="/srv/elsewhere", force=True)
    assert (refused["phase"], "Another restore to" in refused["msg"]) == ("lock", True)
    # Neither another restore of these sets nor a backup, which may expire them.
    refused = slow.restore("a", force=True, lock_timeout=0)
    assert (refused["phase"], f"works on the sets in {SETS}: " in refused["msg"]) == ("lock", True), refused
    options = {"dest": SETS, "databases": ["mlflow"], "login_host": "127.0.0.1", "login_password": "Bk-2/x:y"}
    refused = slow.node.module("pg_backup", {**options, "lock_timeout": 0})
    assert (refused["phase"], ", restore (process" in refused["msg"]) == ("lock", True), refused
    assert slow.end(started)["changed"] is True


@pytest.mark.fault(36)
def test_the_disk_fills_up(stack):
    """A second cluster on a file system of its own, too small for a second copy."""
    stack.sql("INSERT INTO runs SELECT i, repeat(md5(i::text), 20) FROM generate_series(10000, 160000) i", "mlflow")
    stack.backup("a")
    stack.shell(
        "mkdir -p /srv/small; mount -t tmpfs -o size=150m tmpfs /srv/small; chown postgres /srv/small;"
        " pg_createcluster -d /srv/small/data -p 5440 --locale C.UTF-8 $(ls /var/lib/postgresql) small > /dev/null;"
        " printf '%s\\n' max_wal_size=64MB wal_level=minimal max_wal_senders=0"
        " >> /etc/postgresql/*/small/postgresql.conf;"
        " pg_ctlcluster $(ls /var/lib/postgresql) small start --skip-systemctl-redirect"
    )
    try:
        roles = "CREATE ROLE mlflow LOGIN; CREATE ROLE grafana; CREATE ROLE mlops_backup;"
        stack.sql(f"{roles} CREATE ROLE mlops_restore LOGIN CREATEDB PASSWORD 'Rs-1/x:y' IN ROLE mlflow", port=5440)
        # As PostgreSQL keeps to itself where its files are, the check before does not see this file system.
        stack.sql("CREATE DATABASE mlflow OWNER mlflow; CREATE DATABASE mlflow_auth OWNER mlflow", port=5440)
        stack.sql("SET ROLE mlflow; CREATE TABLE runs AS SELECT 1 AS id", "mlflow", port=5440)
        result = stack.restore("a", mode="swap", login_port=5440)
        assert (result["phase"], "a disk is full" in result["msg"]) == ("load", True), result
        listed = stack.sql("SELECT datname FROM pg_database WHERE datname LIKE 'mlflow%' ORDER BY 1", port=5440)
        harm.check_live(listed.split(), ["mlflow", "mlflow_auth"])
        harm.check_live(stack.sql("SELECT count(*) FROM runs", "mlflow", port=5440), "1")
        stack.sql("GRANT pg_read_all_settings TO mlops_restore", port=5440)
        result = stack.restore("a", mode="swap", login_port=5440)
        assert (result["phase"], "PostgreSQL's file system has" in result["msg"]) == ("plan", True), result
    finally:
        stack.shell(
            "pg_dropcluster --stop $(ls /var/lib/postgresql) small || true; umount -l /srv/small; rmdir /srv/small"
        )
