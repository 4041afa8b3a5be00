# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say where on this machine secrets lie open: in argument lists, in the journal, in modules left by Ansible.

The secrets come as a JSON list on standard input, for they must not stand in this program's arguments either.
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys

OPEN_TO_ALL = ("/proc/[0-9]*/cmdline", "/var/log/**/*", "/home/*/.ansible/**/*", "/root/.ansible/**/*", "/tmp/**/*")


def main() -> int:
    """Print one line for each place, and return 1 where there is one."""
    secrets = [secret.encode() for secret in json.load(sys.stdin)]
    found = {place for place, text in texts() for secret in secrets if secret in text}
    print("\n".join(sorted(found)) or f"{len(secrets)} secrets, and none lies open")
    return 1 if found or not secrets else 0


def texts():
    """Return each place to look at, with what it holds."""
    yield "the journal", subprocess.run(["journalctl", "--output=export"], capture_output=True, check=True).stdout
    for pattern in OPEN_TO_ALL:
        for path in glob.glob(pattern, recursive=True, include_hidden=True):
            if os.path.isfile(path):
                try:
                    with open(path, "rb") as stream:
                        yield path, stream.read()
                except OSError:
                    # A process that has ended since.
                    continue


if __name__ == "__main__":
    sys.exit(main())
