# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with PostgreSQL, one that keeps their archives, and the playbooks run on them as users run them."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.request

import ansible_playbook
import boto3
import host
import nodes
import pytest
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TESTBED = "itest-archive"
PROGRAM = [sys.executable, str(host.CLONE / "testbed" / "testbed.py")]
SUITES = {"db": "trixie", "spare": "trixie", "old": "bookworm", "store": "trixie"}
ACCESS_KEY, SECRET_KEY = "archive-key", "archive-secret-canary-0123456789"
S3_PORT = 8443


class Machine:
    """A node with the database of a stack, whose tracking server runs there too or on another one."""

    def __init__(self, name, found, folder, nodes_file):
        self.name = name
        self.id = found["id"]
        self.address = found["address"]
        self.folder = folder
        self.nodes_file = nodes_file
        self.secrets = folder / name
        self.tracking = self
        self.variables = {}

    def shell(self, script, check=True):
        """What a script says; it runs as root, and not through Ansible."""
        return host.docker("exec", self.id, "bash", "-euc", script, check=check).stdout.rstrip("\n")

    def write(self, path, text):
        host.docker("exec", "-i", self.id, "bash", "-euc", f"cat > {path}", input=text)

    def play(self, playbook, *options, **variables):
        """Run a playbook on this machine's stack."""
        given = {
            "common_secrets_dir": str(self.secrets),
            "mlflow_server_artifacts": "local",
            "mlflow_server_workers": 1,
            **self.variables,
        }
        inventory = {
            "all": {
                "vars": {**given, **variables},
                "children": {
                    "postgres": {"hosts": {self.name: None}},
                    "mlflow": {"hosts": {self.tracking.name: None}},
                },
            }
        }
        path = self.folder / f"{self.name}.json"
        path.write_text(json.dumps(inventory), encoding="utf-8")
        return ansible_playbook.run(playbook, [self.nodes_file, path], options)

    def site(self, *options, **variables):
        return self.play("playbooks/site.yml", *options, **variables)

    def recover(self, when=None, playbook="tests/integration/archive/recover.yml"):
        """Go back to a time, or to the end of the archive."""
        return self.play(playbook, **({} if when is None else {"postgres_recover_time": when}))

    def recover_stack(self, when):
        """Do so with the playbook that users run, which stops and starts MLflow."""
        return self.recover(when, "playbooks/recover_point_in_time.yml")

    def sql(self, text, check=True):
        """What PostgreSQL answers, as its administrator over the local socket."""
        return host.docker(
            "exec", "-i", self.id, "psql", "-U", "postgres", "-d", "mlflow", "-qAtv", "ON_ERROR_STOP=1",
            input=text, check=check,
        ).stdout.strip()  # fmt: skip

    def rows(self):
        return self.sql("SELECT string_agg(name, ' ' ORDER BY name) FROM kept").split()

    def now(self):
        """The time on the host, between a change before and a change after it."""
        time.sleep(0.05)
        found = self.shell("date -u +%Y-%m-%dT%H:%M:%S.%6NZ")
        time.sleep(0.05)
        return found

    def archive(self):
        """What pgBackRest says about the archive."""
        return json.loads(self.shell("cd / && runuser -u postgres -- pgbackrest --stanza=main --output=json info"))[0]

    def backups(self):
        return [backup["label"] for backup in self.archive()["backup"]]

    def folders(self):
        """Folders beside the data, such as those that recoveries kept."""
        return self.shell("ls /var/lib/postgresql/*").splitlines()

    def serves(self):
        """Whether MLflow answers, and has its database."""
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://{self.tracking.address}:5000/health", timeout=10) as said,
        ):
            return said.read() == b"OK"
        return False


