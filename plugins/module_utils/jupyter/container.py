# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Docker is asked for: the arguments of community.docker's container module. Nothing here asks Docker."""

from __future__ import annotations

import re

from ansible_collections.mlops.stack.plugins.module_utils.jupyter import files
from ansible_collections.mlops.stack.plugins.module_utils.stack.addresses import url_host

#: The port that Jupyter listens on inside the container.
PORT_INSIDE = 8888
#: Where the container finds what the host hands in.
TOKEN = "/run/mlops-stack/token"
CA_CERT = "/run/mlops-stack/ca.crt"
CONFIG = "/run/mlops-stack/config"
TRACKING_URI = "MLFLOW_TRACKING_URI"
LABEL = "mlops.stack.service"
#: Options whose difference makes a new container; what Docker or the image adds by itself is never allowed to stay.
STRICT = ("env", "device_requests", "devices", "groups", "published_ports", "volumes")
SECRET_NAME = re.compile(r"(^|_)(PASSWORD|SECRET|TOKEN|CREDENTIALS?|PRIVATE|KEY)(_|$)", re.IGNORECASE)
NVIDIA = [{"driver": "", "count": -1, "capabilities": [["gpu"]]}]
AMD = ["/dev/kfd:/dev/kfd:rwm", "/dev/dri:/dev/dri:rwm"]


def problems(options):
    """Sentences about options that cannot be carried out, found before Docker is asked for anything."""
    found = []
    for name in sorted(options["env"]):
        if SECRET_NAME.search(name):
            found.append(
                "env.%s: `docker inspect` shows a container's environment to whoever may use Docker: hand secrets in "
                "by credentials_file or token_file." % name
            )
    if TRACKING_URI in options["env"]:
        found.append(
            "env.%s: is composed of tracking_scheme, tracking_host and tracking_port: set these." % TRACKING_URI
        )
    for name, path in files.paths(options).items():
        if ":" in path:
            found.append("%s: %r has a colon, with which Docker cannot mount it: use another path." % (name, path))
    if options["gpus"] == "amd" and not options["gpu_groups"]:
        found.append("gpu_groups: AMD's devices belong to the host's groups video and render: give their numbers.")
    return found


def tracking_uri(options, host):
    """The address of the tracking server as a client writes it."""
    return "%s://%s:%d" % (options["tracking_scheme"], url_host(host), options["tracking_port"])


def environment(options, uri):
    """The variables that the container gets besides those of its image."""
    own = {"HOME": options["home"], TRACKING_URI: uri}
    if options["ca_cert"]:
        own["MLFLOW_TRACKING_SERVER_CERT_PATH"] = CA_CERT
    if options["config_dir"]:
        own["JUPYTER_CONFIG_PATH"] = CONFIG
    return {**own, **{name: str(value) for name, value in options["env"].items()}}


def volumes(options):
    """What is mounted: the workspace to write, files that the host hands in to read, and the caller's own."""
    home = options["home"]
    handed_in = (
        (options["token_file"], TOKEN),
        (options["credentials_file"], home + "/.mlflow/credentials"),
        (options["ca_cert"], CA_CERT),
        (options["config_dir"], CONFIG),
    )
    found = ["%s:%s/work:rw" % (options["workspace"], home)] if options["workspace"] else []
    found += ["%s:%s:ro" % (source, target) for source, target in handed_in if source]
    return found + list(options["volumes"])


def arguments(options, uri):
    """The arguments of community.docker.docker_container."""
    found = {
        "name": options["name"],
        "state": "started",
        "image": options["image"],
        "pull": "never" if options["pull"] == "never" else "missing",
        "env": environment(options, uri),
        "volumes": volumes(options),
        "published_ports": ["%s:%d:%d" % (url_host(options["bind"]), options["port"], PORT_INSIDE)],
        "restart_policy": "unless-stopped",
        "shm_size": options["shm_size"],
        "init": True,
        "cap_drop": ["ALL"],
        "security_opts": ["no-new-privileges:true"],
        "device_requests": NVIDIA if options["gpus"] == "nvidia" else [],
        "devices": AMD if options["gpus"] == "amd" else [],
        "groups": [str(number) for number in options["gpu_groups"]] if options["gpus"] == "amd" else [],
        "labels": {LABEL: "jupyter"},
        "comparisons": dict.fromkeys(STRICT, "strict"),
    }
    for name in ("command", "user"):
        if options[name]:
            found[name] = options[name]
    return found
