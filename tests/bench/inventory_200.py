# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""inventory_200: the inventory of a lease with 200 servers, read and grouped.

Value: seconds of the whole command `ansible-inventory --list` with inventories/chameleon.
Floor: the same with a file that names the plugin, the cloud and the filter, and nothing else: no groups, no variables.
Stand-in: a cloud on the loopback that gives recorded answers, with one of its servers 199 times.
"""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile

import harness

sys.path.insert(0, str(harness.CLONE / "tests" / "support"))

UNIT = "s"
GOAL = harness.Goal("<=", 1.2)
ROUNDS = 5
COUNT = 200
OURS = harness.CLONE / "inventories" / "chameleon"
PLUGIN = """\
---
plugin: openstack.cloud.openstack
only_clouds: [openstack]
server_filters: {tags: mlops}
expand_hostvars: true
fail_on_errors: true
legacy_groups: false
"""


def measure(_session: harness.Session) -> harness.Measured:
    """Read both in turn and take medians."""
    import recorded_cloud

    cloud = recorded_cloud.RecordedCloud.load()
    for number in range(len(cloud.servers) + 1, COUNT + 1):
        cloud.add(f"mlops-{number}")
    harness.WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=harness.WORK) as folder, cloud.serve():
        clouds, bare = pathlib.Path(folder) / "clouds.yaml", pathlib.Path(folder) / "openstack.yaml"
        cloud.write_clouds(clouds)
        bare.write_text(PLUGIN, encoding="utf-8")
        # Not timed: what the first run compiles.
        grouped, plain = read(OURS, clouds), read(bare, clouds)
        if (len(grouped["chameleon"]["hosts"]), len(grouped["jupyter"]["hosts"])) != (COUNT, COUNT):
            raise harness.BenchError(f"The inventory has not grouped {COUNT} servers.")
        if len(plain["_meta"]["hostvars"]) != COUNT:
            raise harness.BenchError(f"The plugin has not read {COUNT} servers.")
        values, floors = harness.alternate(
            ROUNDS,
            lambda _number: harness.timed(lambda: read(OURS, clouds)),
            lambda _number: harness.timed(lambda: read(bare, clouds)),
        )
    return harness.compared((f"{COUNT} servers, grouped", values), ("the plugin alone", floors), UNIT)


def read(inventory: pathlib.Path, clouds: pathlib.Path) -> dict:
    """Return what an inventory says."""
    argv = [str(harness.BIN / "ansible-inventory"), "-i", str(inventory), "--list"]
    return json.loads(harness.run(argv, limit=120, env={"OS_CLIENT_CONFIG_FILE": str(clouds)}))
