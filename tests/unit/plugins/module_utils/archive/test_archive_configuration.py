# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.archive import configuration

SFTP = """\
# Managed by mlops.stack: changes made here are overwritten.
[global]
process-max=2
repo1-path=/srv/archive
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass = passphrase=canary #1
repo1-type=sftp
repo1-sftp-host=store
repo1-sftp-host-port=22
repo1-sftp-private-key-file=/etc/pgbackrest/id_sftp

[main]
pg1-path=/var/lib/postgresql/17/main
"""
S3 = "repo1-type=s3\nrepo1-path=/postgres\nrepo1-s3-endpoint=https://s3\nrepo1-s3-bucket=wal\nrepo1-s3-key-secret=x\n"


@pytest.mark.parametrize(
    ("text", "place", "passphrase"),
    [
        ("", "", ""),
        ("[global]\nrepo1-path=/var/lib/pgbackrest\n", "path=/var/lib/pgbackrest", ""),
        (SFTP, "type=sftp path=/srv/archive sftp-host=store sftp-host-port=22", "passphrase=canary #1"),
        (S3, "type=s3 path=/postgres s3-endpoint=https://s3 s3-bucket=wal", ""),
    ],
)
def test_where_an_archive_lies_and_what_it_is_encrypted_with(text, place, passphrase):
    assert configuration.read(text) == {"place": place, "passphrase": passphrase}
