# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

# The same things, asked from the system's own programs.
SYSTEM = r"""
/usr/bin/python3 - <<'END'
import json, os, pwd, subprocess, sys


def lines(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")[:-1]


packages = lines("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\\n")
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "packages": sorted({line.split()[1] for line in packages if line.startswith("installed ")}),
    "users": sorted(account.pw_name for account in pwd.getpwall()),
    "cpus": os.cpu_count(),
    "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
    "addresses": lines("hostname", "-I")[0].split(),
}))
END"""


def facts(node, *options):
    said = node.ansible(
        "mlops.stack.host_facts", {"paths": {"all": "/", "data": "/var/lib/not/there", "run": "/run"}}, *options
    )
    assert "=> {" in said, said
    return json.loads("{" + said.partition("=> {")[2])["ansible_facts"]["common_host"]


@pytest.fixture(name="service")
def _service(node):
    """A service of another account that listens."""
    command = "/usr/bin/python3 -m http.server 8125 --bind 127.0.0.1"
    node.shell(f"systemd-run --quiet --unit=it-facts --uid=daemon --property=WorkingDirectory=/ {command}")
    node.shell("for _ in $(seq 50); do (: < /dev/tcp/127.0.0.1/8125) && exit 0; sleep 0.1; done; exit 1")
    yield
    node.shell("systemctl stop it-facts; true")


def test_what_is_read_is_what_the_system_says(node, service):
    read = facts(node)
    assert facts(node, "--check")["packages"] == read["packages"]
    assert (read["os"]["id"], read["os"]["codename"]) == ("debian", "trixie")
    said = json.loads(node.shell(SYSTEM))
    assert {name: read[name] for name in ("packages", "users", "python")} == {
        name: said[name] for name in ("packages", "users", "python")
    }
    assert 1 <= read["cpus"] <= said["cpus"]
    assert 0 < read["memory_mb"] <= said["memory_mb"]
    assert read["default_address"] in said["addresses"]
    assert (read["envs"], read["unit_envs"], read["clusters"]) == ([], {}, [])
    disks = read["disks"]
    assert (disks["data"]["path"], disks["data"]["free_mb"] > 0) == ("/var/lib/not/there", True)
    assert disks["all"]["device"] == disks["data"]["device"] != disks["run"]["device"]
    by_port = {entry["port"]: entry for entry in read["listeners"]}
    assert (by_port[22]["process"], by_port[22]["unit"], by_port[22]["user"]) == ("sshd", "ssh.service", "root")
    assert {name: by_port[8125][name] for name in ("address", "user", "unit")} == {
        "address": "127.0.0.1",
        "user": "daemon",
        "unit": "it-facts.service",
    }
    assert by_port[8125]["pid"] == int(node.shell("systemctl show --property=MainPID --value it-facts"))


def test_an_ordinary_user_learns_who_listens(node, service, ordinary):
    (listener,) = [entry for entry in facts(node, *ordinary)["listeners"] if entry["port"] == 8125]
    assert (listener["user"], listener["pid"], listener["unit"]) == ("daemon", None, None)
