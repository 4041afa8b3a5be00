# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One plan for the whole stack, computed from the inventory and from what was read on each host."""

from __future__ import annotations

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.mlops.stack.plugins.module_utils.stack import (
    addresses,
    backup,
    budget,
    checks,
    docker,
    firewall,
    jupyter,
    postgres,
)
from ansible_collections.mlops.stack.plugins.module_utils.stack import variables as v

SERVICES = ("postgres", "seaweedfs", "mlflow")


def effective(groups, hosts):
    """The cross-service variables in force: the inventory's where it sets one, else the default.

    :param groups: host names by service.
    :param hosts: ``{"variables": ..., "facts": ...}`` by host name.
    :returns: ``(values, problems)``; a value that cannot be read is replaced by the default, and is a problem.
    """
    values, problems = {}, []
    for service, defaults in v.DEFAULTS.items():
        # A service that has no host still has a port; a stack-wide variable is then read from any host.
        owners = groups[service] or sorted(hosts)
        given = hosts[owners[0]]["variables"] if owners else {}
        for name, default in defaults.items():
            values[name], problem = read_value(name, given.get(name), default)
            problems += problem
    for name in ("seaweedfs_cluster_replication", "postgres_version", "mlflow_server_version"):
        values[name] = None if values[name] is None else str(values[name])
    return values, problems


def read_value(name, given, default):
    """A variable as the default's type, and sentences about one that cannot be read so.

    Extra variables and INI inventories give every value as text.
    """
    if given is None:
        return default, []
    try:
        if isinstance(default, bool):
            return boolean(given), []
        if isinstance(default, int):
            return int(given), []
    except (TypeError, ValueError):
        kind = "true or false" if isinstance(default, bool) else "a whole number"
        return default, ["%s: %r is not %s: correct it." % (name, given, kind)]
    return given, []


def services_of(host, groups):
    """The services a host carries, in the order they are brought up."""
    return [service for service in SERVICES if host in groups[service]]


def is_up(facts, service):
    """Whether a service of the stack was listening when the host was looked at."""
    strangers = postgres.strangers(facts["clusters"])
    return any(checks.belongs_to(entry, service, strangers) for entry in facts["listeners"])


def services_up(groups, hosts):
    """The services that were up on some host when it was looked at; ``authentication`` is a part of MLflow's.

    An encrypted ``archive`` of PostgreSQL counts whether anything is up or not: its host may hold the only passphrase.
    """
    found = [
        service
        for service in SERVICES
        if any(hosts[host]["facts"] and is_up(hosts[host]["facts"], service) for host in groups[service])
    ]
    values, _problems = effective(groups, hosts)
    if "mlflow" in found and values["mlflow_server_authentication"]:
        found.append("authentication")
    if any(hosts[host]["facts"] and hosts[host]["facts"]["archive"]["encrypted"] for host in groups["postgres"]):
        found.append("archive")
    return found


def wanted_ports(services, values):
    """Ports a host must have free for its services, with the variable to change and the service that may hold them."""
    wanted = {}
    for service in services:
        for name in v.DEFAULTS[service]:
            if name.endswith("_port"):
                wanted[values[name]] = (name, service)
                if service == "seaweedfs":
                    wanted[values[name] + v.SEAWEEDFS_GRPC_OFFSET] = (name, service)
    return wanted


def disk_needed(missing, values):
    """MiB that a host needs for the services that are not up on it yet, by what a path is for."""
    needed = {}
    for service in missing:
        for purpose, amount in v.DISK_NEEDED[service].items():
            needed[purpose] = needed.get(purpose, 0) + amount
    if "mlflow" in missing and (
        values["mlflow_server_backend"] == "sqlite" or values["mlflow_server_artifacts"] == "local"
    ):
        needed.update(v.DISK_LOCAL)
    return needed


def target(label, peer):
    """A service of the stack as the module ``reachable`` takes it."""
    where = (label, peer["inventory_host"], addresses.url_host(peer["host"]), peer["port"])
    return {"name": "%s of %s at %s:%d" % where, "host": peer["host"], "port": peer["port"]}


