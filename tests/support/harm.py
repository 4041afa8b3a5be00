# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two things that no fault may ever do; `make faults` counts each apart from other broken promises."""

from __future__ import annotations


class SetLost(AssertionError):
    """A set that was whole is gone, or is not what it was."""


class LiveDatabaseDamaged(AssertionError):
    """A live database is gone, or has other rows, rights or settings."""


def check_sets(found, promised, when: object = "") -> None:
    """Raise SetLost where sets that were whole are not as promised; ``when`` tells the moment of a fault by chance."""
    if found != promised:
        raise SetLost(f"{when} {found!r} instead of {promised!r}".strip())


def check_live(found, *promised, when: object = "") -> None:
    """Raise LiveDatabaseDamaged where live databases are not as one of those promised."""
    if found not in promised:
        raise LiveDatabaseDamaged(f"{when} {found!r} instead of {' or '.join(map(repr, promised))}".strip())
