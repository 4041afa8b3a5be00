# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole stack on one Debian 12 machine, with passwords that break careless programs: deployed, used, changed, and
then looked for where passwords must not be. What is installed comes through a proxy that wants a password too."""

from __future__ import annotations

import base64
import glob
import pathlib
import threading
import urllib.parse
import uuid

import password_proxy
import pytest

GROUPS = {"postgres": ["vm"], "seaweedfs": ["vm"], "mlflow": ["vm"]}
NASTY = "p@ss/w%rd:#$\"'\\x?& =`;%20"
# Survives every way of writing a password but base64, and nobody else on this machine uses it: so it is looked for.
MARK = f"canary{uuid.uuid4().hex[:12]}"
SECRETS = {
    "database_password": f"{MARK}database{NASTY}é",
    "s3_admin_secret_key": f"{MARK}admin{NASTY}é",
    "s3_mlflow_secret_key": f"{MARK}store{NASTY}é",
    "seaweedfs_jwt_key": f"{MARK}signing{NASTY}é",
    "mlflow_admin_password": f"{MARK}admin{NASTY}",
    "mlflow_client_password": f"{MARK}client{NASTY}",
    "mlflow_session_key": f"{MARK}session{NASTY}",
    "mlflow_encryption_passphrase": f"{MARK}passphrase{NASTY}",
}
CHANGED = {
    "database_password": f"{MARK}again{NASTY}ö",
    "mlflow_admin_password": f"{MARK}again{NASTY}",
    "mlflow_client_password": f"{MARK}again{NASTY}",
}
PROXY_LOGIN = f"{MARK}user:{MARK}proxyp@ss/w%rd:#"
LOGINS = {"mlflow_admin_password": "admin", "mlflow_client_password": "researcher"}
WHERE_THEY_BELONG = f"grep --recursive --files-with-matches --text {MARK} /etc"
# Everything that services, sudo and Ansible wrote on the node, and what others can read where the secrets belong.
LEFT_ON_NODE = f"""
journalctl --output=export > /run/journal
grep --recursive --files-with-matches --text {MARK} /run/journal /tmp /home /root /var/log /opt || true
find /etc /run /var/lib -type f -perm /007 -exec grep --files-with-matches --text {MARK} {{}} + || true
rm /run/journal
"""


class Watch(threading.Thread):
    """Looks at the arguments of every process of this machine, and so of its nodes, again and again."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.looked = 0
        self.found = set()

    def run(self):
        while not self.over.wait(0.05):
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    arguments = pathlib.Path(path).read_bytes()
                except OSError:
                    continue
                self.looked += 1
                if any(canary in arguments for canary in canaries()):
                    self.found.add(arguments.decode(errors="replace"))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        self.join()

    def assert_nothing_seen(self):
        assert self.looked > 1000
        assert self.found == set()


def canaries():
    """What to look for: the secrets' first parts, and logins as they stand in an HTTP header."""
    headers = [
        base64.b64encode(f"{user}:{values[name]}".encode())
        for name, user in LOGINS.items()
        for values in (SECRETS, CHANGED)
    ]
    return [MARK.encode(), base64.b64encode(PROXY_LOGIN.encode()), *headers]


def assert_no_secret(text):
    lines = [line for line in text.splitlines() if any(canary.decode() in line for canary in canaries())]
    assert lines == []


@pytest.fixture(scope="module")
def vm(deploy_site):
    """The deployed stack, and what the first deployment said at its most talkative."""
    gateway = deploy_site.machines["vm"].shell("ip route show default").split()[2]
    user, _colon, password = (urllib.parse.quote(part, safe="") for part in PROXY_LOGIN.partition(":"))
    with password_proxy.Proxy(gateway, PROXY_LOGIN) as deploy_site.proxy, Watch() as watch:
        url = f"http://{user}:{password}@{deploy_site.proxy.place}"
        variables = {"common_secrets": SECRETS, "common_proxies": {"http": url, "https": url}}
        done = deploy_site.play(GROUPS, variables, ["-vvv", "--diff"])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    deploy_site.first = done.stdout + done.stderr
    deploy_site.watch = watch
    return deploy_site


def changed_by(outcome):
    assert outcome.status == 0, outcome.failures
    return outcome.changed["vm"]


def test_first_deployment_shows_no_secret(vm):
    assert "PLAY RECAP" in vm.first
    assert_no_secret(vm.first)
    vm.watch.assert_nothing_seen()


