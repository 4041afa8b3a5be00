#!/usr/bin/python

# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Back up PostgreSQL databases, and MLflow's artifacts with them, as one verified set
version_added: "0.1.0"
description:
  - Makes a set out of one or several databases of a server, its roles, the artifacts that the databases refer to, and
    a manifest that names all of it. One set is what mlops.stack.pg_restore restores.
  - Each database is dumped by C(pg_dump) in its directory format. Its rows and the revisions of MLflow's schema are
    read in the same snapshot, so the manifest says exactly what the dump holds.
  - A set is written beside the others, put onto the disk, read back whole, and only then renamed into its place. In an
    S3 store its manifest is uploaded last. So a set that can be seen is complete.
  - After any failure the unfinished set is removed, earlier sets are untouched and none expires. What a killed backup
    has left is removed by the next one.
  - One backup runs at a time, by a lock in the folder and a lease in the store.
author:
  - The mlops.stack authors (@mlops-stack)
requirements:
  - on the machine that the module runs on, Python 3.10 and psycopg2
  - C(pg_dump), C(pg_dumpall) and C(pg_restore) of PostgreSQL's own packages there, of the server's major version or
    newer
  - boto3 where a set or artifacts are in an S3 store, C(rclone) where artifacts are copied, C(age) for encryption
extends_documentation_fragment:
  - mlops.stack.attributes
  - mlops.stack.postgres
attributes:
  check_mode:
    support: full
    details:
      - What would fail before anything is written, such as for a missing database or too little space, fails in check
        mode as well.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(max_age) or O(label), a set that will do makes a second one needless, and nothing is changed. Without
        them every call makes a set.
notes:
  - The role O(login_user) needs no superuser's rights and should not have them. C(CREATE ROLE mlops_backup LOGIN
    PASSWORD '…'; GRANT pg_read_all_data TO mlops_backup) is enough.
  - The folder O(dest) belongs to the sets. Nobody but its owner may write there, and other things do not belong there.
  - CrateDB, connection poolers and replicas are refused.
