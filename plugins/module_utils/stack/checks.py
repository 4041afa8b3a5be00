# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with an inventory or a host, found before anything is changed.

Every check returns sentences for a person: each names the variable or the host, and what to do.
"""

from __future__ import annotations

import re

from ansible_collections.mlops.stack.plugins.module_utils.archive import configuration
from ansible_collections.mlops.stack.plugins.module_utils.stack import addresses, postgres
from ansible_collections.mlops.stack.plugins.module_utils.stack import variables as v

MINIMUM_SECRET_LENGTH = 12

#: Names of the secrets the stack uses; each is a file in the inventory's secrets folder or a key of common_secrets.
SECRET_NAMES = (
    "database_password",
    "database_backup_password",
    "database_restore_password",
    "database_archive_passphrase",
    "s3_admin_secret_key",
    "s3_mlflow_secret_key",
    "s3_backup_secret_key",
    "seaweedfs_jwt_key",
    "mlflow_admin_password",
    "mlflow_client_password",
    "mlflow_session_key",
    "mlflow_encryption_passphrase",
    "jupyter_token",
)

#: The secrets without which nobody can go on with a service that runs; each is made before the service first starts.
SERVICE_SECRETS = {
    "postgres": ("database_password",),
    "seaweedfs": ("s3_admin_secret_key", "s3_mlflow_secret_key", "seaweedfs_jwt_key"),
    "mlflow": ("mlflow_encryption_passphrase",),
    "authentication": ("mlflow_admin_password", "mlflow_session_key"),
    "archive": ("database_archive_passphrase",),
}

BACKENDS = ("postgresql", "sqlite")
ARTIFACTS = ("s3", "local")
LARGEST_PORT = 65535

_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
_DATABASE_NAME = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")


def bucket_name(name):
    """Sentences about a bucket name that S3 does not allow (none when it does)."""
    text = str(name)
    if not _BUCKET.match(text) or ".." in text or addresses.parse_ip(text) is not None:
        return [
            "mlflow_server_bucket: %r is not a bucket name that S3 allows: use 3 to 63 lower-case letters, digits "
            "and hyphens, beginning and ending with a letter or digit." % text
        ]
    return []


def secret(name, value):
    """Sentences about a secret that cannot be used (none when it can)."""
    if name not in SECRET_NAMES:
        return ["common_secrets: %r is no secret of the stack: use one of %s." % (name, ", ".join(SECRET_NAMES))]
    if not isinstance(value, str):
        return ["common_secrets.%s: must be text: put it in quotes." % name]
    if len(value) < MINIMUM_SECRET_LENGTH:
        return [
            "common_secrets.%s: has %d characters, at least %d are needed: choose a longer one, or leave it out to "
            "have one generated." % (name, len(value), MINIMUM_SECRET_LENGTH)
        ]
    if name.startswith("mlflow_") and not value.isascii():
        return [
            "common_secrets.%s: has a character outside ASCII, with which MLflow cannot transfer artifacts: use "
            "letters, digits and ASCII punctuation." % name
        ]
    if not value.isprintable():
        return ["common_secrets.%s: has a line break or another control character: remove it." % name]
    return []


def settings(values):
    """Sentences about stack-wide variables that no service could run with."""
    problems = []
    for name in ("mlflow_server_database", "mlflow_server_database_user"):
        if not _DATABASE_NAME.match(str(values[name])):
            problems.append(
                "%s: %r is not usable as a PostgreSQL name: use up to 63 lower-case letters, digits and underscores, "
                "beginning with a letter." % (name, values[name])
            )
    if values["mlflow_server_backend"] not in BACKENDS:
        problems.append(
            "mlflow_server_backend: %r is unknown: use one of %s."
            % (values["mlflow_server_backend"], ", ".join(BACKENDS))
        )
    if values["mlflow_server_artifacts"] not in ARTIFACTS:
        problems.append(
            "mlflow_server_artifacts: %r is unknown: use one of %s."
            % (values["mlflow_server_artifacts"], ", ".join(ARTIFACTS))
        )
    problems += ports(values)
    for entry in values["postgres_client_networks"]:
        try:
            addresses.network(entry)
        except ValueError as error:
            problems.append("postgres_client_networks: %s: write it as 192.0.2.0/24 or 192.0.2.7." % error)
    if not re.match(r"^[0-9]{3}$", str(values["seaweedfs_cluster_replication"])):
        problems.append(
            "seaweedfs_cluster_replication: %r is not a placement: use three digits in quotes, such as '000'."
            % values["seaweedfs_cluster_replication"]
        )
    return problems + postgres.settings(values) + bucket_name(values["mlflow_server_bucket"])


def ports(values):
    """Sentences about ports that are out of range or used twice (SeaweedFS opens a gRPC port for each of its own)."""
    problems, users = [], {}
    for name in sorted(name for name in values if name.endswith("_port")):
        wanted = [values[name]]
        if name.startswith("seaweedfs_"):
            wanted.append(values[name] + v.SEAWEEDFS_GRPC_OFFSET)
        for port in wanted:
            if not 0 < port <= LARGEST_PORT:
                problems.append("%s: %d: port %d does not exist: choose a smaller one." % (name, values[name], port))
            elif port in users:
                problems.append("%s: port %d is also taken by %s: choose another." % (name, port, users[port]))
            users.setdefault(port, name)
    return problems


def groups(members, names, backend, artifacts):
    """Sentences about groups that are missing, empty, or contradict the chosen backend.

    :param members: host names by service (``postgres``, ``seaweedfs``, ``mlflow``).
    :param names: what the inventory calls the service's group.
    :param backend: mlflow_server_backend.
    :param artifacts: mlflow_server_artifacts.
    """
    problems = []
    needed = {
        "mlflow": "the tracking server",
        "postgres": "mlflow_server_backend: postgresql" if backend == "postgresql" else None,
        "seaweedfs": "mlflow_server_artifacts: s3" if artifacts == "s3" else None,
    }
    for service, reason in needed.items():
        if reason and not members[service]:
            problems.append(
                "The inventory's group %r is missing or empty, and %s needs it: add a host to it."
                % (names[service], reason)
            )
    if backend == "sqlite" and members["postgres"]:
        problems.append(
            "Two backends at once: mlflow_server_backend is sqlite, and the inventory's group %r has hosts: "
            "use mlflow_server_backend: postgresql, or empty the group." % names["postgres"]
        )
    if artifacts == "local" and members["seaweedfs"]:
        problems.append(
            "Two artifact stores at once: mlflow_server_artifacts is local, and the inventory's group %r has hosts: "
            "use mlflow_server_artifacts: s3, or empty the group." % names["seaweedfs"]
        )
    for service in ("postgres", "seaweedfs"):
        if len(members[service]) > 1:
            problems.append(
                "The inventory's group %r has %d hosts, and this release runs one: leave one host in it."
                % (names[service], len(members[service]))
            )
    if len(members["mlflow"]) > 1 and (backend == "sqlite" or artifacts == "local"):
        problems.append(
            "The inventory's group %r has %d hosts, which cannot share a sqlite database or a local folder: use "
            "mlflow_server_backend: postgresql and mlflow_server_artifacts: s3, or leave one host in it."
            % (names["mlflow"], len(members["mlflow"]))
        )
    return problems


def replication(placement, group_name, volume_servers):
    """Sentences about a placement that asks for more copies than there are volume servers to hold them.

    Each digit counts *extra* copies: on other data centres, on other racks, on other servers of the same rack.
    """
    copies = 1 + sum(int(digit) for digit in placement)
    if volume_servers and copies > volume_servers:
        return [
            "seaweedfs_cluster_replication: %r asks for %d copies, and the inventory's group %r has %d host(s) to "
            "hold them: use '000', or add hosts." % (placement, copies, group_name, volume_servers)
        ]
    return []


def left_out(hosts, tracking_servers):
    """Sentences about hosts that this run does not look at (``--limit``) and about which the others have to know.

    What such a host would have told is not guessed: another address or another number of connections would lock out
    the hosts that run.
    """
    problems = []
    for name, entry in hosts.items():
        needed = ["common_private_address"] + (["mlflow_server_workers"] if name in tracking_servers else [])
        missing = [variable for variable in needed if entry["variables"].get(variable) is None]
        if entry["facts"] is None and missing:
            problems.append(
                "%s is left out of this run, and the others need to know about it: run without --limit, or set %s "
                "on it." % (name, " and ".join(missing))
            )
    return problems


def lost_secrets(directory, present, services):
    """Sentences about a running stack whose secrets are not here: new ones would lock everybody out.

    :param directory: the folder of secrets on this control machine.
    :param present: names of the secrets that are there or set by the inventory.
    :param services: services that are up; ``authentication`` and an encrypted ``archive`` count as one each.
    """
    missing = [name for service in services for name in SERVICE_SECRETS[service] if name not in present]
    if not missing:
        return []
    return [
        "The stack runs already, and its secrets %s are not in %s: copy that folder from the machine that made them, "
        "or set them in common_secrets.%s"
        % (
            ", ".join(missing),
            directory,
            " The archive's passphrase is in %s on the host of PostgreSQL." % configuration.FILE
            if "archive" in services and SERVICE_SECRETS["archive"][0] in missing
            else "",
        )
    ]


def no_public_address(hosts):
    """Sentences about hosts whose sources of an address for clients have none."""
    return [
        "%s has no address for its clients: %s. Set common_public_address on it, or name another source in "
        "common_public_address_sources." % (name, "; ".join(entry["facts"]["public"]["passed_over"]))
        for name, entry in hosts.items()
        if entry["facts"] and entry["facts"].get("public") and not entry["facts"]["public"]["address"]
    ]


def same_address(private_by_host):
    """Sentences about two hosts that claim one private address (their services would answer for each other)."""
    owners, problems = {}, []
    for host, address in private_by_host.items():
        if address in owners:
            problems.append(
                "%s and %s have the same private address %s: set common_private_address on one of them."
                % (owners[address], host, address)
            )
        owners.setdefault(address, host)
    return problems


def host(name, facts, services, needed_memory_mb, minimum_disk):
    """Sentences about one machine that cannot carry what the inventory puts on it.

    :param name: the host's inventory name.
    :param facts: what ``host_facts`` read there.
    :param services: services of this host.
    :param needed_memory_mb: the memory the plan needs there.
    :param minimum_disk: MiB needed for what is not installed yet, by what a path is for.
    """
    problems = []
    system = facts["os"]
    if system.get("version_id") not in v.SUPPORTED_OS.get(system.get("id"), ()):
        problems.append(
            "%s runs %s: use Debian 12 or 13, or Ubuntu 22.04 or 24.04."
            % (name, system.get("name") or system.get("id") or "an unknown system")
        )
    if tuple(int(part) for part in facts["python"].split(".")[:2]) < v.MINIMUM_PYTHON:
        problems.append(
            "%s has Python %s: MLflow needs %s or newer; set ansible_python_interpreter to one."
            % (name, facts["python"], ".".join(map(str, v.MINIMUM_PYTHON)))
        )
    if facts["memory_mb"] < needed_memory_mb:
        problems.append(
            "%s has %d MiB of memory, and %s there need %d MiB: use a larger machine, fewer "
            "mlflow_server_workers, or move a service to another host."
            % (name, facts["memory_mb"], " + ".join(services), needed_memory_mb)
        )
    return problems + disks(name, facts["disks"], minimum_disk)


def disks(name, found, minimum):
    """Sentences about file systems that are too small for all that is to lie on them.

    :param found: ``path``, ``device`` and ``free_mb``, by what a path is for.
    :param minimum: MiB needed, by what a path is for.
    """
    problems, devices = [], {}
    for purpose, needed in minimum.items():
        if purpose in found:
            devices.setdefault(found[purpose]["device"], []).append((found[purpose], needed))
    for places in devices.values():
        free, needed = min(place["free_mb"] for place, _needed in places), sum(amount for _place, amount in places)
        if free < needed:
            *others, last = dict.fromkeys(place["path"] for place, _needed in places)
            where = "%s and %s, which share a file system," % (", ".join(others), last) if others else last + ","
            problems.append(
                "%s has %d MiB free at %s and the installation needs %d MiB: free some space or mount a larger disk."
                % (name, free, where, needed)
            )
    return problems


def belongs_to(listener, service, strangers=()):
    """Whether a listening socket is that service's own; ``strangers`` are units of others that look like it."""
    if listener.get("unit"):
        return listener["unit"].startswith(v.SERVICE_UNITS[service]) and listener["unit"] not in strangers
    return listener.get("pid") is None and listener.get("user") == v.SERVICE_ACCOUNTS[service]


def occupied_ports(name, listeners, wanted, strangers=()):
    """Sentences about ports that some other program already holds.

    :param listeners: list of dicts with ``port``, ``process``, ``pid``, ``unit`` and ``user``.
    :param wanted: dict of port to (variable, service that may hold it).
    :param strangers: units that are named like the stack's and are not.
    """
    problems = []
    for listener in sorted(listeners, key=lambda entry: entry["port"]):
        variable, service = wanted.pop(listener["port"], (None, None))
        if variable is None or belongs_to(listener, service, strangers):
            continue
        holder = listener.get("process") or "a process of %s" % (listener.get("user") or "an unknown account")
        if listener.get("pid"):
            holder += " (process %s)" % listener["pid"]
        problems.append(
            "%s: port %d is held by %s: stop it, or set %s to a free port." % (name, listener["port"], holder, variable)
        )
    return problems


def unreachable(name, results):
    """Sentences about places a host has to reach and cannot.

    :param results: the ``results`` of the ``reachable`` module.
    """
    return [
        "%s cannot reach %s (%s): check routes, firewall and proxy settings." % (name, entry["name"], entry["reason"])
        for entry in results
        if not entry["ok"]
    ]
