# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks that jump: a set that should stay is not expired.

A set's time is that of its server, so here the server lives by a clock that the tests set, and the backup by the same
one or by the node's. Stand-in: libfaketime answers them instead of the kernel.
"""

from __future__ import annotations

import datetime
import time

import harm
import pytest

from .conftest import PASSWORD, SMALL

PORT = 5450
CLOCK = "/srv/clock"
LIBRARY = "$(ls /usr/lib/*/faketime/libfaketime.so.1)"
SETTINGS = {
    "FAKETIME_TIMESTAMP_FILE": CLOCK,
    "FAKETIME_NO_CACHE": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "TZ": "Europe/Berlin",
}
ENVIRONMENT = " ".join(f"{name}={value}" for name, value in SETTINGS.items())
PAIRS = ENVIRONMENT.replace("=", " ")
CLUSTER = f"""
version=$(ls /usr/lib/postgresql)
pg_createcluster -p {PORT} $version clock >/dev/null
cd /etc/postgresql/$version/clock
printf "%s = '%s'\\n" LD_PRELOAD "{LIBRARY}" {PAIRS} >environment
echo "timezone = 'Europe/Berlin'" >>postgresql.conf
pg_ctlcluster $version clock start --skip-systemctl-redirect
"""
HOUR = 60
DAY = 24 * HOUR


@pytest.fixture
def clock(host):
    """A server with a clock of its own: a function that makes a backup when it is so late there, and tells its result.

    ``alone``: the backup goes by the node's clock.
    """
    host.shell(f"echo +0 >{CLOCK}; chmod 644 {CLOCK}\n{CLUSTER}")

    def backup(moment, alone=False, **retention):
        host.shell(f"echo {round(moment.timestamp() - time.time()):+d} >{CLOCK}")
        prefix = "" if alone else f"env LD_PRELOAD={LIBRARY} {ENVIRONMENT}"
        options = {"login_port": PORT, "databases": ["mlflow"], "minimum_redundancy": 1}
        result = host.end(host.start(prefix=prefix, **options, retention=retention)).result
        assert abs(datetime.datetime.fromisoformat(result["set"]["created"]) - moment) < datetime.timedelta(minutes=1)
        return result

    try:
        role = f"CREATE ROLE mlflow; CREATE ROLE mlops_backup LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data"
        host.sql(role, port=PORT)
        host.sql("CREATE DATABASE mlflow OWNER mlflow", port=PORT)
        host.sql(f"SET ROLE mlflow;\n{SMALL}", "mlflow", PORT)
        yield backup
    finally:
        host.shell("pg_dropcluster --stop $(ls /usr/lib/postgresql) clock")


# By the minutes around the change: (when, which of the sets before is no longer wanted by then).
# Two of them are in the same local hour of the autumn's day; one is in a day of UTC before its local one, twice.
AROUND = (
    (-25 * HOUR - 30, None),
    (-24 * HOUR, None),
    (-2 * HOUR, None),
    (-45, -24 * HOUR),
    (15, None),
    (22 * HOUR, -45),
)


@pytest.mark.fault(14)
@pytest.mark.slow
@pytest.mark.parametrize("change", ["2026-03-29T01:00:00+00:00", "2026-10-25T01:00:00+00:00"], ids=["March", "October"])
def test_daylight_saving(clock, change):
    made = {}
    for minutes, gone in AROUND:
        moment = datetime.datetime.fromisoformat(change) + datetime.timedelta(minutes=minutes)
        result = clock(moment, keep_last=2, daily=3)
        made[minutes] = result["label"]
        assert result["expired"] == ([made[gone]] if gone else []), minutes
        assert result["warnings"] == []


@pytest.mark.fault(13)
def test_the_clock_of_the_server_goes_back_too(clock):
    noon = datetime.datetime.fromisoformat("2026-06-10T12:00:00+00:00")
    clock(noon, keep_last=2)
    second = clock(noon + datetime.timedelta(hours=1), keep_last=2)["label"]
    early = clock(noon - datetime.timedelta(days=2), keep_last=1)
    assert early["expired"] == []
    expired = clock(noon + datetime.timedelta(hours=2), keep_last=2)["expired"]
    assert (early["label"] in expired, second in expired) == (True, False)


@pytest.mark.fault(13)
def test_only_the_clock_of_the_server_goes_back(clock, host):
    now = datetime.datetime.now(datetime.timezone.utc)
    first = clock(now, alone=True, keep_last=1)
    assert first["warnings"] == []
    early = clock(now - datetime.timedelta(days=2), alone=True, keep_last=1)
    assert early["expired"] == []
    harm.check_sets(set(host.labels), {first["label"], early["label"]})
    assert "is 2880 minutes behind this host's" in early["warnings"][0]