def test_packages_came_through_the_proxy(vm):
    sources = (
        vm.machines["vm"].shell("grep --only-matching --no-filename 'https\\?://[^/ ]*' /etc/apt/sources.list").split()
    )
    mirrors = {urllib.parse.urlsplit(source).hostname for source in sources}
    assert mirrors <= set(vm.proxy.asked)
    # Python's packages as well: there is no third kind.
    assert set(vm.proxy.asked) - mirrors
    assert vm.proxy.refused == 0
    vm.machines["vm"].shell("test ! -e /run/mlops-stack-apt.conf")


def test_nothing_is_left_open_on_either_machine(vm):
    files = vm.machines["vm"].shell(WHERE_THEY_BELONG).splitlines()
    assert {path.rpartition("/")[2] for path in files} == {"mlflow.env", "mlflow-auth.ini", "seaweedfs-s3.json"}
    assert vm.machines["vm"].shell(LEFT_ON_NODE) == ""
    ansible = pathlib.Path.home() / ".ansible" / "tmp"
    left = [path for path in ansible.rglob("*") if path.is_file() and MARK.encode() in path.read_bytes()]
    assert left == []


def test_second_run_changes_nothing(vm):
    assert changed_by(vm.run(GROUPS, {"common_secrets": SECRETS})) == 0


def test_stack_works_with_these_passwords(vm):
    outcome = vm.run(GROUPS, {"common_secrets": SECRETS}, playbook="verify.yml")
    assert (outcome.status, outcome.failures) == (0, [])


# A tracking server that the inventory knows and that this run leaves out.
LEFT_OUT = {
    "elsewhere": {"ansible_host": "192.0.2.9", "common_private_address": "192.0.2.9", "mlflow_server_workers": 1}
}


def test_the_check_runs_on_a_tracking_server_of_this_run(vm):
    groups = {**GROUPS, "mlflow": {**LEFT_OUT, "vm": None}}
    variables = {"common_secrets": SECRETS, "verify_artifact_mb": 1, "verify_restart": False}
    outcome = vm.run(groups, variables, ["--limit", "localhost,vm"], "verify.yml")
    assert (outcome.status, outcome.failures) == (0, [])
    assert "ok: a model version is registered and read back" in outcome.output
    assert "ok: the model version is still there" in outcome.output


def test_a_run_without_a_tracking_server_checks_nothing_and_says_so(vm):
    variables = {"common_secrets": SECRETS}
    outcome = vm.run({**GROUPS, "mlflow": LEFT_OUT}, variables, ["--limit", "localhost,vm"], "verify.yml")
    assert outcome.failure == (
        "None of the tracking servers elsewhere is in this run, and the check runs on one: add one to --limit."
    )
    assert "Restart the stack's services" not in outcome.output


def test_another_version_of_postgresql_is_refused(vm):
    variables = {"common_secrets": SECRETS, "postgres_version": "16", "postgres_repository": "pgdg"}
    assert vm.run(GROUPS, variables).failure == (
        "postgres_version: 16 would make a second, empty cluster on vm, whose databases are in 15/main: set "
        "postgres_version to 15, or upgrade the cluster first (pg_upgradecluster 15 main)."
    )


def test_postgresql_is_sandboxed(vm):
    vm.machines["vm"].shell("systemd-analyze security --no-pager --threshold=40 postgresql@15-main.service")


def test_changed_passwords_are_shown_in_no_diff(vm):
    done = vm.play(GROUPS, {"common_secrets": SECRETS | CHANGED}, ["--check", "--diff"])
    assert done.returncode == 0, done.stdout
    assert "mlflow.env" in done.stdout
    assert_no_secret(done.stdout + done.stderr)


def test_changed_passwords_converge(vm):
    secrets = {"common_secrets": SECRETS | CHANGED}
    with Watch() as watch:
        assert changed_by(vm.run(GROUPS, secrets)) > 0
    watch.assert_nothing_seen()
    assert changed_by(vm.run(GROUPS, secrets)) == 0
    outcome = vm.run(GROUPS, {**secrets, "verify_artifact_mb": 1, "verify_restart": False}, playbook="verify.yml")
    assert (outcome.status, outcome.failures) == (0, [])
    # The old passwords are worth nothing any more.
    outcome = vm.run(GROUPS, {"common_secrets": SECRETS, "verify_artifact_mb": 1}, playbook="verify.yml")
    assert "401" in outcome.failure


def test_service_that_dies_at_start_is_quoted(vm):
    secrets = {"common_secrets": SECRETS | CHANGED}
    outcome = vm.run(GROUPS, {**secrets, "postgres_settings": {"shared_buffers": "molecules"}})
    message = outcome.failure
    assert message.startswith("postgresql@15-main.service "), message
    assert 'invalid value for parameter "shared_buffers": "molecules"' in message
    assert_no_secret(outcome.output)
    # Taken back, it starts again.
    assert changed_by(vm.run(GROUPS, secrets)) > 0
