# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that a timer starts: python -m …backup.command {run,info,expire,hold} --config FILE."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import pathlib
import subprocess
import sys
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup import info, names, options, plan, results, settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.hold import hold
from ansible_collections.mlops.stack.plugins.module_utils.backup.progress import utc_now
from ansible_collections.mlops.stack.plugins.module_utils.backup.run import Run
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted, end_cleanly_on_signals

OK = 0
FAILED = 1
# EX_TEMPFAIL of sysexits: another backup runs.
BUSY = 75
HOOK_SECONDS = 300


def read_config(path) -> dict:
    """The options of the configuration file; BackupError where it cannot be used."""
    try:
        given = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise options.wrong(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise options.wrong(f"The configuration {path} is not JSON: {error}.") from None
    return options.complete(options.command_spec(), given)


def main(argv=None, runner=Run, gather=info.gather, out=None, err=None) -> int:
    """Run the command: its exit status."""
    out, err = out or sys.stdout, err or sys.stderr
    parser = argparse.ArgumentParser(prog="mlops-stack-backup", description="Back up MLflow's databases and artifacts.")
    parser.add_argument("action", choices=["run", "info", "expire", "hold"])
    parser.add_argument("--config", default="/etc/mlops-stack/backup.json", help="JSON file with the options")
    parser.add_argument("--check", action="store_true", help="only say what would be done")
    parser.add_argument("--json", action="store_true", help="write the whole result, not a line")
    arguments = parser.parse_args(argv)
    end_cleanly_on_signals()

    def say(line):
        # Whoever listened may be gone, which is no reason to end a backup.
        with contextlib.suppress(OSError, ValueError):
            err.write(line + "\n")
            err.flush()

    try:
        params = read_config(arguments.config)
    except BackupError as error:
        say(error.message)
        return FAILED
    try:
        if arguments.action == "info":
            return tell(params, arguments, say, out, gather)
        return work(params, arguments, say, out, runner, gather)
    except Interrupted:
        raise
    except Exception as error:
        message = f"'{arguments.action}' failed by an error in the program itself, {type(error).__name__}: report it."
        mistake = BackupError(message, "program", safe_to_retry=False)
        # What went wrong may be how the sets are looked at.
        tell_failure(params, arguments, say, mistake, lambda *_arguments: info.UNKNOWN)
        # The journal gets the traceback.
        raise


def tell_failure(params: dict, arguments, say, error: BackupError, gather) -> None:
    """Tell a failure wherever it is waited for."""
    say(error.message)
    if error.stderr_tail:
        say(error.stderr_tail)
    if not arguments.check and arguments.action != "hold":
        write_metrics(params, say, gather)
        call_hook(params, last_of(params, error), say)


def work(params: dict, arguments, say, out, runner, gather) -> int:
    """Make a set, or expire some, or hold backups off: the exit status."""
    try:
        if arguments.action == "hold":
            hold(runner(settings.settings({**params, "state": "present"}), say), say)
            return OK
        # The timer is to make a set whenever it is due; max_age is how old the newest one may become.
        state = "expired" if arguments.action == "expire" else "present"
        result = runner(settings.settings({**params, "state": state, "max_age": None}), say)(arguments.check)
    except BackupError as error:
        tell_failure(params, arguments, say, error, gather)
        return BUSY if error.phase == "lock" else FAILED
    for warning in result["warnings"]:
        say(warning)
    out.write((json.dumps(result, indent=1) if arguments.json else results.sentence(result)) + "\n")
    if not arguments.check:
        # To look for all copies again would take as long as the backup of artifacts that have not changed.
        seen_to = result["action"] == plan.BACKUP
        write_metrics(params, say, functools.partial(gather, copied=True) if seen_to else gather)
    return OK


def tell(params: dict, arguments, say, out, gather) -> int:
    """Show what there is; that it is not enough is told as a failed backup is."""
    try:
        told = gather(settings.sets(params), utc_now())
    except BackupError as error:
        say(error.message)
        return FAILED
    out.write((json.dumps(told, indent=1) if arguments.json else info.sentence(told)) + "\n")
    if not arguments.check:
        write_metrics(params, say, lambda *_arguments: told)
    if told["healthy"]:
        return OK
    for problem in told["problems"]:
        say(problem)
    if not arguments.check:
        error = BackupError(" ".join(told["problems"]), "info")
        call_hook(params, {"label": told["latest"], "ok": False, "error": error.result()}, say)
    return FAILED


def write_metrics(params: dict, say, gather=info.gather) -> None:
    """Write the metrics file, where one is named. That it cannot be written is no failure of a backup."""
    if not params.get("metrics_file"):
        return
    try:
        told = gather(settings.sets(params), utc_now())
        info.write_metrics(params["metrics_file"], info.metrics(told, time.time()))
    except (BackupError, OSError) as problem:
        say(f"The metrics file {params['metrics_file']} could not be written: {problem}")


def call_hook(params: dict, told: dict, say, call=subprocess.run) -> None:
    """Start the command that is to hear of failures, where one is named, with the failure as JSON for it to read."""
    if not params.get("on_failure"):
        return
    try:
        ended = call(params["on_failure"], input=json.dumps(told).encode(), timeout=HOOK_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as problem:
        say(f"The command of on_failure failed: {problem}")
        return
    if ended.returncode:
        say(f"The command of on_failure ended with status {ended.returncode}.")


def last_of(params: dict, error: BackupError) -> dict:
    """What the hook is told: the last attempt where it was written down, else the error alone."""
    told = info.read_json(pathlib.Path(params["dest"], names.LAST))
    if not told or told.get("ok"):
        told = {"label": None, "ok": False, "finished": names.format_time(utc_now())}
    return {**told, "error": error.result()}


if __name__ == "__main__":
    raise SystemExit(main())
