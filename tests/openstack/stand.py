# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cloud in one node: OpenStack's own services from Debian's packages, as far as an API is asked. Runs in the node.

    python3 stand.py install     the packages
    python3 stand.py start       settings, databases, services, and what a site has: images, networks, machines

It is a stand-in for Chameleon. Its servers are rows: Nova's fake driver starts none, and no agent carries packets, so
nothing answers at their addresses. What it says is what OpenStack says.
"""

from __future__ import annotations

import concurrent.futures
import configparser
import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

PACKAGES = (
    *("mariadb-server", "rabbitmq-server", "keystone", "placement-api", "glance-api", "cinder-api"),
    *("nova-api", "nova-conductor", "nova-scheduler", "nova-compute-ironic"),
    *("neutron-api", "neutron-rpc-server", "blazar-api", "blazar-manager"),
)
REGION = "CHI@UC"
# The same services, except for volumes.
REGION_WITHOUT_VOLUMES = "CHI@Edge"
PORTS = {"keystone": 5000, "placement": 8778, "glance": 9292, "nova": 8774, "neutron": 9696, "cinder": 8776}
BLAZAR_PORT = 8004
HOSTS = ("cc1", "cc2")
RABBIT = "rabbit://guest:guest@127.0.0.1:5672/"
WAIT = 120
BEGAN = time.monotonic()
SECRET = pathlib.Path("/root/stand.json")
# An agent that is never asked anything, so that Neutron binds ports to the hosts.
AGENT = """
insert into agents (id, agent_type, `binary`, topic, host, admin_state_up, created_at, started_at,
  heartbeat_timestamp, configurations, `load`, availability_zone, resource_versions, resources_synced)
values (uuid(), 'Open vSwitch agent', 'neutron-openvswitch-agent', 'N/A', '{host}', 1, now(), now(),
  '2038-01-01', '{{"bridge_mappings": {{"physnet1": "br-ex", "public": "br-pub"}}, "tunnel_types": []}}',
  0, 'nova', '{{}}', 1);
"""
# The agent that would say so is not there.
FLOATING_IP = """
create trigger fip_{when} before {when} on floatingips for each row
  set new.status = if(new.fixed_port_id is null, 'DOWN', 'ACTIVE');
