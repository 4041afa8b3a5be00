# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of one config_files call: options in, result out."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.config_files import disk, plan
from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted


def ensure(entries, check_mode):
    """Bring files and folders to their states; return (failed, result)."""
    result = dict(changed=False, changed_paths=[], diff=[])
    try:
        files = [plan.wanted(entry, disk.find_user, disk.find_group) for entry in entries]
        steps = [step for step in plan.plan(files, disk.look(files), check_mode) if step.action != "none"]
        if not check_mode:
            for step in steps:
                if step.action == "write" and step.wanted.validate:
                    disk.validate(step.wanted)
        for step in steps:
            if not check_mode:
                disk.apply(step)
            result["changed"] = True
            result["changed_paths"].append(step.wanted.path)
            result["diff"] += step.diff
    except plan.Invalid as problem:
        result.update(msg=str(problem), path=problem.path, phase="check", safe_to_retry=False)
        return True, result
    except disk.Failed as failure:
        result.update(msg=str(failure), path=failure.path, phase=failure.phase, safe_to_retry=True)
        result.update(failure.result or {})
        return True, result
    except Interrupted as signal:
        result.update(
            msg="The call was %s: repeat it; no file was left half written." % signal, phase="write", safe_to_retry=True
        )
        return True, result
    return False, result
