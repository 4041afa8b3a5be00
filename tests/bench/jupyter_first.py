# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""jupyter_first: a bare node beside a tracking server -> notebooks in a container that has logged a run.

Value: seconds of `ansible-playbook site.yml`, of which the tracking server's part has nothing to do.
Floor: seconds of jupyter_by_hand.sh on a node of the same kind: the same image from the same lock, nothing checked.
Stand-ins: nodes are containers on the control machine; the base image is that of the nodes, from a registry on a node
beside them. Both sides fetch it, and download their packages, anew for every round.
"""

from __future__ import annotations

import shlex
import sys

import harness

UNIT = "s"
GOAL = harness.Goal("<=", 1.25)
ROUNDS = 3
LIMIT = 600
NODE = "gpu"
GROUPS = {"mlflow": ["ml"], "jupyter": [NODE]}
VARIABLES = {"mlflow_server_backend": "sqlite", "mlflow_server_artifacts": "local"}
SCRIPT = str(harness.CLONE / "tests" / "bench" / "jupyter_by_hand.sh")


def measure(_session: harness.Session) -> harness.Measured:
    """Do both on fresh nodes, each of them first in turn, and take medians."""
    with harness.bed("jupyter", VARIABLES) as nodes:
        base = serve_base(nodes)
        nodes.up({"mlflow": GROUPS["mlflow"]})
        deploy(nodes)
        values, floors = harness.alternate(
            ROUNDS,
            lambda _number: on_fresh(nodes, deploy),
            lambda _number: on_fresh(nodes, by_hand, base),
        )
    return harness.Measured(harness.say_rounds("site.yml", values), harness.say_rounds("jupyter_by_hand.sh", floors))


def serve_base(nodes: harness.Bed) -> str:
    """Start a registry with the nodes' own image on a node, let the notebooks be built from it, and return its name."""
    import host
    import image

    nodes.up({"registry": ["registry"]})
    nodes.ssh(
        "registry",
        """
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        apt-get -qq install --no-install-recommends docker-registry skopeo >/dev/null
        # The package's own settings want a password.
        cat >/etc/docker/registry/config.yml <<'CONFIG'
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/docker-registry}}
http: {addr: ":5000"}
CONFIG
        systemctl restart docker-registry
        timeout 20 bash -c 'until (: </dev/tcp/localhost/5000) 2>/dev/null; do sleep 0.1; done'
        """,
    )
    save = shlex.join([*host.docker_prefix(), "save", image.ensure_image("trixie")])
    copy = "skopeo copy --insecure-policy --quiet --dest-tls-verify=false docker-archive:/dev/stdin"
    there = f"ssh -F {shlex.quote(str(nodes.ssh_config))} registry sudo {copy} docker://localhost:5000/base:latest"
    harness.run(["bash", "-euo", "pipefail", "-c", f"{save} | {there}"], limit=LIMIT, what="filling the registry")
    registry = f"{nodes.address('registry')}:5000"
    nodes.variables["jupyter_image_base"] = f"{registry}/base:latest"
    nodes.variables["docker_host_settings"] = f'{{"insecure-registries": ["{registry}"]}}'
    return f"{registry}/base:latest"


def on_fresh(nodes: harness.Bed, way, *arguments: str) -> float:
    """Return the seconds that a way takes on a node that is bare."""
    nodes.up(GROUPS, docker_inside=[NODE])
    try:
        seconds = harness.timed(lambda: way(nodes, *arguments))
    finally:
        down = [sys.executable, "testbed/testbed.py", "down", "--name", nodes.name, "--node", NODE]
        harness.run(down, limit=LIMIT)
    harness.say(f"{way.__name__}: {seconds:.1f} s")
    return seconds


def deploy(nodes: harness.Bed) -> None:
    """Bring Docker and the notebooks up with the collection."""
    harness.playbook("site.yml", nodes.inventory)


def by_hand(nodes: harness.Bed, base: str) -> None:
    """Do the same with the script."""
    harness.run(["bash", SCRIPT, str(nodes.folder), nodes.client()["MLFLOW_TRACKING_URI"], base], limit=LIMIT)