def probes(host, missing, stack, closed):
    """What a host must be able to reach for the services that are not up on it yet.

    :param closed: hosts that cannot be asked before their firewalls know all others.
    :returns: dict with ``targets`` (for the ``reachable`` module), ``apt`` and ``index`` (whether packages have to be
        fetched from the distribution and from a Python package index), and those services themselves as ``missing``.
    """
    targets = []
    if {"mlflow", "backup"} & set(missing):
        for service, label in (("postgres", "PostgreSQL"), ("s3", "the S3 gateway")):
            peer = stack[service]
            if peer["host"] and peer["inventory_host"] not in (host, *closed):
                targets.append(target(label, peer))
    if "jupyter" in missing and stack["mlflow"]["inventory_host"] not in (host, *closed):
        targets.append(target("MLflow", stack["mlflow"]))
    return {
        "targets": targets,
        "apt": bool(missing),
        "index": bool({"seaweedfs", "mlflow", "backup", "jupyter"} & set(missing)),
        "missing": missing,
    }


def make(groups, group_names, hosts, secrets):
    """The plan of the whole stack.

    :param groups: host names by service.
    :param group_names: what the inventory calls each service's group.
    :param hosts: by host name, ``variables`` (inventory variables) and ``facts`` (``host_facts``, or None for a host
        left out of this run).
    :param secrets: the inventory's ``common_secrets``.
    :returns: ``(stack, problems)``; ``stack`` is None when the inventory itself is at fault.
    """
    everybody = hosts
    hosts = docker.planned(groups, hosts)
    values, problems = effective(groups, hosts)
    problems += checks.settings(values)
    notebooks, unusable = docker.wanted(groups.get("jupyter", ()), hosts)
    problems += unusable
    problems += checks.groups(groups, group_names, values["mlflow_server_backend"], values["mlflow_server_artifacts"])
    problems += backup.group(groups["backup"], group_names["backup"], values["mlflow_server_backend"])
    for name in groups["backup"]:
        problems += backup.artifacts(name, hosts[name]["variables"], values["mlflow_server_artifacts"])
        problems += backup.failure_command(hosts[name]["variables"])
    for name, value in secrets.items():
        problems += checks.secret(name, value)
    problems += checks.left_out(hosts, groups["mlflow"])
    if not problems:
        problems += checks.replication(
            values["seaweedfs_cluster_replication"], group_names["seaweedfs"], len(groups["seaweedfs"])
        )
    reached = {name: addresses.of_host(name, entry["variables"], entry["facts"]) for name, entry in hosts.items()}
    for name, where in reached.items():
        if where["private"] is None:
            problems.append(
                "%s has no address that the other hosts could use: set common_private_address on it." % name
            )
    problems += checks.no_public_address(hosts)
    problems += checks.same_address(
        {name: where["private"] for name, where in reached.items() if where["private"] is not None}
    )
    if problems:
        return None, problems

    workers = {name: workers_of(hosts[name]) for name in groups["mlflow"]}
    stack = compose(groups, values, reached, workers)
    stack["docker"] = notebooks
    stack["firewall"] = {
        "peers": firewall.peers(hosts, reached),
        # Who was not looked at is not locked out.
        "knows_all": all(entry["facts"] is not None for entry in everybody.values()),
        "hosts": {},
    }
    # Their rules may not know a new host yet, which is let in before it needs them.
    closed = [name for name, entry in hosts.items() if firewall.enabled(name, entry["variables"])[0]]
    for name, entry in hosts.items():
        if entry["facts"] is None:
            continue
        services = services_of(name, groups)
        needed = budget.memory_needed(services, workers.get(name, 0))
        missing = missing_parts(name, entry["facts"], groups, notebooks, closed)
        problems += checks.host(name, entry["facts"], services, needed, disk_needed(missing, values))
        version = postgres.version(values, entry["facts"])
        strangers = postgres.strangers(entry["facts"]["clusters"], version)
        ports = wanted_ports(services, values)
        if name in notebooks:
            stack["jupyter"]["ports"][name], wrong = jupyter.host(name, entry["variables"], entry["facts"], ports)
            problems += wrong
            ports.setdefault(stack["jupyter"]["ports"][name], ("jupyter_port", "jupyter"))
        problems += checks.occupied_ports(name, entry["facts"]["listeners"], ports, strangers)
        stack["probes"][name] = probes(name, missing, stack, closed)
        usual = firewall.usual_ports(
            entry["variables"],
            stack["mlflow"]["port"] if "mlflow" in services else None,
            stack["jupyter"]["ports"].get(name),
        )
        stack["firewall"]["hosts"][name], wrong = firewall.host(
            name, entry["variables"], entry["facts"], reached[name]["private"], usual
        )
        problems += wrong
        if "postgres" in services:
            problems += postgres.problems(name, entry["facts"], version, values["postgres_repository"])
            stack["postgres"]["version"] = version
            others = needed - v.MEMORY_POSTGRES_MB
            stack["postgres"]["settings"] = budget.postgres(
                entry["facts"]["memory_mb"], others, stack["mlflow"]["connections"]
            )
    problems += docker.hosts(notebooks, hosts, {name: where["private"] for name, where in reached.items()})
    for name in groups["backup"]:
        problems += backup.host(name, hosts[name]["facts"], stack["postgres"]["version"], values["postgres_repository"])
    return stack, problems


