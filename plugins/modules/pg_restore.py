#!/usr/bin/python

# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Restore a set that mlops.stack.pg_backup made
version_added: "0.1.0"
description:
  - Restores the databases of one set, and the artifacts that belong to them, into the live stack or beside it.
  - Every file's hash is checked, the databases are loaded under names of their own, and each table's rows and the
    revisions of MLflow's schema are compared with the set's manifest. Only then do they take the names of the live
    ones, all together in one transaction.
  - Whatever fails or dies before that, the live databases serve on untouched, and what was half loaded is removed, by
    the next call at the latest. There is no moment at which a live database has to be repaired.
  - The live database is kept under the name C(DATABASE__old_SET). Its access rights, its settings
    (C(ALTER DATABASE … SET), C(ALTER ROLE … IN DATABASE … SET)), its limit of connections, its owner and its comment
    are given to the restored one.
  - Sessions in a live database are ended when it is replaced. MLflow connects anew by itself.
  - The restored database's comment names the set. A set that is there already is not restored again, unless O(force)
    says so, even when the database was written to since.
author:
  - The mlops.stack authors (@mlops-stack)
requirements:
  - on the machine that the module runs on, psycopg2, and C(pg_restore) of PostgreSQL's own packages, of the server's
    major version where possible
  - boto3 where a set or artifacts are in an S3 store, C(rclone) where artifacts are moved, C(age) for encrypted sets
extends_documentation_fragment:
  - mlops.stack.attributes.full
  - mlops.stack.postgres
notes:
  - The role O(login_user) needs no superuser's rights, and should not have them, since a dump can hold code. What it
    needs, for a database owned by V(mlflow), is C(CREATE ROLE mlops_restore LOGIN CREATEDB PASSWORD '…'),
    C(GRANT mlflow TO mlops_restore), and C(GRANT pg_signal_backend TO mlops_restore) so that it can end sessions of
    other roles, such as a running backup. It must be let into all databases by C(pg_hba.conf).
  - What it may not reapply, such as settings of another role or those that only a superuser may set, is told in
    RV(not_reapplied) as the statements to run.
  - A restore holds the lock of the folder that the set is read from, or the lease of the store, so that no backup runs
    meanwhile, nor anything else that holds backups off. Where O(work_dir) is a backup host's own folder of sets, its
    lock is held, too. Two restores of sets in one place come one after the other.
  - A folder that cannot be locked, or a key that may not write the lease, is told in a warning, and the set is restored
    all the same.