class Store:
    """A machine that keeps archives: a real sshd, and a real SeaweedFS behind TLS."""

    def __init__(self, machine, folder):
        self.machine = machine
        self.ca_file = folder / "ca.pem"
        self.certificate, self.key = certificate(self.ca_file, "store", machine.address)
        self.ssh_key = folder / "sftp-key"

    def serve_sftp(self):
        """Make an account for one key, and return what the role has to know about it."""
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.ssh_key)])
        public = self.ssh_key.with_suffix(".pub").read_text(encoding="utf-8")
        self.machine.shell(
            "useradd --create-home archive; install -d -m 700 -o archive -g archive /srv/archive /home/archive/.ssh"
        )
        self.machine.write("/home/archive/.ssh/authorized_keys", public)
        keys = self.machine.shell("cat /etc/ssh/ssh_host_*_key.pub").splitlines()
        return {
            "host": self.machine.address,
            "user": "archive",
            "private_key_file": str(self.ssh_key),
            "host_keys": [" ".join(key.split()[:2]) for key in keys],
        }

    def serve_s3(self):
        """Start SeaweedFS with a certificate and a bucket."""
        identity = {
            "name": "archive",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        self.machine.shell("mkdir -p /srv/weed")
        self.machine.write("/srv/weed/s3.json", json.dumps({"identities": [identity]}))
        self.machine.write("/srv/weed/cert.pem", self.certificate)
        self.machine.write("/srv/weed/key.pem", self.key)
        self.machine.shell(
            "systemd-run --unit=weed weed server -dir=/srv/weed -ip=127.0.0.1 -volume.max=20 -volume.minFreeSpace=1 "
            "-master.volumeSizeLimitMB=64 -master.telemetry=false -filer -s3 -s3.config=/srv/weed/s3.json "
            f"-s3.port.https={S3_PORT} -s3.cert.file=/srv/weed/cert.pem -s3.key.file=/srv/weed/key.pem "
            f"-s3.port.iceberg=0 -s3.port.lance=0 -ip.bind=0.0.0.0"
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client().create_bucket(Bucket="wal")
                break
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
        return {
            "endpoint_url": f"https://store:{S3_PORT}",
            "bucket": "wal",
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
        }

    def client(self):
        return boto3.session.Session().client(
            "s3",
            endpoint_url=f"https://{self.machine.address}:{S3_PORT}",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            verify=str(self.ca_file),
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, proxies={}),
        )


def certificate(ca_file, name, address):
    """Make a certificate authority, and a certificate and key of one machine."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def signed(subject, public_key, issuer, signer, extension):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        return builder.add_extension(extension, critical=True).sign(signer, hashes.SHA256())

    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _number in range(2))
    ca = signed(
        named("A test's own CA"), authority.public_key(), named("A test's own CA"), authority,
        x509.BasicConstraints(ca=True, path_length=0),
    )  # fmt: skip
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(address))])
    leaf = signed(named(name), key.public_key(), ca.subject, authority, names)
    pem = serialization.Encoding.PEM
    ca_file.write_bytes(ca.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return leaf.public_bytes(pem).decode(), private.decode()


@pytest.fixture(scope="session")
def machines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    weed = pathlib.Path(sys.executable).parent / "weed"
    program = str(weed) if weed.exists() else shutil.which("weed")
    command = [*PROGRAM, "up", "--name", TESTBED, "--inventory", str(folder / "hosts.yml")]
    command += [f"--node={name}:{suite}" for name, suite in SUITES.items()]
    subprocess.run([*command, f"--docker-arg=store=--volume={program}:/usr/local/bin/weed:ro"], check=True, timeout=600)
    found = nodes.Testbed(TESTBED).containers()
    yield {name: Machine(name, found[name], folder, folder / "hosts.yml") for name in SUITES}
    subprocess.run([*PROGRAM, "down", "--name", TESTBED], check=True, timeout=120)


@pytest.fixture(scope="session")
def store(machines, tmp_path_factory):
    return Store(machines["store"], tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def old(machines):
    return machines["old"]


@pytest.fixture(scope="session")
def spare(machines):
    return machines["spare"]


@pytest.fixture(scope="session")
def db(machines):
    """A stack of two machines with an archive in a folder, and a table."""
    machine = machines["db"]
    machine.tracking = machines["store"]
    machine.variables = {"postgres_archive": "folder", "postgres_archive_path": "/srv/archive"}
    machine.site().succeeded()
    machine.sql("CREATE TABLE IF NOT EXISTS kept (name text); TRUNCATE kept; INSERT INTO kept VALUES ('first')")
    return machine
