# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a cloud's metadata service, inside a node: it answers at 169.254.169.254 as OpenStack's does.

Tests use MetadataService; this file itself is the server, which runs in the node as a systemd service.
"""

from __future__ import annotations

import base64
import http.server
import json
import pathlib
import sys
import time

ADDRESS = "169.254.169.254"
PATH = "/latest/meta-data/public-ipv4"
FOLDER = "/opt/metadata-stand-in"
ANSWER = f"{FOLDER}/answer.json"
UNIT = "metadata-stand-in.service"
HTML = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in to the network.</body></html>\n"
# Longer than any client waits.
HANGING_SECONDS = 3600
UNIT_FILE = f"""\
[Unit]
Description=Stand-in for a cloud's metadata service

[Service]
ExecStartPre=/usr/sbin/ip address replace {ADDRESS}/32 dev lo
ExecStart=/usr/bin/python3 {FOLDER}/server.py {ANSWER}
ExecStopPost=/usr/sbin/ip address delete {ADDRESS}/32 dev lo

[Install]
WantedBy=multi-user.target
"""


class MetadataService:
    """The stand-in on one node.

    :param shell: runs a script as root on the node, fails where that fails, and returns what it says.
    """

    def __init__(self, shell):
        self.shell = shell

    def start(self, address):
        """Start it; it tells this as the node's public address."""
        self._write(f"{FOLDER}/server.py", pathlib.Path(__file__).read_text(encoding="utf-8"))
        self._write(f"/etc/systemd/system/{UNIT}", UNIT_FILE)
        self.tell(address)
        self.shell(f"systemctl daemon-reload; systemctl enable --now {UNIT}")
        ready = f"(: < /dev/tcp/{ADDRESS}/80) 2> /dev/null && exit 0"
        self.shell(f"bash -c 'for _ in $(seq 100); do {ready}; sleep 0.1; done; exit 1'")

    def tell(self, address):
        """Tell another public address from now on."""
        self._answer(text=address)

    def tell_nothing(self):
        """Answer with an empty text, as for a node without a floating address."""
        self._answer(text="")

    def tell_html(self):
        """Answer with a page, as a captive portal does."""
        self._answer(text=HTML, kind="text/html")

    def fail(self, status=404):
        """Answer with an error."""
        self._answer(text="", status=status)

    def hang(self):
        """Take connections and never answer."""
        self._answer(text="", delay=HANGING_SECONDS)

    def stop(self):
        """Take the service and its address away."""
        self.shell(
            f"systemctl disable --now {UNIT}; rm -rf {FOLDER} /etc/systemd/system/{UNIT}; systemctl daemon-reload"
        )

    def _answer(self, **answer):
        self._write(ANSWER, json.dumps(answer))

    def _write(self, path, text):
        encoded = base64.b64encode(text.encode()).decode()
        self.shell(f"mkdir -p {FOLDER}; echo {encoded} | base64 --decode > {path}.new; mv {path}.new {path}")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the file says at this moment."""

    def do_GET(self):
        """Answer for the one path there is."""
        answer = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
        time.sleep(answer.get("delay", 0))
        body = answer["text"].encode() if self.path == PATH else b""
        self.send_response(answer.get("status", 200) if self.path == PATH else 404)
        self.send_header("Content-Type", answer.get("kind", "text/plain"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer((ADDRESS, 80), Handler).serve_forever()
