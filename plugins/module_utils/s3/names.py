# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of S3 for bucket names."""

from __future__ import annotations

import re

ALLOWED = re.compile(r"[a-z0-9.-]+")
IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def reason(name):
    """Why S3 refuses the bucket name, or None where it is a good one."""
    if not 3 <= len(name) <= 63:
        return f"it has {len(name)} characters, and S3 wants 3 to 63"
    if not ALLOWED.fullmatch(name):
        return "it may hold only lower-case letters, digits, dots and hyphens"
    if not (name[0].isalnum() and name[-1].isalnum()):
        return "it must begin and end with a letter or a digit"
    if any(pair in name for pair in ("..", ".-", "-.")):
        return "a dot may not stand beside another dot or a hyphen"
    if IPV4.fullmatch(name):
        return "it looks like an IPv4 address"
    if name.startswith(RESERVED_PREFIXES) or name.endswith(RESERVED_SUFFIXES):
        return "its beginning or its end is reserved by S3"
    return None


def check(names):
    """One sentence about the names that S3 refuses, or None where all are good."""
    bad = [(name, why) for name, why in ((name, reason(name)) for name in names) if why]
    if not names:
        return "No bucket is named: set 'name' to one bucket name or to a list of them."
    if not bad:
        return None
    more = f" (and {len(bad) - 1} more of the {len(names)} names)" if len(bad) > 1 else ""
    return f"S3 does not allow the bucket name '{bad[0][0]}'{more}: {bad[0][1]}; nothing was changed."
