#!/usr/bin/python

# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_info
short_description: Tell which sets of mlops.stack.pg_backup there are, and whether they are enough
version_added: "0.1.0"
description:
  - Lists the sets in a folder and in an S3 store, complete or not, and judges whether they are enough.
  - What is damaged is told, a manifest too, and fails no call. What only reading all bytes can find is found with
    O(deep).
  - Copies of artifacts that the newest complete set in the folder needs are looked for. One that is not there, or is of
    another size, is a problem. Of a set that is encrypted nothing is known, for its list is, too.
  - While a backup runs, it tells how far that is.
author:
  - The mlops.stack authors (@mlops-stack)
requirements:
  - boto3 on the machine that the module runs on, where sets or copies of artifacts are in an S3 store
  - C(rclone) there, where O(deep) reads copies of artifacts in an S3 store
extends_documentation_fragment:
  - mlops.stack.attributes.info
options:
  dest:
    description: Folder of the sets, as in O(mlops.stack.pg_backup#module:dest).
    type: path
    required: true
  databases:
    description:
      - Only sets that hold all of these databases, and those whose databases cannot be told, are looked at. Without
        any, all sets are.
      - Name them where O(dest) or the store has sets of others, too. Otherwise a new set of those hides that one of
        these is overdue.
    type: list
    elements: str
    default: []
  s3:
    description: The second place of the sets, as in O(mlops.stack.pg_backup#module:s3).
    type: dict
    suboptions:
      bucket:
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
        description: The access key. It needs to list and to read.
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
        description: Whether backups remove what retention drops from the store, too.
        type: bool
        default: false
  artifacts:
    description: Where copies of artifacts are.
    type: dict
    suboptions:
      destination:
        description:
          - As in O(mlops.stack.pg_backup#module:artifacts.destination). Without it, the folder C(artifacts) in O(dest),
            else the folder that the newest set's manifest names.
        type: dict
        suboptions:
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
  deep:
    description:
      - Read every file of every set and compare its hash with the manifest's, in the store too, and every copy of an
        artifact that the newest complete set in the folder needs. It takes as long as reading everything does.
    type: bool
    default: false
  max_age:
    description: How old the newest complete set may be, such as V(26h), or a number of seconds.
    type: str
  min_size:
    description: How small the newest complete set may be, such as V(500K), or a number of bytes.
    type: str
  minimum_redundancy:
    description:
      - How many complete sets there must be.
      - Where the folder has a file C(.since), as the role P(mlops.stack.backup#role) writes it, no more are wanted than
        times O(max_age) went by since that was written.
    type: int
    default: 2
  timeout:
    description:
      - The longest time for each of listing the sets of the store and listing the copies of artifacts there, in
        seconds. With O(deep), listing has none.
    type: int
    default: 1800
  retention:
    description: The rules by which sets expire, as in O(mlops.stack.pg_backup#module:retention).
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
seealso:
  - module: mlops.stack.pg_backup
  - module: mlops.stack.pg_restore
"""

EXAMPLES = r"""
- name: Look at the backups
  mlops.stack.pg_backup_info:
    dest: /var/backups/mlops-stack
    databases: [mlflow, mlflow_auth]
    max_age: 26h
    min_size: 100K
  register: backups

- name: Refuse to go on without a good one
  ansible.builtin.assert:
    that: backups.healthy
    fail_msg: "{{ backups.problems | join(' ') }}"
"""

RETURN = r"""
healthy:
  description: Whether there is nothing in RV(problems).
  returned: success
  type: bool
  sample: true
problems:
  description: Why the sets are not enough, one sentence each.
  returned: success
  type: list
  elements: str
  sample: []
latest:
  description: The label of the newest complete set, null where there is none.
  returned: success
  type: str
  sample: 20261121T131500Z-9f3a
sets:
  description: The sets that hold O(databases), the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    label:
      description: Its label.
      type: str
    created:
      description: When its databases were as they are in it; null where it has no manifest.
      type: str
    bytes:
      description: What its files take, artifacts left out.
      type: int
    databases:
      description: Its databases.
      type: list
      elements: str
    locations:
      description: Where it is, V(folder), V(s3) or both.
      type: list
      elements: str
    complete:
      description: Whether all its files are there, in one of these places.
      type: bool
    verified:
      description: How it was verified (C(level)), and when (C(at)).
      type: dict
    encrypted:
      description: Whether it is encrypted.
      type: bool
    artifacts:
      description: How many artifacts it names, and where their copies are, or should be where C(mode) is V(inventory).
      type: dict
    problems:
      description: What is wrong with its files.
      type: list
      elements: str
    orphan:
      description:
        - Whether it is what an upload has left in the store that did not end, of a set that is not in O(dest). It is no
          reason to be unhealthy. C(state=absent) of M(mlops.stack.pg_backup) removes it, by a key that may delete.
      type: bool
    expires_if:
      description: What makes it expire; null where nothing does.
      type: str
    kept_by:
      description: The rule that keeps it; null where it expires, is not complete, or holds more than O(databases).
      type: str
locked:
  description: Whether a backup or a restore works in the folder.
  returned: success
  type: bool
  sample: false
running:
  description: How far the running backup is, or the restore that works in this folder; null where none runs.
  returned: success
  type: dict
  sample: {"label": "20261121T131500Z-9f3a", "phase": "dump", "done": 73400320, "total": null, "unit": "bytes"}
orphans:
  description: What an interrupted backup has left, which the next one removes.
  returned: success
  type: list
  elements: str
last:
  description: What became of the last backup; null where there was none.
  returned: success
  type: dict
  sample: {"label": "20261121T131500Z-9f3a", "ok": true, "error": null}
phase:
  description: Where it failed, which is V(options).
  returned: failure
  type: str
"""

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.mlops.stack.plugins.module_utils.backup import info, options, settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.progress import utc_now
from ansible_collections.mlops.stack.plugins.module_utils.process.quiet import QuietModule
from ansible_collections.mlops.stack.plugins.module_utils.s3.client import BOTO3_IMPORT_ERROR, HAS_BOTO3


def main():
    module = QuietModule(
        argument_spec={**options.sets_spec(), "deep": {"type": "bool", "default": False}}, supports_check_mode=True
    )
    try:
        wanted = settings.sets(module.params)
        module.no_log_values.update(place.secret_key for place in wanted.stores)
        if wanted.stores and not HAS_BOTO3:
            module.fail_json(msg=missing_required_lib("boto3"), exception=BOTO3_IMPORT_ERROR, phase="options")
        told = info.gather(wanted, utc_now(), deep=module.params["deep"])
    except BackupError as error:
        module.fail_json(**error.result())
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
