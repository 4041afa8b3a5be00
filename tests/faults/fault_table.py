# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pytest plugin that notes of every test which faults it injected, and whether their promises held.

A test says which faults it injects by ``@pytest.mark.fault(1, 3)``, with the numbers of docs/faults.md. What no fault
may do, it compares by tests/support/harm.py. A fault holds where each of its tests passed every time.

``--fault-notes=FILE`` names the JSON file, which is written after each test: by the test's id, its ``faults``, whether
they ``held``, whether it has seen a ``set_lost`` or a ``live_damaged``, and ``seconds``. Tests that it has already are
not run again.
"""

from __future__ import annotations

import json
import pathlib

import harm
import pytest

HARMS = {"set_lost": harm.SetLost, "live_damaged": harm.LiveDatabaseDamaged}


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
        unharmed = dict.fromkeys(HARMS, False)
        note = self.running.setdefault(item.nodeid, {"faults": faults, "held": True, **unharmed, "seconds": 0.0})
        # A test that was skipped shows nothing.
        note["held"] &= report.passed
        for error in errors(call.excinfo and call.excinfo.value):
            note.update({name: True for name, kind in HARMS.items() if isinstance(error, kind)})
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


def errors(raised: BaseException | None) -> list[BaseException]:
    """Return what was raised, one by one: a teardown in which two fixtures fail raises both as a group."""
    parts = getattr(raised, "exceptions", None)
    if parts is not None:
        return [error for part in parts for error in errors(part)]
    return [raised] if raised else []


def pytest_addoption(parser) -> None:
    """Say where the notes go."""
    parser.addoption("--fault-notes", type=pathlib.Path, required=True)


def pytest_configure(config) -> None:
    """Begin to take notes."""
    config.pluginmanager.register(Notes(config.getoption("--fault-notes")))