"""


def run(*argv, user=None, **options):
    """Run a command, as another user where one is named; its output comes back as text."""
    full = ["runuser", "-u", user, "--", *argv] if user else list(argv)
    done = subprocess.run(full, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def say(text):
    """Say what is done, and when."""
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}", flush=True)


def install():
    """Install the packages, with no service started and no question asked."""
    rules = pathlib.Path("/usr/sbin/policy-rc.d")
    rules.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    rules.chmod(0o755)
    lines = ["force-unsafe-io", *(f"path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale"))]
    pathlib.Path("/etc/dpkg/dpkg.cfg.d/stand").write_text("\n".join(lines) + "\n", encoding="utf-8")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "--quiet", "update", env=environment)
    run("apt-get", "--quiet", "install", "--yes", "--no-install-recommends", *PACKAGES, env=environment)
    rules.unlink()
    say("packages installed")


class Stand:
    """The services, on one address, with one password for all of them."""

    def __init__(self):
        self.address = socket.gethostbyname(socket.gethostname())
        self.password = secrets.token_hex(16)
        self.identity = f"http://{self.address}:5000"

    # ---- settings ----------------------------------------------------------------------------------------------

    def database(self, name):
        return f"mysql+pymysql://stand:{self.password}@127.0.0.1/{name}?charset=utf8mb4"

    def login(self, service, region=True):
        """How a service signs in to the others."""
        own = {"region_name": REGION} if region else {}
        return {
            "www_authenticate_uri": self.identity,
            "auth_url": self.identity,
            "auth_type": "password",
            "username": service,
            "password": self.password,
            "project_name": "service",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
            **own,
        }

    def files(self):
        """Every service's settings: path, then section, then option."""
        own = {name: {"keystone_authtoken": self.login(name)} for name in (*PORTS, "blazar")}
        nova = {
            "DEFAULT": {
                "transport_url": RABBIT,
                "compute_driver": "fake.FakeDriver",
                "host": HOSTS[0],
                "my_ip": self.address,
                "state_path": "/var/lib/nova",
                "log_dir": "/var/log/nova",
                "service_down_time": 3600,
            },
            "api_database": {"connection": self.database("nova_api")},
            "database": {"connection": self.database("nova")},
            "conductor": {"workers": 1},
            "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 3},
            "placement": self.login("placement"),
            "neutron": self.login("neutron"),
            "service_user": {**self.login("nova"), "send_service_user_token": "true"},
            "glance": {"region_name": REGION},
            "cinder": {"os_region_name": REGION},
            "vnc": {"enabled": "false"},
            "oslo_concurrency": {"lock_path": "/var/lib/nova/tmp"},
            **own["nova"],
        }
        return {
            "/etc/keystone/keystone.conf": {
                "DEFAULT": {"log_dir": "/var/log/keystone"},
                "database": {"connection": self.database("keystone"), "max_pool_size": 2},
                "token": {"provider": "fernet"},
                "cache": {"enabled": "true", "backend": "dogpile.cache.memory"},
            },
            "/etc/placement/placement.conf": {
                "placement_database": {"connection": self.database("placement")},
                **own["placement"],
            },
            "/etc/glance/glance-api.conf": {
                "DEFAULT": {"workers": 1, "enabled_backends": "disk:file"},
                "glance_store": {"default_backend": "disk"},
                "disk": {"filesystem_store_datadir": "/var/lib/glance/images"},
                "database": {"connection": self.database("glance")},
                "paste_deploy": {"flavor": "keystone"},
                "oslo_concurrency": {"lock_path": "/var/lib/glance"},
                **own["glance"],
            },
            "/etc/nova/nova.conf": nova,
            "/etc/nova/nova-compute.conf": {},
            "/etc/nova/second.conf": {"DEFAULT": {"host": HOSTS[1], "state_path": "/var/lib/nova-second"}},
            "/etc/neutron/neutron.conf": {
                "DEFAULT": {
                    "transport_url": RABBIT,
                    "core_plugin": "ml2",
                    "service_plugins": "router",
                    "auth_strategy": "keystone",
                    "state_path": "/var/lib/neutron",
                    "log_dir": "/var/log/neutron",
                    "rpc_response_timeout": 10,
                    "notify_nova_on_port_status_changes": "true",
                    "notify_nova_on_port_data_changes": "true",
                    "send_events_interval": 1,
                },
                "database": {"connection": self.database("neutron")},
                "oslo_concurrency": {"lock_path": "/var/lib/neutron/lock"},
                "nova": self.login("nova"),
                **own["neutron"],
            },
            "/etc/neutron/plugins/ml2/ml2_conf.ini": {
                "ml2": {
                    "type_drivers": "flat,vlan",
                    "tenant_network_types": "vlan",
                    "mechanism_drivers": "openvswitch",
                    "extension_drivers": "port_security",
                },
                "ml2_type_flat": {"flat_networks": "public,physnet1"},
                "ml2_type_vlan": {"network_vlan_ranges": "physnet1:100:200"},
                "securitygroup": {"enable_security_group": "true"},
            },
            "/etc/cinder/cinder.conf": {
                "DEFAULT": {
                    "transport_url": RABBIT,
                    "auth_strategy": "keystone",
                    "log_dir": "/var/log/cinder",
                    "state_path": "/var/lib/cinder",
                },
                "database": {"connection": self.database("cinder")},
                "oslo_concurrency": {"lock_path": "/var/lib/cinder/tmp"},
                **own["cinder"],
            },
            "/etc/blazar/blazar.conf": {
                "DEFAULT": {
                    "transport_url": RABBIT,
                    "log_dir": "/var/log/blazar",
                    "os_auth_protocol": "http",
                    "os_auth_host": self.address,
                    "os_auth_port": 5000,
                    "os_auth_version": "v3",
                    "os_admin_username": "blazar",
                    "os_admin_password": self.password,
                    "os_admin_project_name": "service",
                    "os_admin_user_domain_name": "Default",
                    "os_admin_project_domain_name": "Default",
                    "os_region_name": REGION,
                    "identity_service": "identity",
                    "host": "0.0.0.0",
                    "port": BLAZAR_PORT,
                },
                "database": {"connection": self.database("blazar")},
                "manager": {
                    "plugins": "physical.host.plugin,virtual.floatingip.plugin,flavor.instance.plugin",
                    "minutes_before_end_lease": 60,
                },
                "nova": {"aggregate_freepool_name": "freepool"},
                "enforcement": {"enabled_filters": ""},
                "oslo_concurrency": {"lock_path": "/var/lib/blazar"},
                "oslo_policy": {"policy_file": "/etc/blazar/policy.yaml"},
                **own["blazar"],
            },
        }

    def write(self):
        """Write the settings."""
        for name, sections in self.files().items():
            parser = configparser.RawConfigParser()
            parser.optionxform = str
            for section, options in sections.items():
                if section != "DEFAULT":
                    parser.add_section(section)
                for option, value in options.items():
                    parser.set(section, option, str(value))
            with pathlib.Path(name).open("w", encoding="utf-8") as stream:
                parser.write(stream)
        # Chameleon tells its users which types of node there are.
        pathlib.Path("/etc/blazar/policy.yaml").write_text(
            '"blazar:oshosts:get_resource_properties": ""\n', encoding="utf-8"
        )
        pathlib.Path("/etc/mysql/mariadb.conf.d/99-stand.cnf").write_text(
            "[mariadbd]\ninnodb_flush_log_at_trx_commit = 0\ninnodb_doublewrite = 0\nskip-log-bin\n"
            "skip-name-resolve\nmax_connections = 400\n",
            encoding="utf-8",
        )
        second = pathlib.Path("/var/lib/nova-second")
        second.mkdir(exist_ok=True)
        shutil.chown(second, "nova", "nova")
        for path in pathlib.Path("/etc").glob("*/*uwsgi.ini"):
            self.tame(path)

    @staticmethod
    def tame(path):
        """Let an API have one process, and one thread where an answer may come by message, which threads lose."""
        threads = "8" if "keystone" in path.name or "placement" in path.name else "1"
        text = path.read_text(encoding="utf-8")
        for option, value in (("processes", "1"), ("threads", threads), ("listen", "64")):
            text = re.sub(rf"(?m)^{option}\s*=.*$", f"{option} = {value}", text)
        # The plugin needs a kernel with AppArmor.
        text = re.sub(r"(?m)^.*apparmor-profile.*\n", "", text).replace("python3,apparmor", "python3")
        path.write_text(text, encoding="utf-8")

    # ---- services ----------------------------------------------------------------------------------------------

    def start(self):
        """Bring everything up, in two lanes where that is possible."""
        self.write()
        run("systemctl", "start", "--no-block", "rabbitmq-server")
        run("systemctl", "restart", "mariadb")
        names = ["keystone", "placement", "glance", "nova_api", "nova", "nova_cell0", "neutron", "blazar", "cinder"]
        statements = [f"create database {name} character set utf8mb3;" for name in names]
        for where in ("localhost", "127.0.0.1"):
            statements.append(f"grant all on *.* to stand@{where} identified by '{self.password}';")
        run("mariadb", input="\n".join(statements))
        say("database server up")
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            for lane in [pool.submit(self.first_lane), pool.submit(self.second_lane)]:
                lane.result()
        run("mariadb", "neutron", input="".join(AGENT.format(host=host) for host in HOSTS))
        run("mariadb", "neutron", input="".join(FLOATING_IP.format(when=when) for when in ("insert", "update")))
        run("rabbitmqctl", "await_startup")
        units = ["nova-conductor", "nova-scheduler", "nova-api", "neutron-api", "neutron-rpc-server", "cinder-api"]
        run("systemctl", "restart", *units, "blazar-api", "blazar-manager")
        for port in (*PORTS.values(), BLAZAR_PORT):
            self.wait(port)
        say("services up")
        run("systemctl", "restart", "nova-compute")
        argv = ["nova-compute", "--config-file=/etc/nova/nova.conf", "--config-file=/etc/nova/second.conf"]
        run("systemd-run", "--unit=nova-compute-second", "--property=User=nova", *argv)
        self.wait_hosts()
        say("hosts up")

    def first_lane(self):
        """Keystone, and what needs it soon."""
        run("keystone-manage", "db_sync", user="keystone")
        for keys in ("fernet_setup", "credential_setup"):
            run("keystone-manage", keys, "--keystone-user=keystone", "--keystone-group=keystone", user="keystone")
        urls = [f"--bootstrap-{kind}-url={self.identity}/v3" for kind in ("public", "internal", "admin")]
        options = [f"--bootstrap-password={self.password}", f"--bootstrap-region-id={REGION}", *urls]
        run("keystone-manage", "bootstrap", *options, user="keystone")
        run("systemctl", "restart", "keystone")
        self.wait(PORTS["keystone"])
        say("Keystone up")
        Site(self).identity()
        run("placement-manage", "db", "sync", user="placement")
        run("glance-manage", "db_sync", user="glance")
        run("systemctl", "restart", "placement-api", "glance-api")
        run("blazar-db-manage", "--config-file=/etc/blazar/blazar.conf", "upgrade", "head", user="blazar")
        say("Placement, Glance and Blazar ready")

    def second_lane(self):
        """The large databases."""
        run("nova-manage", "api_db", "sync", user="nova")
        run("nova-manage", "cell_v2", "map_cell0", f"--database_connection={self.database('nova_cell0')}", user="nova")
        run("nova-manage", "db", "sync", user="nova")
        run("nova-manage", "cell_v2", "create_cell", "--name=cell1", user="nova")
        settings = [f"--config-file=/etc/neutron/{name}" for name in ("neutron.conf", "plugins/ml2/ml2_conf.ini")]
        run("neutron-db-manage", *settings, "upgrade", "heads", user="neutron")
        run("cinder-manage", "db", "sync", user="cinder")
        say("Nova, Neutron and Cinder ready")

    def wait(self, port):
        """Wait until something answers HTTP on a port."""
        deadline = time.monotonic() + WAIT
        while True:
            try:
                urllib.request.urlopen(f"http://{self.address}:{port}/", timeout=20).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    sys.exit(f"Nothing answers on port {port}: {error}")
            time.sleep(0.5)

    def wait_hosts(self):
        """Wait until Nova's cell knows both hosts."""
        deadline = time.monotonic() + WAIT
        while len(run("mariadb", "-N", "nova_api", "-e", "select host from host_mappings").split()) < len(HOSTS):
            if time.monotonic() > deadline:
                sys.exit("Nova does not find its hosts.")
            time.sleep(1)


