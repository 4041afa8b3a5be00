# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

RENDER = pathlib.Path(__file__).parent / "render.py"


@pytest.fixture(scope="session")
def evaluate():
    """Expressions over roles' variables, given as [role, expression, variables]: their values, from one process."""

    def evaluate(requests):
        done = subprocess.run(
            [sys.executable, str(RENDER)],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return evaluate
