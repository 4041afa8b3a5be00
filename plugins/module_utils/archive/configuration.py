# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a configuration of pgBackRest says about the archive: where it lies, and what it is encrypted with."""

from __future__ import annotations

#: The configuration on a host.
FILE = "/etc/pgbackrest/pgbackrest.conf"

#: Where the last base backup was made that the role knows of: its last line is the archive's place.
BACKED_UP = "/etc/pgbackrest/mlops-stack-backed-up"

#: Options that tell one archive from another; what only opens it is not among them.
PLACE = ("type", "path", "sftp-host", "sftp-host-port", "s3-endpoint", "s3-bucket")


def read(text):
    """The ``place`` of the archive in one line, and its ``passphrase``; each is empty where there is none."""
    options = {}
    for line in text.splitlines():
        name, _sign, value = line.partition("=")
        options[name.strip()] = value.strip()
    named = {name: options.get("repo1-" + name) for name in PLACE}
    return {
        "place": " ".join("%s=%s" % (name, value) for name, value in named.items() if value),
        "passphrase": options.get("repo1-cipher-pass", ""),
    }
