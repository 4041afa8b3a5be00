# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address of a host its clients use, out of what several sources say. Nothing here asks anybody."""

from __future__ import annotations

import ipaddress

from ansible_collections.mlops.stack.plugins.module_utils.stack import addresses

INVENTORY = "inventory"
INTERFACE = "interface"
METADATA = "metadata"
SOURCES = (INVENTORY, INTERFACE, METADATA)
VERSIONS = {"ipv4": 4, "ipv6": 6}


def judge(text, family=None):
    """What is wrong with an answer that should be one address of a family, as the end of a sentence; None if nothing.

    :param text: the answer.
    :param family: ipv4, ipv6 or None for both.
    """
    told = text.strip()
    if not told:
        return "has none"
    if "<" in told or "\n" in told:
        return "answers with a page instead of an address, so that something else listens there"
    address = addresses.parse_ip(told)
    if address is None:
        return "answers %r, which is no address" % told[:40]
    if addresses.usable(told) is None:
        return "answers %s, which others cannot reach" % told
    if family and address.version != VERSIONS[family]:
        return "answers %s, which is not of the family %s" % (told, family)
    return None


def from_inventory(value, family=None):
    """What the inventory says: ``(address or name, None)`` or ``(None, why not)``. A name is as good as an address."""
    text = str(value or "").strip()
    if addresses.is_name(text):
        return text, None
    return decide(text, "the inventory", family)


def from_interface(found, name, family=None):
    """The first address of an interface that others can reach.

    :param found: addresses by interface, or None for the interface that there is not.
    """
    where = "the interface %s" % name if name else "the default route"
    if found is None:
        return None, "there is no interface %s" % name
    good = [text for text in found if judge(text, family) is None]
    if good:
        return good[0], None
    return None, "%s has no %saddress that others can reach" % (where, family + " " if family else "")


def from_metadata(answer, problem, family=None):
    """What a cloud's metadata service says; ``problem`` says why there is no answer at all."""
    if problem:
        return None, problem
    return decide(answer, "the metadata service", family)


def decide(text, who, family):
    """An answer as an address, or the reason why it is none."""
    why = judge(text, family)
    return (None, "%s %s" % (who, why)) if why else (str(ipaddress.ip_address(text.strip().strip("[]"))), None)


def choose(order, ask):
    """The first source that has an address.

    :param order: sources, the best first.
    :param ask: returns ``(address, None)`` or ``(None, why not)`` for a source; those after the first that has one are
        not asked.
    :returns: dict with ``address`` (None where none has one), ``source`` and ``passed_over``, a list of reasons.
    """
    passed_over = []
    for source in order:
        address, why = ask(source)
        if address:
            return {"address": address, "source": source, "passed_over": passed_over}
        passed_over.append(why)
    return {"address": None, "source": None, "passed_over": passed_over}
