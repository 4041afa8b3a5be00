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
    "architecture": lines("uname", "-m")[0],
    "hostname": lines("hostname")[0],
    "python": "%d.%d" % sys.version_info[:2],
    "packages": sorted({line.split()[1] for line in packages if line.startswith("installed ")}),
    "users": sorted(account.pw_name for account in pwd.getpwall()),
    "cpus": os.cpu_count(),
    "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
    "addresses": lines("hostname", "-I")[0].split(),
}))
END"""


def facts(node, *options):
    said = node.ansible("mlops.stack.host_facts", {"paths": ["/", "/var/lib/not/there"]}, *options)
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
    assert read["systemd"] is True
    said = json.loads(node.shell(SYSTEM))
    assert {name: read[name] for name in ("architecture", "hostname", "packages", "users", "python")} == {
        name: said[name] for name in ("architecture", "hostname", "packages", "users", "python")
    }
    assert read["system_python"] == read["python"]
    assert 1 <= read["cpus"] <= said["cpus"]
    assert 0 < read["memory_mb"] <= said["memory_mb"]
    assert read["addresses"][0] == read["default_address"]
    assert set(read["addresses"]) <= set(said["addresses"])
    assert read["envs"] == []
    assert read["disks"]["/"] == read["disks"]["/var/lib/not/there"] > 0
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