def missing_parts(name, facts, groups, notebooks, closed):
    """What a host carries and is not up, or not installed, there yet."""
    missing = [service for service in services_of(name, groups) if not is_up(facts, service)]
    if name in groups["backup"] and not backup.is_installed(facts):
        missing.append("backup")
    if name in notebooks and not docker.is_installed(facts, notebooks[name]):
        missing.append("jupyter")
    if name in closed and firewall.PACKAGE not in facts["packages"]:
        missing.append("firewall")
    return missing


def workers_of(entry):
    """MLflow's worker processes on a host: the inventory's number, else one per core."""
    given = entry["variables"].get("mlflow_server_workers")
    return int(given) if given is not None else max(1, entry["facts"]["cpus"])


def compose(groups, values, reached, workers):
    """The published fact: for every service where it listens, where it is reached, and who may reach it."""
    database_host = groups["postgres"][0] if groups["postgres"] else None
    store_host = groups["seaweedfs"][0] if groups["seaweedfs"] else None
    first = groups["mlflow"][0]
    port = values["mlflow_server_port"]

    backup_host = groups["backup"][0] if groups["backup"] else None
    clients = [reached[host]["private"] for host in groups["mlflow"]] + values["postgres_client_networks"]

    def private(host):
        return reached[host]["private"] if host else None

    every_name = []
    for host in groups["mlflow"]:
        every_name += [*reached[host]["names"], reached[host]["public"], reached[host]["private"], host]
    front = (reached[first]["names"] or [reached[first]["public"]])[0]
    return {
        "hosts": {
            name: {
                **where,
                "url_host": addresses.url_host(where["private"]),
                "any": addresses.any_address(where["private"]),
            }
            for name, where in reached.items()
        },
        "probes": {},
        "postgres": {
            "inventory_host": database_host,
            "host": private(database_host),
            "port": values["postgres_port"],
            "database": values["mlflow_server_database"],
            "user": values["mlflow_server_database_user"],
            "client_networks": [addresses.network(client) for client in clients],
            "backup_networks": [addresses.network(private(backup_host))] if backup_host else [],
            "version": values["postgres_version"],
            "repository": values["postgres_repository"],
            "settings": {},
        },
        "s3": {
            "inventory_host": store_host,
            "host": private(store_host),
            "port": values["seaweedfs_cluster_s3_port"],
            "endpoint_url": "http://%s:%d"
            % (addresses.url_host(private(store_host)), values["seaweedfs_cluster_s3_port"])
            if store_host
            else None,
            "bucket": values["mlflow_server_bucket"],
            "access_key": values["seaweedfs_cluster_mlflow_access_key"],
        },
        "jupyter": {"ports": {}},
        "backup": {"inventory_host": backup_host, "access_key": v.BACKUP_ACCESS_KEY},
        "seaweedfs": {
            "master_port": values["seaweedfs_cluster_master_port"],
            "volume_port": values["seaweedfs_cluster_volume_port"],
            "filer_port": values["seaweedfs_cluster_filer_port"],
            "replication": values["seaweedfs_cluster_replication"],
        },
        "mlflow": {
            "inventory_host": first,
            "version": values["mlflow_server_version"],
            "port": port,
            "backend": values["mlflow_server_backend"],
            "artifacts": values["mlflow_server_artifacts"],
            "host": front,
            "authentication": values["mlflow_server_authentication"],
            "client_user": values["mlflow_server_client_user"],
            "workers": workers,
            "pool_size": values["mlflow_server_pool_size"],
            "pool_overflow": values["mlflow_server_pool_overflow"],
            "connections": budget.connections(
                workers, values["mlflow_server_pool_size"], values["mlflow_server_pool_overflow"]
            ),
            "allowed_hosts": addresses.allowed_hosts(every_name, port),
            "origins": addresses.origins([*every_name, "localhost", "127.0.0.1"], port),
            "tracking_uri": "http://%s:%d" % (addresses.url_host(front), port),
        },
    }
