# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that restarts while it is deployed to, twice: the next run converges, and the one after changes nothing.

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
    # Its address may be another one now.
    site.machines = bring_up(TESTBED, site.nodes_file, {"late": ("trixie", [])})
    return running, deploying.result()


def while_packages_are_unpacked(machine):
    machine.shell("until pgrep -x dpkg >/dev/null; do sleep 0.05; done; sleep 1")


@pytest.mark.fault(54)
@pytest.mark.slow
def test_a_restart_in_the_midst_of_a_deployment(restarted, request):
    running, done = restart_during(restarted, while_packages_are_unpacked)
    assert running
    assert done.returncode != 0
    moment = random.Random(request.node.name).uniform(2, LONGEST)
    restart_during(restarted, lambda _machine: time.sleep(moment))
    third = restarted.run(GROUPS)
    assert third.status == 0, f"after a restart at {moment} s:\n{third.output}"
    fourth = restarted.run(GROUPS)
    assert (fourth.status, fourth.changed) == (0, {"localhost": 0, "late": 0}), fourth.output
