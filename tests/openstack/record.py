# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Record what the cloud answers to the inventory, for the tests that have no cloud: tests/support/recorded_cloud.py.

    OS_CLIENT_CONFIG_FILE=clouds.yaml .venv/bin/python tests/openstack/record.py CLOUD ADDRESS

The lease mlops has to have its two servers. Addresses of the cloud are replaced, and so are its token and identifiers
of people; the text is otherwise the services' own.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
import urllib.parse

import openstack
from keystoneauth1 import session

TARGET = pathlib.Path(__file__).resolve().parents[1] / "support" / "cloud" / "inventory.json"
KEPT = ("content-type", "x-subject-token", "openstack-api-version", "vary")


def main(cloud: str, address: str) -> None:
    """Ask what the inventory plugin asks, and write the answers."""
    answers = {}
    send = session.requests.Session.send

    def keep(self, request, **options):
        answer = send(self, request, **options)
        parts = urllib.parse.urlsplit(request.url)
        path = "/%s%s%s" % (parts.port, parts.path, "?" + parts.query if parts.query else "")
        headers = {name: value for name, value in answer.headers.items() if name.lower() in KEPT}
        answers["%s %s" % (request.method, path)] = {
            "status": answer.status_code,
            "headers": headers,
            "body": answer.json(),
        }
        return answer

    session.requests.Session.send = keep
    connection = openstack.connect(cloud=cloud)
    list(connection.block_storage.volumes())
    list(connection.compute.servers(all_projects=False, details=True, tags="mlops"))
    text = re.sub(r"http://%s:(\d+)" % re.escape(address), r"@BASE@/\1", json.dumps(answers, indent=1, sort_keys=True))
    token = re.search(r'(?i)"x-subject-token": "([^"]+)"', text).group(1)
    TARGET.write_text(text.replace(token, "recorded") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
