# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that restarts while it is deployed to, four times: the next run converges, the one after changes nothing.

Stand-in for a restart: all processes of the node's container are killed at once, and the container is started again.
"""

from __future__ import annotations

import concurrent.futures
import random
import time

import host
import pytest
from site_runs import Site, bring_up, take_down

from .conftest import TESTBED

GROUPS = {"postgres": ["late"], "seaweedfs": ["late"], "mlflow": ["late"]}
# A deployment to a machine that has all packages takes about so many seconds.
LONGEST = 20
BOOTED = """
for i in $(seq 300); do
  case $(systemctl is-system-running) in running | degraded) break ;; esac
  sleep 0.1
done
failed=$(systemctl list-units --failed --plain --no-legend)
echo "$failed" | grep -v -e '^postgresql@' -e '^$' && exit 1
systemctl reset-failed
"""


@pytest.fixture
def restarted(tmp_path):
    machines = bring_up(TESTBED, tmp_path / "hosts.yml", {"late": ("trixie", [])})
    yield Site(tmp_path, tmp_path / "hosts.yml", machines)
    take_down(TESTBED, machines)


def restart_during(site, wait):
    """Restart the machine in the midst of site.yml: as soon as ``wait`` returns."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        deploying = pool.submit(site.play, GROUPS)
        wait(site.machines["late"])
        running = not deploying.done()
        host.docker("kill", site.machines["late"].id)
    host.docker("start", site.machines["late"].id)
    # A service that was interrupted may fail at boot; all others have to come up.
    site.machines["late"].shell(BOOTED)
    # Its address may be another one now.
    site.machines = bring_up(TESTBED, site.nodes_file, {"late": ("trixie", [])})
    return running, deploying.result()


def while_packages_are_unpacked(machine):
    until(machine, "pgrep -x dpkg >/dev/null", "sleep 1")


def while_postgres_initialises_its_files(machine):
    until(machine, "pgrep -x initdb >/dev/null", "sleep 0.2")


def while_postgres_is_configured(machine):
    """Its package has made postgresql.conf, and hardly begun to write into it: it is stopped there until the end."""
    # The brackets keep pgrep from finding the script that asks.
    until(machine, "[ -e /etc/postgresql/17/main/postgresql.conf ]", "kill -STOP $(pgrep -f '[b]in/pg_createcluster')")


def until(machine, test, then):
    machine.shell(f"for i in $(seq 9000); do if {test}; then {then}; exit; fi; sleep 0.01; done; exit 1")


@pytest.mark.fault(54)
@pytest.mark.slow
def test_restarts_in_the_midst_of_a_deployment(restarted, request):
    for wait in (while_packages_are_unpacked, while_postgres_initialises_its_files, while_postgres_is_configured):
        running, done = restart_during(restarted, wait)
        assert running, wait.__name__
        assert done.returncode != 0
    moment = random.Random(request.node.name).uniform(2, LONGEST)
    restart_during(restarted, lambda _machine: time.sleep(moment))
    converging = restarted.run(GROUPS)
    assert converging.status == 0, f"after a restart at {moment} s:\n{converging.output}"
    # What was half made is out of the way, and is not deleted.
    assert len(restarted.machines["late"].shell("ls -d /var/lib/postgresql/17/main.cut-off-*").split()) >= 2
    again = restarted.run(GROUPS)
    assert (again.status, again.changed) == (0, {"localhost": 0, "late": 0}), again.output
