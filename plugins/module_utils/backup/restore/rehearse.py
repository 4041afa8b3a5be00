# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that leaves nothing but the knowledge that it can be done."""

from __future__ import annotations

import contextlib

from ansible_collections.mlops.stack.plugins.module_utils.backup.progress import Progress
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import call, plan
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.job import Job
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.run import Restore
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.tools import Files, Tools


def rehearse(login, folder, data: dict, tool, jobs: int, timeout: float, progress=None, opener=call.open_server):
    """Load a set's databases, compare them with the manifest and drop them again: the result, as of a restore.

    ``folder`` holds the set's files as they are before any encryption, ``data`` is its manifest, ``login`` that of a
    role that may make databases for their owners, ``tool`` the dump.Tool to use. Nothing else is touched. BackupError
    where something is wrong.
    """
    # The manifest of a set that is still to be encrypted says already that it is.
    data = {**data, "encrypted": False}
    job = Job(login, plan.Options(mode=plan.REHEARSE), jobs=jobs, timeout=timeout, check_artifacts="none")
    with contextlib.closing(opener(login)) as server:
        tools = Tools(job, Files(data, folder), lambda: [tool], lambda _files: None)
        progress = progress or Progress(folder, data["label"], call.no_file)
        return Restore(data, job.options, server, tools, progress, jobs)()
