# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pytest plugin: which faults were injected how often, and whether the promise held each time.

A test says which faults it injects by ``@pytest.mark.fault(1, 3)``, with the numbers of docs/faults.md. It fails where
an earlier set is lost or a live database is damaged, so a fault holds where each of its tests passed every time.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import re

import pytest

FAULTS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "faults.md"
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \|", re.MULTILINE)


@dataclasses.dataclass
class Count:
    """What became of one fault."""

    tries: int = 0
    held: int = 0
    seconds: float = 0.0
    tests: set[str] = dataclasses.field(default_factory=set)


class Table:
    """Counts the outcomes of all tests with the marker."""

    def __init__(self) -> None:
        self.counts: dict[int, Count] = collections.defaultdict(Count)
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        """Count a test once: when it ends, with its teardown, which looks at what must not have changed."""
        report = yield
        if report.failed:
            self.failed.add(item.nodeid)
        for number in numbers(item):
            self.counts[number].seconds += call.duration
            if call.when == "teardown":
                self.counts[number].tries += 1
                self.counts[number].held += item.nodeid not in self.failed
                self.counts[number].tests.add(item.originalname)
        return report

    def pytest_terminal_summary(self, terminalreporter):
        """Print one line for each fault that there is, also for those that no test injected."""
        if not self.counts:
            return
        terminalreporter.section("faults")
        terminalreporter.write_line(f"{'fault':>5}  {'held':>9}  {'seconds':>7}  what")
        for number, what in ROW.findall(FAULTS.read_text(encoding="utf-8")):
            count = self.counts.get(int(number))
            held = f"{count.held}/{count.tries}" if count else "not run"
            seconds = f"{count.seconds:7.0f}" if count else " " * 7
            terminalreporter.write_line(f"{number:>5}  {held:>9}  {seconds}  {what.strip()}")
        broken = sum(count.tries - count.held for count in self.counts.values())
        tries = sum(count.tries for count in self.counts.values())
        terminalreporter.write_line(
            f"{len(self.counts)} faults, {tries} tries; sets lost, live databases damaged or promises broken: {broken}"
        )


def numbers(item) -> list[int]:
    """The faults that a test injects."""
    return sorted({number for mark in item.iter_markers("fault") for number in mark.args})


def pytest_configure(config) -> None:
    """Begin to count."""
    config.pluginmanager.register(Table())
