# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pytest plugin: how often each fault was injected, and how often its promise held.

A test says which faults it injects by ``@pytest.mark.fault(1, 3)``, with the numbers of docs/faults.md. It fails where
an earlier set is lost or a live database is damaged, so a fault holds where each of its tests passed every time.

``--fault-counts=FILE`` names the JSON file that is written: by fault, its tries, those that held, and seconds.
"""

from __future__ import annotations

import collections
import json
import pathlib

import pytest


class Counts:
    """Counts the outcomes of all tests with the marker."""

    def __init__(self, file: pathlib.Path) -> None:
        self.file = file
        self.counts: dict[int, dict[str, float]] = collections.defaultdict(
            lambda: {"tries": 0, "held": 0, "seconds": 0.0}
        )
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        """Count a test once: when it ends, with its teardown, which looks at what must not have changed."""
        report = yield
        if report.failed:
            self.failed.add(item.nodeid)
        for number in {number for mark in item.iter_markers("fault") for number in mark.args}:
            count = self.counts[number]
            count["seconds"] += call.duration
            if call.when == "teardown":
                count["tries"] += 1
                count["held"] += item.nodeid not in self.failed
        return report

    def pytest_sessionfinish(self):
        """Write what was counted, also after an interruption."""
        self.file.write_text(json.dumps(self.counts), encoding="utf-8")


def pytest_addoption(parser) -> None:
    """Say where the counts go."""
    parser.addoption("--fault-counts", type=pathlib.Path, required=True)


def pytest_configure(config) -> None:
    """Begin to count."""
    config.pluginmanager.register(Counts(config.getoption("--fault-counts")))
