#!/usr/bin/python

# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_bucket
short_description: Manage buckets of an S3 store
version_added: 0.1.0
description:
  - Makes, configures and deletes buckets of SeaweedFS, MinIO, AWS and other S3 stores, one or many in one call.
  - Only those features of a bucket are read and written that are asked for; an option that is not set is not looked at.
  - All names are checked, and all buckets are looked at, before any of them is changed.
  - A bucket that belongs to another owner is never touched.
author:
  - The mlops.stack authors (@mlops-stack)
extends_documentation_fragment:
  - mlops.stack.attributes.full
  - mlops.stack.s3
options:
  name:
    description:
      - Name of the bucket, or a list of names. One call does them all, several side by side.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(present) makes buckets that do not exist and brings the features that are asked for to what is asked for.
      - V(absent) deletes buckets. One that holds objects, object versions, delete markers or unfinished multipart
        uploads is only deleted with O(force).
    type: str
    choices: [present, absent]
    default: present
  versioning:
    description:
      - Whether the bucket keeps old versions of objects.
    type: str
    choices: [enabled, suspended]
  policy:
    description:
      - The bucket's policy, as a dictionary or as JSON text.
      - It is compared by meaning; the order of statements and of lists does not matter.
      - An empty dictionary removes the policy.
      - It is set on all buckets of the call as it is; most stores want its resources to be those of the bucket.
    type: dict
  lifecycle:
    description:
      - The rules of the bucket's lifecycle, as the S3 API spells them; these are all its rules then.
      - They are compared by meaning. Fields that a store adds by itself, such as C(TransitionDefaultMinimumObjectSize),
        are no difference, nor is the ID that it makes up for a rule without one.
      - An empty list removes the lifecycle.
    type: list
    elements: dict
  tags:
    description:
      - The bucket's tags; these are all the tags that the bucket has then.
      - An empty dictionary removes them.
    type: dict
  object_lock:
    description:
      - Whether objects of the bucket can be locked. Needs versioning, which it switches on.
      - Only settled when a bucket is made. The call fails for an existing bucket that has it otherwise.
    type: bool
  force:
    description:
      - With O(state=absent), delete all versions and delete markers and abort all unfinished multipart uploads of the
        bucket first. What is under retention or legal hold stays, and the call fails.
    type: bool
    default: false
  adopt_unowned:
    description:
      - Take over a bucket that has no owner, which is a folder that was made through SeaweedFS's filer, by writing its
        access list. Without it such a bucket is refused.
      - Needs O(filer_url), without which such a bucket cannot be told from an own one.
    type: bool
    default: false
  filer_url:
    description:
      - URL of SeaweedFS's filer, such as V(http://10.0.0.5:8888), reached from where the module runs.
      - The filer alone tells reliably who owns a bucket; asked through S3, a bucket without an owner claims to belong
        to whoever asks. One request is sent for all buckets, so a call for many buckets is faster with it.
      - Without it the bucket's access list is read through S3, one request for each bucket that exists.
    type: str
  filer_key:
    description:
      - The key C(jwt.filer_signing.read) of SeaweedFS's C(security.toml), where the filer asks for signed reads.
    type: str
  filer_key_file:
    description:
      - File on the machine that the module runs on, whose content is O(filer_key).
      - Mutually exclusive with O(filer_key).
    type: path
  probe:
    description:
      - Prove that the key can use a bucket, by writing, reading and deleting one small object in it.
      - Done in buckets which this call makes, at most O(probe_limit) of them, spread evenly over the list; and in each
        existing bucket which the call did not make itself, takes over, or whose owner cannot be told. A bucket that is
        known to belong to the key's owner is not probed again.
      - Not done in check mode.
    type: bool
    default: true
  probe_limit:
    description:
      - How many of the buckets that one call makes are probed at most. The first object in a bucket costs SeaweedFS
        volumes of its own for that bucket.
    type: int
    default: 10
notes:
  - On SeaweedFS, S3 keys whose identity is an administrator may use and delete buckets of other identities. This module
    refuses to.
  - SeaweedFS counts an owner by the name of the identity. A bucket belongs to the identity that made it.
  - Of several calls that make the same bucket at the same time, SeaweedFS may tell more than one that it made it. There
    is one bucket all the same, with the options of the call that came last.
seealso:
  - module: amazon.aws.s3_bucket
"""

EXAMPLES = r"""
- name: A bucket
  mlops.stack.s3_bucket:
    name: mlflow
    endpoint_url: http://10.0.0.5:8333
    access_key: admin
    secret_key_file: /etc/mlops-stack/s3-admin.key

