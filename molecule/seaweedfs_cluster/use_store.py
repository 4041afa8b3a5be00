# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Use the object store as MLflow does: put objects, or find them again; then try what MLflow must not do.

On standard input: JSON with endpoint, bucket, access_key, secret_key, and step (put or find).
"""

from __future__ import annotations

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# The largest goes over several of the store's chunks.
SIZES = {"molecule/empty": 0, "molecule/small": 1000, "molecule/large": 12 * 1024 * 1024}


def main() -> int:
    """Return 0 when everything was as it has to be; else say what was not."""
    given = json.load(sys.stdin)
    client = boto3.client(
        "s3",
        endpoint_url=given["endpoint"],
        aws_access_key_id=given["access_key"],
        aws_secret_access_key=given["secret_key"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    bucket = given["bucket"]
    if given["step"] == "put":
        for key, size in SIZES.items():
            client.put_object(Bucket=bucket, Key=key, Body=content(key, size))
    wrong = [
        f"{key} is not what was put"
        for key, size in SIZES.items()
        if client.get_object(Bucket=bucket, Key=key)["Body"].read() != content(key, size)
    ]
    listed = {entry["Key"] for entry in client.list_objects_v2(Bucket=bucket, Prefix="molecule/")["Contents"]}
    if listed != set(SIZES):
        wrong.append(f"the list of objects is {sorted(listed)}")
    wrong += refusals(client, bucket)
    print("; ".join(wrong) or "as it has to be")
    return 1 if wrong else 0


def refusals(client, bucket: str) -> list[str]:
    """Try what is not MLflow's business, and return what was allowed all the same."""
    attempts = {
        "make a bucket": lambda: client.create_bucket(Bucket="molecule-other"),
        "delete its bucket": lambda: client.delete_bucket(Bucket=bucket),
        "write into another bucket": lambda: client.put_object(Bucket="molecule-admin", Key="x", Body=b""),
        "read another bucket": lambda: client.list_objects_v2(Bucket="molecule-admin"),
        "open its bucket to all": lambda: client.put_bucket_policy(Bucket=bucket, Policy=policy(bucket)),
    }
    allowed = []
    for what, attempt in attempts.items():
        try:
            attempt()
            allowed.append(f"MLflow's identity may {what}")
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                allowed.append(f"to {what} is answered with {error}")
    return allowed


def policy(bucket: str) -> str:
    """Return a policy that lets everybody read."""
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [everybody]})


def content(key: str, size: int) -> bytes:
    """Return the bytes of an object: known, and different in each of its parts."""
    line = b"".join(b"%s %08d\n" % (key.encode(), number) for number in range(size // len(key) + 1))
    return line[:size]


if __name__ == "__main__":
    sys.exit(main())