options:
  state:
    description:
      - V(present) makes a set, unless one that is there will do.
      - V(expired) removes the sets that O(retention) drops, and does nothing else; only those of O(databases), where
        any are named.
      - V(absent) removes the set O(label), in the store and then in the folder. Where the key of O(s3) may not delete,
        a set that is in the store is not removed at all.
    type: str
    choices: [present, absent, expired]
    default: present
  dest:
    description:
      - Folder of the sets, an absolute path on the machine that the module runs on. It is made with the mode V(0700).
    type: path
    required: true
  databases:
    description:
      - The databases that a set holds. Needed with O(state=present).
      - Name the database of MLflow's users too, where it is another one.
      - O(retention) and O(minimum_redundancy) count sets of exactly these databases, and leave others alone. With
        O(state=expired) and no databases, the sets of each choice of databases are counted by themselves.
    type: list
    elements: str
    default: []
  label:
    description:
      - The set's name; letters, digits, dots, underscores and hyphens, at most 64.
      - A set of this name that is there already, in O(dest) or in the store of O(s3), with these databases of this
        server, is not made again. What the store lacks of it is uploaded.
      - A set of this name that is something else, not verified as O(verify) says, or damaged, fails the call.
      - Without it, a set is named by its time, such as V(20261121T131500Z-9f3a).
    type: str
  max_age:
    description:
      - No new set is made while one of these databases, of this server, complete and verified as O(verify) says, is
        younger than this; such as V(26h), V(90m) or V(7d), or a number of seconds.
      - Where that set is not in the store, or not whole any more, what the store lacks is uploaded.
    type: str
  allow_replica:
    description: Whether the server may be a replica.
    type: bool
    default: false
  jobs:
    description: So many tables are dumped at the same time, each by a connection of its own.
    type: int
    default: 2
  compress:
    description:
      - How dumps are compressed, V(none), V(gzip), V(lz4) or V(zstd), with a level where wanted, as in V(zstd:3). All
        but gzip need C(pg_dump) 16.
      - V(auto) is V(zstd:1), and V(gzip:1) where C(pg_dump) is older than 16.
    type: str
    default: auto
  verify:
    description:
      - V(read) decompresses and parses every byte of every dump after it was put onto the disk.
      - V(restore) also loads each database into one of another name, compares its rows and revisions with the
        manifest, and drops it again. It needs O(restore_user) and the space of the databases.
      - V(none) does neither. Hashes are taken from the files in any case.
    type: str
    choices: [none, read, restore]
    default: read
  restore_user:
    description: With O(verify=restore), the role that loads, which needs C(CREATEDB) and to be a member of the owners.
    type: str
    default: mlops_restore
  restore_password:
    description: Password of O(restore_user).
    type: str
  restore_password_file:
    description: File on the machine that the module runs on, whose content is that password.
    type: path
  s3:
    description:
      - A second place for the sets, in an S3 store.
      - Where the store is away or full, the call fails, after the set was made in O(dest); one whose O(artifacts) could
        not be copied lists them. The next call that makes or uploads a set also uploads what the store lacks of earlier
        ones of the same O(databases), unless O(retention) would drop them from it.
    type: dict
    suboptions:
      bucket:
        description: The bucket. It must exist.
        type: str
        required: true
      prefix: &prefix
        description: What the names of all objects begin with, such as V(mlops). Slashes at its ends are ignored.
        type: str
        default: ""
      endpoint_url: &endpoint_url
        description: URL of the store. Without it, AWS itself is used.
        type: str
      access_key: &access_key
        description: The access key. It needs no right to delete, unless O(s3.expire) is set.
        type: str
      access_key_file: &access_key_file
        description: File on the machine that the module runs on, whose content is the access key.
        type: path
      secret_key: &secret_key
        description: The secret key. Prefer the option for a file.
        type: str
      secret_key_file: &secret_key_file
        description: File on the machine that the module runs on, whose content is the secret key.
        type: path
      ca_bundle: &ca_bundle
        description: File with the certificates (PEM) of the authorities that may sign the store's certificate.
        type: path
      region: &region
        description: Region of the store.
        type: str
      wait_timeout: &wait_timeout
        description: How long a store that is not reached, or answers that it is busy, is asked again, in seconds.
        type: int
        default: 60
      expire: &expire
        description:
          - Whether what O(retention) drops is removed from the store, too. The key has to be allowed to delete then.
        type: bool
        default: false
  retention:
    description:
      - How many sets stay. A set stays by any of these rules; without any, all stay.
      - Periods are those that have sets, by UTC, counted from the newest set back. Sets whose time is in the future
        stay and count for nothing.
      - The set that a call makes stays in that call, whatever its time is, which is that of the server's clock. A clock
        that is more than five minutes away from that of the machine that the module runs on is a warning.
      - Only complete sets count and expire, and only after a backup that succeeded or with O(state=expired).
      - A set whose artifacts could not be copied takes no other set's place. Whatever would stay without it stays.
    type: dict
    suboptions:
      keep_last:
        description: The newest ones.
        type: int
        default: 0
      daily:
        description: Days of which the newest set stays.
        type: int
        default: 0
      weekly:
        description: Weeks of which the newest set stays.
        type: int
        default: 0
      monthly:
        description: Months of which the newest set stays.
        type: int
        default: 0
  minimum_redundancy:
    description: So many of the newest complete sets stay whatever O(retention) says.
    type: int
    default: 2
  min_size:
    description:
      - The call fails when the dumps of all databases together are smaller than this, such as V(500K), V(10M) or V(2G),
        or a number of bytes. Nothing is published or removed then.
    type: str
  free_space_factor:
    description:
      - The file system of O(dest) must have this factor of the space that a set may need. That is what the last set of
        the same databases took, in proportion to their growth; without one, what they take on the server.
      - V(0) does not check.
    type: float
    default: 1.2
  lock_timeout:
    description:
      - How long is waited for another backup or restore, in seconds.
      - So long C(pg_dump) also waits for a table that another session has locked.
    type: int
    default: 60
  timeout:
    description:
      - The longest time for each of dumping a database, uploading a set, copying artifacts, and listing the sets of the
        store, in seconds.
    type: int
    default: 21600
  artifacts:
    description:
      - What is done with MLflow's artifacts. They are looked at after the databases were dumped, so every artifact that
        a dumped run has is among them.
      - Artifacts must not be deleted meanwhile, by C(mlflow gc) or a lifecycle. Those that went away all the same are
        told in a warning, as are copies that were gone or cut off and were made anew, and links and other things that
        are no files.
    type: dict
    suboptions:
      mode:
        description:
          - V(copy) copies what is not there yet, and hashes it. What was overwritten stays as long as a set needs it.
          - Where copies cannot be made, the set lists the artifacts, the call fails, and a restore of it uses the
            copies that other sets have of the same objects. None of these is removed while the set is there; none at
            all where its list cannot be read in O(dest), as that of an encrypted set, or where any other set's manifest
            or list cannot be read.
          - V(inventory) only lists them with their sizes and versions. It is for buckets that keep old versions.
        type: str
        choices: [copy, inventory, none]
        default: copy
      source:
        description: Where MLflow keeps them. Either a path or a bucket is set.
        type: dict
        suboptions: &place
          path:
            description: The folder.
            type: path
          bucket:
            description: The bucket.
            type: str
          prefix: *prefix
          endpoint_url: *endpoint_url
          access_key: *access_key
          access_key_file: *access_key_file
          secret_key: *secret_key
          secret_key_file: *secret_key_file
          ca_bundle: *ca_bundle
          region: *region
          wait_timeout: *wait_timeout
          expire: *expire
      destination:
        description: Where copies go. Without it, the folder C(artifacts) in O(dest).
        type: dict
        suboptions: *place
  encrypt_to:
    description:
      - Public keys of age. With any, every file of the set but its manifest is encrypted to all of them, after it was
        verified. The copies of artifacts are not.
    type: list
    elements: str
    default: []
  versions:
    description: Versions to be told in the manifest, such as C(mlflow) with the version that runs on the databases.
    type: dict
    default: {}
  secret_files:
    description:
      - What a restored MLflow needs to read its own tables, such as the passphrase of stored secrets. The keys are
        names, the values are files on the machine that the module runs on, whose content goes into the set.
    type: dict
    default: {}