- name: Two buckets that keep old versions for a month, with proof of who owns them
  mlops.stack.s3_bucket:
    name:
      - mlflow
      - backups
    endpoint_url: https://s3.example.org:8333
    ca_bundle: /etc/ssl/certs/company.pem
    filer_url: http://10.0.0.5:8888
    access_key: admin
    secret_key: "{{ s3_admin_secret_key }}"
    versioning: enabled
    lifecycle:
      - ID: old-versions
        Status: Enabled
        Filter: {}
        NoncurrentVersionExpiration:
          NoncurrentDays: 30
      - ID: unfinished-uploads
        Status: Enabled
        Filter: {}
        AbortIncompleteMultipartUpload:
          DaysAfterInitiation: 2
    tags:
      service: mlflow

- name: A bucket gone with all that it holds
  mlops.stack.s3_bucket:
    name: scratch
    state: absent
    force: true
    endpoint_url: http://10.0.0.5:8333
    access_key: admin
    secret_key_file: /etc/mlops-stack/s3-admin.key
"""

RETURN = r"""
created:
  description: The buckets that this call made, or in check mode would make. A call that lost a race made none.
  returned: always
  type: list
  elements: str
  sample: [mlflow]
deleted:
  description: The buckets that this call deleted, or in check mode would delete.
  returned: always
  type: list
  elements: str
  sample: []
owner_verified:
  description:
    - Whether each of the buckets is proven to belong to the key's owner. It is where this call made it, where the filer
      says so, and where a store other than SeaweedFS says so.
    - On SeaweedFS without O(filer_url) it is V(false) for buckets that existed before.
  returned: success
  type: bool
  sample: true
unsupported:
  description: The features that were asked for and that the store does not have. The call failed where there are any.
  returned: always
  type: list
  elements: str
  sample: []
before:
  description:
    - For each bucket whether it existed, and the features that were asked for as they were, V(null) where not set.
  returned: success
  type: dict
  sample: {"mlflow": {"exists": false}}
after:
  description: For each bucket whether it exists, and the features that were asked for as they are now.
  returned: success
  type: dict
  sample: {"mlflow": {"exists": true, "versioning": "enabled"}}
buckets:
  description: The buckets, in the order in which they were named.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The bucket's name.
      type: str
    exists:
      description: Whether it exists now.
      type: bool
    created:
      description: Whether this call made it.
      type: bool
    owner:
      description:
        - V(self) where the bucket belongs to the key's owner, V(nobody) where it has no owner (in check mode),
          V(unknown) where the key may not know.
      type: str
    owner_verified:
      description: Whether its owner is proven.
      type: bool
  sample: [{"name": "mlflow", "exists": true, "created": true, "owner": "self", "owner_verified": true}]
flavor:
  description: Which store it is, V(other) where its answers do not tell.
  returned: success
  type: str
  sample: seaweedfs
phase:
  description:
    - Where the call failed; V(options), V(connect), V(read), V(owner), V(create), V(probe), V(features), V(empty) or
      V(delete).
    - What was changed before is in RV(created) and RV(deleted).
  returned: failure
  type: str
  sample: connect
code:
  description: The store's error code, empty where the store gave none.
  returned: failure
  type: str
  sample: AccessDenied
bucket:
  description: The bucket that the failure is about, empty where it is about none.
  returned: failure
  type: str
  sample: mlflow
safe_to_retry:
  description: Whether the same call may succeed when it is made again later.
  returned: failure
  type: bool
  sample: true
"""

import os

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mlops.stack.plugins.module_utils.s3 import call, connection
from ansible_collections.mlops.stack.plugins.module_utils.s3.client import BOTO3_IMPORT_ERROR, HAS_BOTO3


def main():
    module = AnsibleModule(
        argument_spec=dict(
            connection.argument_spec(),
            name={"type": "list", "elements": "str", "required": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            versioning={"type": "str", "choices": ["enabled", "suspended"]},
            policy={"type": "dict"},
            lifecycle={"type": "list", "elements": "dict"},
            tags={"type": "dict"},
            object_lock={"type": "bool"},
            force={"type": "bool", "default": False},
            adopt_unowned={"type": "bool", "default": False},
            filer_url={"type": "str"},
            filer_key={"type": "str", "no_log": True},
            filer_key_file={"type": "path", "no_log": False},
            probe={"type": "bool", "default": True},
            probe_limit={"type": "int", "default": 10},
        ),
        mutually_exclusive=[*connection.MUTUALLY_EXCLUSIVE, ("filer_key", "filer_key_file")],
        supports_check_mode=True,
    )
    if not HAS_BOTO3:
        module.fail_json(msg=missing_required_lib("boto3"), exception=BOTO3_IMPORT_ERROR, phase="options")
    failed, result, secrets = call.execute(module.params, os.environ, module.check_mode)
    module.no_log_values.update(secrets)
    if failed:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
