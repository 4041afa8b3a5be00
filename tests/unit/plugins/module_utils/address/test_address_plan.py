# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.address import plan

PAGE = "<!DOCTYPE html>\n<html><body>Sign in</body></html>"


@pytest.mark.parametrize(
    ("text", "family", "why"),
    [
        ("192.0.2.7", None, None),
        ("192.0.2.7\n", "ipv4", None),
        ("2001:db8::7", "ipv6", None),
        ("", None, "has none"),
        (" \n", None, "has none"),
        (PAGE, None, "answers with a page"),
        ("one\ntwo", None, "answers with a page"),
        ("not-an-address", None, "answers 'not-an-address', which is no address"),
        ("127.0.0.1", None, "answers 127.0.0.1, which others cannot reach"),
        ("192.0.2.7", "ipv6", "answers 192.0.2.7, which is not of the family ipv6"),
        ("2001:db8::7", "ipv4", "answers 2001:db8::7, which is not of the family ipv4"),
    ],
)
def test_judge(text, family, why):
    said = plan.judge(text, family)
    assert said is None if why is None else said.startswith(why)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mlflow.example.org", ("mlflow.example.org", None)),
        ("192.0.2.7", ("192.0.2.7", None)),
        ("[2001:db8::7]", ("2001:db8::7", None)),
        (None, (None, "the inventory has none")),
        ("localhost", (None, "the inventory answers 'localhost', which is no address")),
    ],
)
def test_from_inventory(value, expected):
    assert plan.from_inventory(value) == expected


@pytest.mark.parametrize(
    ("found", "name", "family", "expected"),
    [
        (["127.0.0.1", "192.0.2.7", "192.0.2.8"], "eth0", None, ("192.0.2.7", None)),
        (["192.0.2.7", "2001:db8::7"], "eth0", "ipv6", ("2001:db8::7", None)),
        (None, "eth9", None, (None, "there is no interface eth9")),
        ([], None, None, (None, "the default route has no address that others can reach")),
        (["fe80::1"], "eth0", "ipv6", (None, "the interface eth0 has no ipv6 address that others can reach")),
    ],
)
def test_from_interface(found, name, family, expected):
    assert plan.from_interface(found, name, family) == expected


@pytest.mark.parametrize(
    ("answer", "problem", "expected"),
    [
        ("192.0.2.7", None, ("192.0.2.7", None)),
        ("", None, (None, "the metadata service has none")),
        ("", "nobody answers", (None, "nobody answers")),
    ],
)
def test_from_metadata(answer, problem, expected):
    assert plan.from_metadata(answer, problem) == expected


def test_the_first_source_with_an_address_counts_and_the_others_are_not_asked():
    told = {"metadata": (None, "nobody answers"), "interface": ("192.0.2.7", None)}
    assert plan.choose(["metadata", "interface", "inventory"], told.__getitem__) == {
        "address": "192.0.2.7",
        "source": "interface",
        "passed_over": ["nobody answers"],
    }


def test_no_source_has_one():
    said = plan.choose(["metadata", "inventory"], lambda source: (None, source + " has none"))
    assert said == {"address": None, "source": None, "passed_over": ["metadata has none", "inventory has none"]}