options:
  state:
    description:
      - V(present) restores.
      - V(absent) drops the databases that scratch restores of O(set) have made, or the one of them that is named
        O(target_db), and nothing else. O(set) must be a label then, and the set need not be there any more.
    type: str
    choices: [present, absent]
    default: present
  set:
    description:
      - Which set. V(latest) is the newest complete one. With O(databases), only sets that have all of them count.
      - A label names one set. A time such as V(2026-11-21T13:15:00Z) means the newest complete set that is not younger,
        with O(databases) as above; without a zone it is UTC.
      - An absolute path is the folder of one set.
    type: str
    default: latest
  source:
    description:
      - The folder with the sets, O(mlops.stack.pg_backup#module:dest).
      - Mutually exclusive with O(s3).
    type: path
  s3:
    description:
      - The place of the sets in an S3 store. The set is downloaded into O(work_dir) first.
      - Mutually exclusive with O(source).
    type: dict
    suboptions: &s3
      bucket: &bucket
        description: The bucket.
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
        description: The access key.
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
  mode:
    description:
      - V(scratch) loads and compares, and leaves the databases as O(target_db) or C(DATABASE__scratch_SET), which only
        the owner may connect to. Nothing live is touched.
      - V(swap) puts them in the place of the live ones.
    type: str
    choices: [scratch, swap]
    default: scratch
  databases:
    description:
      - The databases of the set to restore. Without it, all of them; all are loaded and compared before any takes its
        name.
    type: list
    elements: str
    default: []
  target_db:
    description:
      - The name of the restored database, where one database is restored and its own name is not meant. With
        O(mode=swap) it is the live database that is replaced.
    type: str
  owner:
    description:
      - The role that is to own the restored database and all that is in it. It must exist.
      - Without it, that of the live database with O(mode=swap), else that of the set.
    type: str
  jobs:
    description: So many tables are loaded, and counted, at the same time.
    type: int
    default: 2
  keep_old:
    description:
      - Whether the replaced database is kept, as C(DATABASE__old_SET). It takes its space until somebody drops it.
    type: bool
    default: true
  check_artifacts:
    description:
      - How it is checked that the artifacts that the set names are in the live store. One that is in neither the live
        store nor the copies is told in RV(missing_artifacts), and with O(mode=swap) the call fails before anything is
        touched, unless O(force) is set.
      - V(size) lists the store and compares sizes, and ETags where they are hashes. V(hash) reads each object too.
        V(none) looks at none.
    type: str
    choices: [none, size, hash]
    default: size
  artifacts:
    description:
      - Where artifacts are. With O(mode=swap), needed when the set names an artifact at least and
        O(check_artifacts) is not V(none).
    type: dict
    suboptions:
      live:
        description: The store or folder that MLflow keeps its artifacts in, or is to keep them in.
        type: dict
        suboptions: &place
          path:
            description: The folder. Either this or a bucket is set.
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
      copies:
        description:
          - Where backups put copies of artifacts. Without it, the folder C(artifacts) in O(source), else the folder
            that the set's manifest names.
          - A set that only lists its artifacts has none of its own. Copies that other sets have of the same objects
            (by path, size, ETag, time and version) are used for it.
        type: dict
        suboptions: *place
      restore:
        description:
          - Whether artifacts that are missing in the live store are brought back from the copies. Each one's hash is
            compared afterwards.
          - An object of the live store that differs from the set's is left alone and told in RV(different_artifacts).
            With O(force) it is put aside, into C(kept/SET) beside the copies, or C(kept/SET_2) where that is there,
            and the set's takes its place, once its copy was read and is whole. Whatever fails after that and before the
            databases have their names, what was put aside is put back, and the error says so.
          - Where PostgreSQL goes away during the swap and cannot be asked whether the databases have their names, it
            stays in C(kept/SET), and the error says so. Run the restore again once the server answers; where the
            databases are the set's already, nothing is left to do.
          - Nobody puts it back where this process is killed in between, or its machine dies. The next restore of the
            set with O(force) goes on from there; to stay with what is live instead, copy what lies in C(kept/SET) back
            to O(artifacts.live).
          - Sessions that keep the databases from getting their names are looked for before that, too, unless
            O(stop_units) is set, since they may be those of the units.
          - Without it, they are brought back with O(mode=swap) and not with O(mode=scratch).
        type: bool
  stop_units:
    description:
      - Units of systemd, on the machine that the module runs on, that stand still while the databases change their
        names, such as V(mlflow.service). Those that ran are started again, whatever happened.
      - Only with O(mode=swap).
    type: list
    elements: str
    default: []
  mlflow_env:
    description:
      - The virtual environment, on the machine that the module runs on, of the MLflow that is to run on the restored
        databases. A set whose schema is newer than that MLflow is refused, unless O(force) is set.
    type: path
  identity_file:
    description: File with the age identity that decrypts the set.
    type: path
  secrets_dest:
    description:
      - File to which the set's file of secrets is written, readable by its owner only, where it is not there yet or is
        another. Its folder must be there, which is looked at before anything is restored.
      - It is written also when the set is there already, which takes O(identity_file) where the set is encrypted and
        the file is not what it is to be.
    type: path
  secret_files:
    description:
      - The secrets in force, as in O(mlops.stack.pg_backup#module:secret_files). A set that was made with another one,
        and has rows that can be read with that one alone, is refused unless O(force) is set.
    type: dict
    default: {}
  work_dir:
    description:
      - Folder for what is downloaded or decrypted, which is removed at the end. It needs the size of the set.
      - Without it, O(source), else C(/var/tmp).
    type: path
  lock_timeout:
    description: How long a backup or another restore that works on the same sets is waited for, in seconds.
    type: int
    default: 60
  timeout:
    description: The longest time, in seconds, for loading one database, and for moving artifacts.
    type: int
    default: 86400
  force:
    description:
      - With O(mode=swap), restores a set again that is there already, without artifacts that are missing, with a
        schema that O(mlflow_env) does not know, and with rows that the secrets of O(secret_files) cannot read.
      - With O(mode=scratch), replaces an earlier scratch restore. A database that no scratch restore made is never
        replaced.
    type: bool
    default: false
seealso:
  - module: mlops.stack.pg_backup
  - module: mlops.stack.pg_backup_info
"""

EXAMPLES = r"""
- name: Look whether the newest set can be restored, beside the live databases
  mlops.stack.pg_restore:
    login_host: db.example.org
    login_password_file: /etc/mlops-stack/secrets/restore_password
    source: /var/backups/mlops-stack

- name: Drop what the task before has made
  mlops.stack.pg_restore:
    login_host: db.example.org
    login_password_file: /etc/mlops-stack/secrets/restore_password
    set: 20261121T131500Z-9f3a
    state: absent

- name: Put the live databases back to what they were at noon, and bring back artifacts that are gone
  mlops.stack.pg_restore:
    login_host: db.example.org
    login_password_file: /etc/mlops-stack/secrets/restore_password
    source: /var/backups/mlops-stack
    set: 2026-11-21T12:00:00Z
    mode: swap
    stop_units: [mlflow.service]
    artifacts:
      live:
        bucket: mlflow
        endpoint_url: https://s3.example.org:8333
        access_key: mlflow
        secret_key_file: /etc/mlops-stack/secrets/s3_secret_key

- name: Restore an encrypted set out of a store, under another name
  mlops.stack.pg_restore:
    login_host: db.example.org
    login_password_file: /etc/mlops-stack/secrets/restore_password
    s3:
      bucket: backups
      endpoint_url: https://s3.elsewhere.example.org
      access_key: restore
      secret_key_file: /etc/mlops-stack/secrets/backup_secret_key
    set: 20261121T131500Z-9f3a
    identity_file: /root/age-identity.txt
    databases: [mlflow]
    target_db: mlflow_last_week
"""

RETURN = r"""
msg:
  description: What was done or would be, in one line.
  returned: always
  type: str
  sample: "restored the set 20261121T131500Z-9f3a to mlflow"
set:
  description: The label of the set.
  returned: success
  type: str
  sample: 20261121T131500Z-9f3a
created:
  description: When the set's databases were as they are in it.
  returned: success
  type: str
  sample: "2026-11-21T13:15:00Z"
versions:
  description: The versions that the set was made with, as its maker named them.
  returned: success
  type: dict
  sample: {"mlflow": "3.17.2"}
mode:
  description: As in O(mode).
  returned: success
  type: str
  sample: swap
databases:
  description: What became of each database.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name in the set.
      type: str
    target:
      description: The name that it has now.
      type: str
    action:
      description: V(nothing) where the set was there already, V(create), V(replace), or V(drop).
      type: str
    owner:
      description: Its owner.
      type: str
    old_db:
      description: The name of the database that had its name before and is kept.
      type: str
    tables:
      description: The number of its tables.
      type: int
    rows:
      description: The number of rows in all of them.
      type: int
counts:
  description: The rows of each table of each database that was loaded, all equal to the manifest's.
  returned: success
  type: dict
  sample: {"mlflow": {"public.runs": 2000}}
old_db:
  description: The databases that were replaced and kept, by the name that they had.
  returned: success
  type: dict
  sample: {"mlflow": "mlflow__old_20261121T131500Z-9f3a"}
artifacts_named:
  description: How many artifacts the set names.
  returned: success
  type: int
  sample: 2000
artifacts_checked:
  description: Whether the set's artifacts were looked for.
  returned: success
  type: bool
missing_artifacts:
  description: The paths of artifacts that are neither in the live store nor among the copies.
  returned: success
  type: list
  elements: str
different_artifacts:
  description: The paths of artifacts that the live store has and that are not those of the set. With O(mode=swap), a
    warning tells of those that stayed so.
  returned: success
  type: list
  elements: str
restored_artifacts:
  description: The paths of artifacts that were brought back.
  returned: success
  type: list
  elements: str
not_reapplied:
  description: The statements that this role may not run and that a superuser has to, so that nothing of the replaced
    databases' rights and settings is lost.
  returned: success
  type: list
  elements: str
  sample: ["ALTER DATABASE \"mlflow\" SET \"log_min_duration_statement\" TO '1s';"]
swept:
  description: The databases that interrupted restores had left half loaded and that were dropped.
  returned: success
  type: list
  elements: str
secrets:
  description: The set's file of secrets, never its content.
  returned: success
  type: dict
  contains:
    present:
      description: Whether the set has one.
      type: bool
    path:
      description: Where it can be read; null where it was only downloaded or decrypted for this call.
      type: str
seconds:
  description: The time that each phase took.
  returned: success
  type: dict
  sample: {"check": 0.05, "hash": 0.2, "load": 31.5, "compare": 0.4, "swap": 0.1}
phase:
  description: Where it failed, such as V(set), V(plan), V(hash), V(check_artifacts), V(load), V(compare) or V(swap).
  returned: failure
  type: str
  sample: hash
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
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import HAS_PSYCOPG2, PSYCOPG2_IMPORT_ERROR
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import call, job
from ansible_collections.mlops.stack.plugins.module_utils.process.quiet import QuietModule
from ansible_collections.mlops.stack.plugins.module_utils.process.run import end_cleanly_on_signals
from ansible_collections.mlops.stack.plugins.module_utils.s3.client import BOTO3_IMPORT_ERROR, HAS_BOTO3


def main():
    module = QuietModule(
        argument_spec=job.spec(),
        mutually_exclusive=[("source", "s3"), ("login_password", "login_password_file")],
        supports_check_mode=True,
    )
    if not HAS_PSYCOPG2:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_IMPORT_ERROR, phase="options")
    try:
        wanted = job.job(module.params)
        module.no_log_values.update(wanted.secrets)
        if wanted.stores and not HAS_BOTO3:
            module.fail_json(msg=missing_required_lib("boto3"), exception=BOTO3_IMPORT_ERROR, phase="options")
        end_cleanly_on_signals()
        result = call.restore(wanted, module.check_mode)
    except BackupError as error:
        module.fail_json(**error.result())
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
