# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes: a tracking server, and a node with Docker inside on which site.yml builds and runs Jupyter.

Stand-ins: a metadata service on the tracking server's node (support/metadata_service.py), and the testbed's base image
as the base of the notebooks' image, because no registry can be asked here.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import urllib.request

import host
import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack.variables import DEFAULTS
from metadata_service import MetadataService
from site_runs import PROGRAM, Site, bring_up, take_down

TESTBED = "itest-jupyter"
GROUPS = {"mlflow": ["ml"], "jupyter": ["gpu"]}
VARIABLES = {
    "mlflow_server_backend": "sqlite",
    "mlflow_server_artifacts": "local",
    "mlflow_server_workers": 1,
    "jupyter_image_base": "testbed-base:latest",
}
# The tracking server is reached at the address that its node's metadata service tells.
HOSTS = {"mlflow": {"ml": {"common_public_address_sources": ["metadata", "inventory"]}}, "jupyter": {"gpu": {}}}
NAME = "jupyter"
CONFIG = "/etc/mlops-stack/jupyter"
WORKSPACE = "/home/ops/work"


class Notebooks(Site):
    """The stack of both nodes, and the container in one of them."""

    def __init__(self, folder, nodes_file, machines):
        super().__init__(folder, nodes_file, machines)
        self.gpu, self.ml = machines["gpu"], machines["ml"]
        self.metadata = MetadataService(self.ml.shell)

    def deploy(self, *options, variables=None):
        """Run site.yml for both nodes."""
        return self.run(HOSTS, {**VARIABLES, **(variables or {})}, options)

    def container(self, name=NAME):
        """What Docker says of a container."""
        return json.loads(self.gpu.shell(f"docker inspect {name}"))[0]

    def names(self):
        """All containers, whether they run or not."""
        return set(self.gpu.shell("docker ps --all --format '{{.Names}}'").split())

    def inside(self, command, name=NAME):
        """What a command in the container says."""
        return self.gpu.shell(f"docker exec {name} {command}")

    def options(self):
        """The module's options for the container as the role made it."""
        found = self.container()
        uri = dict(text.partition("=")[::2] for text in found["Config"]["Env"])["MLFLOW_TRACKING_URI"]
        return {
            "name": NAME,
            "image": found["Config"]["Image"],
            "pull": "never",
            "user": found["Config"]["User"],
            "tracking_scheme": "http",
            "tracking_host": uri.split("/")[2].rpartition(":")[0],
            "tracking_port": int(uri.rpartition(":")[2]),
            "mlflow_version": DEFAULTS["mlflow"]["mlflow_server_version"],
            "credentials_file": f"{CONFIG}/credentials",
            "token_file": f"{CONFIG}/token",
            "config_dir": f"{CONFIG}/config",
            "workspace": WORKSPACE,
            "shm_size": "2G",
            "probe_timeout": 120,
        }

    def call(self, options=None, **changes):
        """The result of the module with the role's options, some of them changed."""
        given = {**(options or self.options()), **changes}
        options = {name: value for name, value in given.items() if value is not None}
        program = pathlib.Path(sys.executable).parent / "ansible"
        argv = [program, "-i", self.nodes_file, "gpu", "--become", "-m", "mlops.stack.jupyter_client"]
        done = subprocess.run(
            [*argv, "-a", json.dumps(options)],
            cwd=host.CLONE,
            env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert "=> {" in done.stdout, done.stdout + done.stderr
        # A command line says so before the result, and not in it.
        failed = "FAILED!" in done.stdout.partition("=> {")[0]
        return {"failed": failed, **json.loads("{" + done.stdout.partition("=> {")[2])}

    def runs(self):
        """The runs of the experiment Default that are not deleted, as the server tells its ordinary user."""
        password = (self.secrets / "mlflow_client_password").read_text().strip()
        login = base64.b64encode(f"researcher:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://{self.ml.address}:5000/api/2.0/mlflow/runs/search",
            json.dumps({"experiment_ids": ["0"], "max_results": 1000}).encode(),
            {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return {run["info"]["run_id"] for run in json.load(answer).get("runs", [])}

    def notebooks(self):
        """The hashes of all files in the workspace."""
        listing = self.gpu.shell(f"find {WORKSPACE} -type f -exec sha256sum {{}} + | sort")
        return hashlib.sha256(listing.encode()).hexdigest()

    @contextlib.contextmanager
    def kept(self):
        """Whatever is done here, the same container runs afterwards, with the same notebooks, and no run is lost."""
        before, files, runs = self.container()["Id"], self.notebooks(), self.runs()
        yield
        after = self.container()
        assert (after["Id"], after["State"]["Running"]) == (before, True)
        assert self.names() == {NAME}
        assert self.notebooks() == files
        assert runs
        assert runs <= self.runs()


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory, request):
    """Both nodes, deployed; the outcomes of the first runs are kept for tests to look at."""
    folder = tmp_path_factory.mktemp("jupyter")
    machines = bring_up(
        TESTBED, folder / "hosts.yml", {"gpu": ("trixie", []), "ml": ("trixie", [])}, ["--docker-inside", "gpu"]
    )
    request.addfinalizer(lambda: take_down(TESTBED, machines))
    found = Notebooks(folder, folder / "hosts.yml", machines)
    found.metadata.start(machines["ml"].address)
    found.checked = found.deploy("--check", "--diff")
    docker = found.deploy("--tags", "docker")
    assert docker.status == 0, docker.failures
    subprocess.run([*PROGRAM, "load-image", "--name", TESTBED, "--node", "gpu"], check=True, timeout=300)
    found.first = found.deploy()
    assert found.first.status == 0, found.first.failures
    found.inside("python3 first_run.py")
    return found
