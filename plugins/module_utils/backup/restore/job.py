# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a restore, and what they come to: typed, with secrets read from their files."""

from __future__ import annotations

import dataclasses

from ansible_collections.mlops.stack.plugins.module_utils.backup import names, options, settings
from ansible_collections.mlops.stack.plugins.module_utils.backup.options import wrong
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import plan, sets

USER = "mlops_restore"
CHECKS = ("none", "size", "hash")
WORK = "/var/tmp"


def spec() -> dict:
    """The options of pg_restore."""
    # Nothing expires by a restore.
    place = {"type": "dict", "options": _without_expire(options.place_spec())}
    return {
        **options.postgres_spec(),
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "set": {"type": "str", "default": sets.LATEST},
        "source": {"type": "path"},
        "s3": {"type": "dict", "options": _without_expire(options.s3_spec())},
        "mode": {"type": "str", "choices": [plan.SCRATCH, plan.SWAP], "default": plan.SCRATCH},
        "databases": {"type": "list", "elements": "str", "default": []},
        "target_db": {"type": "str"},
        "owner": {"type": "str"},
        "jobs": {"type": "int", "default": 2},
        "keep_old": {"type": "bool", "default": True},
        "check_artifacts": {"type": "str", "choices": list(CHECKS), "default": "size"},
        "artifacts": {
            "type": "dict",
            "options": {"live": place, "copies": place, "restore": {"type": "bool"}},
        },
        "stop_units": {"type": "list", "elements": "str", "default": []},
        "mlflow_env": {"type": "path"},
        "identity_file": {"type": "path"},
        "secrets_dest": {"type": "path"},
        "secret_files": {"type": "dict", "default": {}, "no_log": False},
        "work_dir": {"type": "path"},
        "lock_timeout": {"type": "int", "default": 60},
        "timeout": {"type": "int", "default": 86400},
        "force": {"type": "bool", "default": False},
    }


def _without_expire(spec: dict) -> dict:
    return {name: rule for name, rule in spec.items() if name != "expire"}


@dataclasses.dataclass(frozen=True)
class Job:
    """One restore. ``timeout`` is for loading one database and for moving artifacts, in seconds, each for itself."""

    login: Login
    options: plan.Options
    absent: bool = False
    wanted: str = sets.LATEST
    source: str | None = None
    s3: settings.S3 | None = None
    jobs: int = 2
    check_artifacts: str = "size"
    live: settings.Place | None = None
    copies: settings.Place | None = None
    stop_units: tuple[str, ...] = ()
    mlflow_env: str | None = None
    identity_file: str | None = None
    secrets_dest: str | None = None
    secret_files: dict = dataclasses.field(default_factory=dict)
    work_dir: str = WORK
    lock_timeout: int = 60
    timeout: int = 86400

    @property
    def stores(self) -> list[settings.S3]:
        """The places in S3 stores."""
        places = (self.s3, *(place.s3 for place in (self.live, self.copies) if place))
        return [place for place in places if place]

    @property
    def secrets(self) -> list[str]:
        """What no output may show."""
        return [one for one in (self.login.password, *(place.secret_key for place in self.stores)) if one]


def job(params: dict) -> Job:
    """What the options come to; BackupError where they cannot be."""
    store = settings.s3(params["s3"], "s3")
    _check(params, store)
    artifacts = params["artifacts"] or {"live": None, "copies": None, "restore": None}
    live = settings.place(artifacts["live"], "artifacts.live")
    restore = artifacts["restore"]
    if restore is None:
        restore = live is not None and params["mode"] == plan.SWAP
    if restore and (live is None or params["check_artifacts"] == "none"):
        raise wrong("artifacts.restore needs artifacts.live, and check_artifacts other than none.")
    return Job(
        login=settings.login(params, USER),
        options=plan.Options(
            mode=params["mode"],
            databases=tuple(dict.fromkeys(params["databases"])),
            target_db=params["target_db"],
            owner=params["owner"],
            keep_old=params["keep_old"],
            restore_artifacts=restore,
            force=params["force"],
        ),
        absent=params["state"] == "absent",
        wanted=params["set"],
        s3=store,
        live=live,
        copies=settings.place(artifacts["copies"], "artifacts.copies"),
        stop_units=tuple(params["stop_units"]),
        work_dir=params["work_dir"] or params["source"] or WORK,
        **{
            name: params[name]
            for name in (
                *("source", "jobs", "check_artifacts", "mlflow_env", "identity_file", "secrets_dest"),
                *("secret_files", "lock_timeout", "timeout"),
            )
        },
    )


def _check(params: dict, store) -> None:
    if params["state"] == "absent":
        if params["mode"] != plan.SCRATCH or not names.is_label(params["set"]):
            raise wrong("state=absent drops scratch restores only: leave mode at scratch, and set set to a label.")
        return
    if params["source"] and store:
        raise wrong("source and s3 are both set: a set is restored from one of them.")
    if not (params["source"] or store or "/" in params["set"]):
        raise wrong("Set source to the folder with the sets, or s3 to the store, or set to the path of one set.")
    if store and "/" in params["set"]:
        raise wrong("set is a path, which does not go with s3: name the set by its label.")
    for option in ("jobs", "timeout"):
        if params[option] < 1:
            raise wrong(f"{option} must be 1 at least.")
    if params["stop_units"] and params["mode"] != plan.SWAP:
        raise wrong("stop_units goes with mode=swap only: a scratch restore disturbs nobody.")