class Site:
    """What a site has: accounts, a catalogue, images, networks, machines that can be reserved."""

    def __init__(self, stand):
        self.stand = stand
        self.cloud = self.connect("admin", "admin")

    def connect(self, user, project):
        import openstack

        return openstack.connect(
            auth_url=f"{self.stand.identity}/v3",
            username=user,
            password=self.stand.password,
            project_name=project,
            user_domain_name="Default",
            project_domain_name="Default",
            region_name=REGION,
        )

    def identity(self):
        """The catalogue, the services' users, and a researcher with application credentials."""
        keystone = self.cloud.identity
        service = keystone.create_project(name="service", domain_id="default")
        roles = [keystone.find_role(name) for name in ("admin", "service")]
        for name in (*(name for name in PORTS if name != "keystone"), "blazar"):
            user = keystone.create_user(name=name, password=self.stand.password, domain_id="default")
            for role in roles:
                keystone.assign_project_role_to_user(service, user, role)
        keystone.create_region(id=REGION_WITHOUT_VOLUMES)
        base = f"http://{self.stand.address}"
        kinds = {
            "compute": ("nova", f"{base}:{PORTS['nova']}/v2.1"),
            "placement": ("placement", f"{base}:{PORTS['placement']}"),
            "image": ("glance", f"{base}:{PORTS['glance']}"),
            "network": ("neutron", f"{base}:{PORTS['neutron']}"),
            "block-storage": ("cinder", f"{base}:{PORTS['cinder']}/v3/%(project_id)s"),
            "reservation": ("blazar", f"{base}:{BLAZAR_PORT}/v1"),
        }
        for kind, (name, url) in kinds.items():
            found = keystone.create_service(name=name, type=kind)
            for region in (REGION, *((REGION_WITHOUT_VOLUMES,) if kind != "block-storage" else ())):
                for interface in ("public", "internal", "admin"):
                    keystone.create_endpoint(service_id=found.id, interface=interface, region_id=region, url=url)
        for interface in ("public", "internal", "admin"):
            keystone.create_endpoint(
                service_id=keystone.find_service("keystone").id,
                interface=interface,
                region_id=REGION_WITHOUT_VOLUMES,
                url=f"{self.stand.identity}/v3",
            )
        project = keystone.create_project(name="CHI-000000", domain_id="default")
        user = keystone.create_user(name="researcher", password=self.stand.password, domain_id="default")
        keystone.assign_project_role_to_user(project, user, keystone.find_role("member"))
        # What a user's application credential could hand on to Blazar.
        own = self.connect("researcher", "CHI-000000").identity
        made = {
            "password": self.stand.password,
            "address": self.stand.address,
            "restricted": own.create_application_credential(user=user.id, name="restricted"),
            "unrestricted": own.create_application_credential(user=user.id, name="unrestricted", unrestricted=True),
            "expired": own.create_application_credential(
                user=user.id,
                name="expired",
                expires_at=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 5)),
            ),
        }
        for name in ("restricted", "unrestricted", "expired"):
            made[name] = {"id": made[name].id, "secret": made[name].secret}
        SECRET.write_text(json.dumps(made), encoding="utf-8")
        SECRET.chmod(0o600)

    def content(self):
        """Networks, flavors, images, and machines with their types in Blazar."""
        network = self.cloud.network
        public = network.create_network(
            name="public", provider_network_type="flat", provider_physical_network="public", is_router_external=True
        )
        # Blazar's addresses lie outside of what Neutron hands out.
        network.create_subnet(
            network_id=public.id,
            ip_version=4,
            cidr="192.0.2.0/24",
            enable_dhcp=False,
            allocation_pools=[{"start": "192.0.2.10", "end": "192.0.2.99"}],
        )
        shared = network.create_network(
            name="sharednet1", provider_network_type="flat", provider_physical_network="physnet1", is_shared=True
        )
        inside = network.create_subnet(network_id=shared.id, ip_version=4, cidr="10.52.0.0/22")
        router = network.create_router(name="router", external_gateway_info={"network_id": public.id})
        network.add_interface_to_router(router, subnet_id=inside.id)
        self.cloud.compute.create_flavor(name="baremetal", ram=512, vcpus=1, disk=1)
        self.cloud.compute.create_flavor(name="m1.small", ram=512, vcpus=1, disk=1)
        for name in ("CC-Ubuntu24.04", "CC-Ubuntu24.04-CUDA", "CC-Ubuntu24.04-ROCm"):
            self.cloud.create_image(
                name, data=b"x", disk_format="raw", container_format="bare", visibility="public", min_disk=0
            )
        self.cloud.compute.create_aggregate(name="freepool")
        blazar = self.cloud.endpoint_for("reservation")
        for host in HOSTS:
            self.cloud.session.post(f"{blazar}/os-hosts", json={"name": host, "node_type": "compute_liqid"})
        for last in (201, 202):
            body = {"floating_network_id": public.id, "floating_ip_address": f"192.0.2.{last}"}
            self.cloud.session.post(f"{blazar}/floatingips", json=body)
        say("site ready")


def main():
    if sys.argv[1:] == ["install"]:
        install()
    elif sys.argv[1:] == ["start"]:
        stand = Stand()
        stand.start()
        Site(stand).content()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