seealso:
  - module: mlops.stack.pg_restore
  - module: mlops.stack.pg_backup_info
"""

EXAMPLES = r"""
- name: A set of MLflow's databases, unless one is younger than a day
  mlops.stack.pg_backup:
    dest: /var/backups/mlops-stack
    databases: [mlflow, mlflow_auth]
    login_host: db.example.org
    login_password_file: /etc/mlops-stack/secrets/database_backup
    max_age: 24h
    min_size: 100K
    retention:
      keep_last: 7
      weekly: 8

- name: A set with a copy of all artifacts, in the folder and in a store elsewhere, encrypted
  mlops.stack.pg_backup:
    dest: /var/backups/mlops-stack
    databases: [mlflow]
    login_host: db.example.org
    login_password_file: /etc/mlops-stack/secrets/database_backup
    label: before-upgrade
    encrypt_to: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
    artifacts:
      source:
        bucket: mlflow
        endpoint_url: https://s3.example.org:8333
        access_key: backup
        secret_key_file: /etc/mlops-stack/secrets/s3_backup
    s3:
      bucket: backups
      prefix: mlflow
      endpoint_url: https://s3.elsewhere.example.org
      access_key: backup
      secret_key_file: /etc/mlops-stack/secrets/s3_elsewhere

- name: Remove a set
  mlops.stack.pg_backup:
    state: absent
    dest: /var/backups/mlops-stack
    label: before-upgrade
