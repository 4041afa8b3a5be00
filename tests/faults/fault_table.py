# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pytest plugin that notes of every test which faults it injected, and whether their promises held.

A test says which faults it injects by ``@pytest.mark.fault(1, 3)``, with the numbers of docs/faults.md. It fails where
an earlier set is lost or a live database is damaged, so a fault holds where each of its tests passed every time.

``--fault-notes=FILE`` names the JSON file, which is written after each test: by the test's id, its ``faults``, whether
they ``held``, and ``seconds``. Tests that it has already are not run again.
"""

from __future__ import annotations

import json
import pathlib

import pytest


class Notes:
    """Notes the outcomes of all tests with the marker."""

    def __init__(self, file: pathlib.Path) -> None:
        self.file = file
        self.tests = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self.running: dict[str, dict] = {}

    def pytest_collection_modifyitems(self, config, items):
        """Leave out what was run before an interruption."""
        done = [item for item in items if item.nodeid in self.tests]
        if done:
            config.hook.pytest_deselected(items=done)
            items[:] = [item for item in items if item.nodeid not in self.tests]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        """Note a test when it ends, with its teardown, which looks at what must not have changed."""
        report = yield
        faults = sorted({number for mark in item.iter_markers("fault") for number in mark.args})
        note = self.running.setdefault(item.nodeid, {"faults": faults, "held": True, "seconds": 0.0})
        # A test that was skipped shows nothing.
        note["held"] &= report.passed
        note["seconds"] += call.duration
        if call.when == "teardown":
            self.tests[item.nodeid] = self.running.pop(item.nodeid)
            beside = self.file.with_suffix(".new")
            beside.write_text(json.dumps(self.tests, indent=1), encoding="utf-8")
            beside.replace(self.file)
        return report

    def pytest_sessionfinish(self, session, exitstatus):
        """A folder without such tests, or one whose tests were all run before, is no failure."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK


def pytest_addoption(parser) -> None:
    """Say where the notes go."""
    parser.addoption("--fault-notes", type=pathlib.Path, required=True)


def pytest_configure(config) -> None:
    """Begin to take notes."""
    config.pluginmanager.register(Notes(config.getoption("--fault-notes")))
