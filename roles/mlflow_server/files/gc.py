# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove for good, with ``mlflow gc``, what was deleted long ago, or only count it.

Reads one JSON object from standard input: remove, older_than_days, timeout (in seconds), uri (the database's),
environment (MLflow's, with its secrets). Writes one JSON object: total, message. Needs nothing but the MLflow of the
Python that runs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time

DAY_MILLISECONDS = 24 * 3600 * 1000


def count(uri: str, days: int) -> dict[str, int]:
    """How many runs, experiments and models ``mlflow gc`` would remove, as it finds them itself."""
    from mlflow.entities import ViewType
    from mlflow.tracking import _get_store

    store = _get_store(uri)
    age = days * DAY_MILLISECONDS
    experiments, token = 0, None
    while True:
        before = f"last_update_time < {int(time.time() * 1000) - age}"
        page = store.search_experiments(view_type=ViewType.DELETED_ONLY, filter_string=before, page_token=token)
        experiments, token = experiments + len(page), page.token
        if not token:
            break
    return {
        "runs": len(store._get_deleted_runs(older_than=age)),
        "experiments": experiments,
        "models": len(store._get_deleted_logged_models(older_than=age)),
    }


def remove(uri: str, days: int, timeout: int) -> None:
    """Run ``mlflow gc`` in this process, as others could read the URI in the arguments of another one.

    :param timeout: seconds that it may take.
    :raises TimeoutError: when it takes longer.
    """
    from mlflow.cli import cli

    def end(_number, _frame):
        raise TimeoutError

    signal.signal(signal.SIGALRM, end)
    signal.alarm(timeout)
    with contextlib.redirect_stdout(sys.stderr):
        cli.main(["gc", f"--backend-store-uri={uri}", f"--older-than={days}d"], standalone_mode=False)
    signal.alarm(0)


def main() -> int:
    """Count, and remove where that is asked for: 0 when that succeeded."""
    request = json.load(sys.stdin)
    os.environ.update(request["environment"])
    uri, days = request["uri"], request["older_than_days"]
    found = count(uri, days)
    if request["remove"] and any(found.values()):
        try:
            remove(uri, days, request["timeout"])
        except TimeoutError:
            print("It took longer than mlflow_server_gc_timeout_hours and was ended; run it again.", file=sys.stderr)
            return 1
    what = ", ".join(f"{number} {name}" for name, number in found.items())
    done = "Removed for good" if request["remove"] else "To be removed for good"
    message = f"{done}, as deleted more than {days} days ago: {what}."
    print(json.dumps({"total": sum(found.values()), "message": message}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