"""

RETURN = r"""
action:
  description:
    - What was done, or in check mode would be. V(backup), V(upload) of a set that is there already, V(remove),
      V(expire) or V(none).
  returned: success
  type: str
  sample: backup
reason:
  description: Why, with O(state=present).
  returned: success
  type: str
  sample: no verified set of these databases is younger than max_age
label:
  description: The label of the set that was made, uploaded or removed, or that will do.
  returned: success
  type: str
  sample: 20261121T131500Z-9f3a
set:
  description: That set.
  returned: success
  type: dict
  contains:
    label:
      description: Its label.
      type: str
    path:
      description: Its folder.
      type: str
    created:
      description: When its databases were as they are in it.
      type: str
    bytes:
      description: What its files take, artifacts left out.
      type: int
    databases:
      description: Its databases.
      type: list
      elements: str
    rows:
      description: The rows of all tables.
      type: int
    verified:
      description: How it was verified, and when.
      type: dict
    encrypted:
      description: Whether it is encrypted.
      type: bool
    artifacts:
      description: What became of artifacts; null where they were not asked for.
      type: dict
expired:
  description: The labels of sets that were removed because retention drops them, or in check mode would be.
  returned: success
  type: list
  elements: str
uploaded:
  description:
    - The labels of earlier sets that the store lacked, or had not whole, and that were uploaded as well, or in check
      mode would be.
  returned: success
  type: list
  elements: str
swept:
  description: What interrupted backups had left and this call removed.
  returned: success
  type: list
  elements: str
seconds:
  description: The time that each phase took.
  returned: when a set was made
  type: dict
  sample: {"plan": 0.05, "check": 0.05, "dump": 4.2, "read": 0.5, "publish": 0.01, "expire": 0.01}
phase:
  description:
    - Where it failed, such as V(options), V(lock), V(connect), V(check), V(dump), V(read), V(artifacts), V(encrypt),
      V(write), V(upload) or V(interrupted).
  returned: failure
  type: str
  sample: dump
rc:
  description: The exit status of the program that failed, null where none did.
  returned: failure
  type: int
stderr_tail:
  description: The last lines of what PostgreSQL or a program said.
  returned: failure
  type: str
safe_to_retry:
  description: Whether running the task again, as it is, can succeed and harms nothing.
  returned: failure
  type: bool
"""

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.mlops.stack.plugins.module_utils.backup import options, settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import HAS_PSYCOPG2, PSYCOPG2_IMPORT_ERROR
from ansible_collections.mlops.stack.plugins.module_utils.backup.run import Run
from ansible_collections.mlops.stack.plugins.module_utils.process.quiet import QuietModule
from ansible_collections.mlops.stack.plugins.module_utils.process.run import end_cleanly_on_signals
from ansible_collections.mlops.stack.plugins.module_utils.s3.client import BOTO3_IMPORT_ERROR, HAS_BOTO3


def main():
    module = QuietModule(
        argument_spec=options.backup_spec(),
        mutually_exclusive=[
            ("login_password", "login_password_file"),
            ("restore_password", "restore_password_file"),
        ],
        required_if=[("state", "present", ["databases"]), ("state", "absent", ["label"])],
        supports_check_mode=True,
    )
    if not HAS_PSYCOPG2:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_IMPORT_ERROR, phase="options")
    try:
        wanted = settings.settings(module.params)
        module.no_log_values.update(wanted.secrets)
        if wanted.stores and not HAS_BOTO3:
            module.fail_json(msg=missing_required_lib("boto3"), exception=BOTO3_IMPORT_ERROR, phase="options")
        end_cleanly_on_signals()
        result = Run(wanted)(module.check_mode)
    except BackupError as error:
        module.fail_json(**error.result())
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
