# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to result: the set, the server, the artifacts, and what is told when it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib

from ansible_collections.mlops.stack.plugins.module_utils.backup import copies, dump, manifest, names, postgres
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.extras import open_copies, open_place
from ansible_collections.mlops.stack.plugins.module_utils.backup.folder import list_sets
from ansible_collections.mlops.stack.plugins.module_utils.backup.progress import Progress
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import (
    failure,
    hold,
    plan,
    secrets_file,
    sets,
    target,
)
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.job import Job
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.run import MissingArtifacts, Restore
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.tools import Files, Tools
from ansible_collections.mlops.stack.plugins.module_utils.mlflow.uri import scrub


def find_tools() -> list[dump.Tool]:
    """The PostgreSQL programs of this host."""
    return dump.find_tools(dump.candidates())


def open_server(login: postgres.Login) -> target.Server:
    """The server, once it is known to be PostgreSQL itself and not a replica."""
    postgres.Server(login).identity()
    return target.Server(lambda database: postgres.connect(login, database))


def open_store(job: Job):
    """The store of the sets. What speaks S3 is loaded only where there is one: that takes a while."""
    from ansible_collections.mlops.stack.plugins.module_utils.backup.remote import Remote

    return Remote(job.s3, job.timeout)


@dataclasses.dataclass
class Seams:
    """What touches the world; tests give others."""

    find_tools: object = find_tools
    open_server: object = open_server
    open_store: object = open_store


def restore(job: Job, check_mode: bool = False, say=None, seams: Seams | None = None) -> dict:
    """One call of the module: its result. BackupError, without secrets, where it cannot be done."""
    seams = seams or Seams()
    old_mask = os.umask(0o077)
    try:
        if job.absent:
            return _remove(job, check_mode, seams)
        return _restore(job, check_mode, say, seams)
    except BackupError as error:
        error.message = scrub(error.message, job.secrets)
        error.stderr_tail = scrub(error.stderr_tail, job.secrets)
        raise
    except failure.ERRORS as error:
        raise failure.told(error, job.work_dir) from error
    finally:
        os.umask(old_mask)


def _restore(job, check_mode, say, seams):
    with contextlib.ExitStack() as stack:
        remote = stack.enter_context(seams.open_store(job)) if job.s3 else None
        # No backup expires the set meanwhile, collects its copies or dumps what is being replaced.
        unheld = [] if check_mode else hold.all_of(job, remote, stack)
        if remote:
            store = remote.store
            found = sets.choose(store.sets(), job.wanted, store.objects.where, job.options.databases)
            folder = None
        else:
            store = None
            found = sets.from_folder(job.source, job.wanted, job.options.databases)
            folder = found.path
        data = found.manifest
        # A set that lies here as it is is read where it is.
        needed = folder is None or data["encrypted"] or job.live is not None
        work = stack.enter_context(sets.work_folder(job.work_dir)) if needed else None
        files = Files(data, folder, store, work, job.identity_file, job.timeout)
        secrets_file.check(job, files)
        server = stack.enter_context(contextlib.closing(seams.open_server(job.login)))
        progress = Progress(job.work_dir, data["label"], no_file if check_mode else manifest.write_json, say)
        progress.path = pathlib.Path(job.work_dir, names.RESTORE_PROGRESS)
        stack.callback(progress.clear)
        artifacts_of = functools.partial(open_artifacts, job, data, work)
        tools = Tools(job, files, seams.find_tools, artifacts_of)
        try:
            result = Restore(data, job.options, server, tools, progress, job.jobs)(check_mode)
        except MissingArtifacts as error:
            error.message += with_copies(data, store.sets() if store else list_sets(folder.parent))
            raise
        result["warnings"] = unheld + result["warnings"]
        result["msg"] = sentence(result, check_mode)
        result["diff"] = diff(result)
        result["secrets"] = secrets_file.told(job, files)
        if secrets_file.keep(job, files, check_mode):
            result["changed"] = True
            result["msg"] += f"; {'would write' if check_mode else 'wrote'} its file of secrets to {job.secrets_dest}"
            result["diff"]["after"][job.secrets_dest] = "the set's file of secrets"
        result["created"] = data["created"]
        result["versions"] = data.get("versions", {})
        return result


def _remove(job, check_mode, seams):
    """Drop what earlier scratch restores of a set have left for somebody to look at."""
    with contextlib.closing(seams.open_server(job.login)) as server:
        gone = plan.scratches(server.databases(), job.wanted, job.options.target_db)
        for name in () if check_mode else gone:
            server.drop(name)
    return {
        "changed": bool(gone),
        "msg": f"{'would drop' if check_mode else 'dropped'} {', '.join(gone)}" if gone else "there is nothing to drop",
        "set": job.wanted,
        "databases": [{"name": name, "target": name, "action": "drop"} for name in gone],
        "diff": {"before": dict.fromkeys(gone, "scratch restore"), "after": {}},
        "warnings": [],
    }


def with_copies(data: dict, there) -> str:
    """What to restore instead of a set whose artifacts were only listed, as a sentence; nothing where there is none."""
    newest = None if copies.copied(data) else copies.newest_of(there, copies.copied)
    return f" This set only lists them; the newest one with copies of its own is {newest.label}." if newest else ""


def sentence(result: dict, check_mode: bool) -> str:
    """What was done, or would be, in one line."""
    if not result["changed"]:
        return f"the set {result['set']} is there already; set force to restore it again"
    names_ = ", ".join(one["target"] for one in result["databases"] if one["action"] != plan.NOTHING)
    kept = "".join(f"; the database before it is {old}" for old in result["old_db"].values())
    if check_mode:
        return f"would restore the set {result['set']} to {names_}"
    return f"restored the set {result['set']} to {names_}{kept}"


def diff(result: dict) -> dict:
    """Which databases are made or replaced, and nothing of what is in them."""
    todo = [one for one in result["databases"] if one["action"] != plan.NOTHING]
    before = {one["target"]: "as it is" for one in todo if one["action"] == plan.REPLACE}
    after = {one["target"]: f"set {result['set']}, {one['tables']} tables, {one['rows']} rows" for one in todo}
    return {"before": before, "after": {**after, **{one["old_db"]: "as it was" for one in todo if one["old_db"]}}}


def no_file(_path, _data):
    """In check mode no progress is written."""


def open_artifacts(job: Job, data: dict, work, files: Files):
    """The set's artifacts; None where they are not to be looked at."""
    listed = data.get("artifacts")
    if not listed or job.check_artifacts == "none":
        return None
    if job.live is None:
        # Of none there is none that could be missing.
        if job.options.mode != plan.SWAP or not listed["objects"]:
            return None
        raise BackupError(
            f"The set {data['label']} names {listed['objects']} artifacts: set artifacts.live to where MLflow's"
            " artifacts are, or check_artifacts to none.",
            "options",
            safe_to_retry=False,
        )
    path = files.fetch(listed["list_file"])
    from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import copy
    from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import read_list
    from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.artifacts import Artifacts

    return Artifacts(
        read_list(path, f"of the set {data['label']}"),
        manifest.copies_number(data),
        data["label"],
        open_place(job.live, job.timeout, "artifacts.live"),
        open_copies(job.copies, listed, job.source, job.timeout, "artifacts.copies"),
        copy.Mover(work, job.timeout),
        job.check_artifacts,
        job.options.force,
    )
