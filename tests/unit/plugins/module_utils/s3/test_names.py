# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.s3 import names


@pytest.mark.parametrize("name", ["abc", "a" * 63, "my-bucket.v2", "0bucket9", "1.2.3", "a-b", "999.1.1.1.1", "mlflow"])
def test_names_that_s3_allows(name):
    assert names.reason(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "3 to 63"),
        ("ab", "3 to 63"),
        ("a" * 64, "64 characters"),
        ("Bucket", "lower-case"),
        ("my_bucket", "lower-case"),
        ("b\u00fccket", "lower-case"),
        ("a/b", "lower-case"),
        ("bucket\n", "lower-case"),
        ("-bucket", "begin and end"),
        ("bucket.", "begin and end"),
        ("a..b", "dot"),
        ("a.-b", "dot"),
        ("a-.b", "dot"),
        ("192.168.5.4", "IPv4"),
        ("xn--bucket", "reserved"),
        ("sthree-bucket", "reserved"),
        ("amzn-s3-demo-bucket", "reserved"),
        ("bucket-s3alias", "reserved"),
        ("bucket--ol-s3", "reserved"),
        ("bucket.mrap", "reserved"),
        ("bucket--x-s3", "reserved"),
        ("bucket--table-s3", "reserved"),
    ],
)
def test_names_that_s3_refuses(name, why):
    assert why in names.reason(name)


def test_check_is_one_sentence():
    assert names.check(["abc", "abcd"]) is None
    assert "No bucket is named" in names.check([])
    assert "'A_B'" in names.check(["abc", "A_B"])
    assert "1 more of the 3 names" in names.check(["abc", "A_B", "x"])
