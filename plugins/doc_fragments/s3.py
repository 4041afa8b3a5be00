# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How modules of this collection reach an S3 store."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoint_url:
    description:
      - URL of the S3 store, such as V(https://s3.example.org:8333).
      - Without it, AWS itself is used.
      - It holds no keys; those have options of their own.
      - If not set, the environment variables E(AWS_ENDPOINT_URL_S3) and E(AWS_ENDPOINT_URL) are used.
    type: str
  access_key:
    description:
      - Access key. Needed, here, in O(access_key_file) or in the environment variable E(AWS_ACCESS_KEY_ID).
    type: str
  access_key_file:
    description:
      - File on the machine that the module runs on, whose content is the access key.
      - Mutually exclusive with O(access_key).
    type: path
  secret_key:
    description:
      - Secret key. Needed, here, in O(secret_key_file) or in the environment variable E(AWS_SECRET_ACCESS_KEY).
    type: str
  secret_key_file:
    description:
      - File on the machine that the module runs on, whose content is the secret key.
      - Mutually exclusive with O(secret_key).
    type: path
  ca_bundle:
    description:
      - File on the machine that the module runs on, with the certificates (PEM) of the authorities that may sign the
        store's certificate.
      - If not set, the environment variable E(AWS_CA_BUNDLE) is used, then the authorities which the machine trusts.
      - There is no option to leave certificates unchecked.
    type: path
  region:
    description:
      - Region of the store. Buckets are made there.
      - If not set, no location is sent, which is what stores other than AWS want.
    type: str
  flavor:
    description:
      - Which store it is.
      - V(auto) takes it from the store's own answers.
    type: str
    choices: [auto, seaweedfs, minio, aws]
    default: auto
  wait_timeout:
    description:
      - How long a store that is not reached, or answers that it is busy (500, 503, C(SlowDown)), is asked again, and
        how long a changed feature may take until the store gives it back, in seconds.
      - Nothing else is tried twice.
    type: int
    default: 60
requirements:
  - boto3 in the Python that runs the module
"""
