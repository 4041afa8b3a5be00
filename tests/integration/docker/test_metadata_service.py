# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for a metadata service answers as it is told to, as often as it is told anew."""

from __future__ import annotations

import metadata_service
import pytest

ASK = r"""python3 - <<'END'
import socket, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen("http://169.254.169.254/latest/meta-data/%s", timeout=1)
    print(answer.status, answer.headers["Content-Type"], answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
except (socket.timeout, urllib.error.URLError) as error:
    print(type(error).__name__)
END"""


@pytest.fixture
def service(bare):
    started = metadata_service.MetadataService(bare.shell)
    started.start("203.0.113.7")
    yield started
    started.stop()
    assert metadata_service.ADDRESS not in bare.shell("ip -brief address show dev lo")


def test_every_answer(bare, service):
    def said(name="public-ipv4"):
        return bare.shell(ASK % name)

    assert said() == "200 text/plain 203.0.113.7"
    service.tell("203.0.113.8")
    assert said() == "200 text/plain 203.0.113.8"
    assert said("hostname") == "404"
    service.tell_nothing()
    assert said() == "200 text/plain "
    service.tell_html()
    assert said().startswith("200 text/html <!DOCTYPE html>")
    service.fail(503)
    assert said() == "503"
    service.hang()
    assert said() == "TimeoutError"
    service.tell("203.0.113.9")
    assert said().endswith("203.0.113.9")
