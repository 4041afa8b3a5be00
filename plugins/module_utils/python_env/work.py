# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of one python_env call: options in, result out."""

from __future__ import annotations

import os
import time

from ansible_collections.mlops.stack.plugins.module_utils.process.run import Interrupted
from ansible_collections.mlops.stack.plugins.module_utils.python_env import plan
from ansible_collections.mlops.stack.plugins.module_utils.python_env.client import Client, Failed


def ensure(params, check_mode, client_class=Client):
    """Make the environment be there; return (failed, result)."""
    try:
        return False, _ensure(params, check_mode, client_class)
    except plan.Invalid as problem:
        return True, dict(msg=str(problem), phase="options", kind="invalid", safe_to_retry=False)
    except Failed as failure:
        result = dict(
            msg="The Python environment %s cannot be built: %s" % (params["path"], failure),
            phase=failure.phase,
            kind=failure.kind,
            safe_to_retry=failure.safe_to_retry,
        )
        if failure.rc is not None:
            result.update(rc=failure.rc, stderr_tail=failure.stderr_tail)
        return True, result
    except Interrupted as problem:
        return True, dict(
            msg="The build of the Python environment %s was %s; nothing of it is left." % (params["path"], problem),
            phase="interrupted",
            kind="interrupted",
            safe_to_retry=True,
        )
    except OSError as problem:
        where = " (%s)" % problem.filename if problem.filename else ""
        return True, dict(
            msg="The Python environment %s cannot be built: %s%s" % (params["path"], problem.strerror, where),
            phase="files",
            kind="other",
            safe_to_retry=True,
        )


def _ensure(params, check_mode, client_class):
    path = params["path"]
    plan.check_folder("path", path)
    plan.check_folder("uv_root", params["uv_root"])
    plan.check_requirements(params["requirements"])
    version = plan.uv_version(params["uv_requirements"], params["uv_version"])
    client = client_class(
        path,
        params["uv_root"],
        params["python"],
        params["index_url"],
        params["ca_bundle"],
        params["proxies"],
        params["timeout"],
    )
    marker = dict(requirements_sha256=plan.fingerprint(params["requirements"]), interpreter=client.interpreter())
    wanted = dict(path=path, marker=marker)
    current = client.read_current()
    action, reason = plan.decide(wanted, current)
    result = dict(
        changed=action != "none", action=action, reason=reason, path=path, python="%s/bin/python" % path, seconds={}
    )
    if action == "none":
        return result
    result["diff"] = dict(
        before=plan.describe(path, current["kind"], current["marker"]), after=plan.describe(path, "complete", marker)
    )
    if check_mode:
        return result
    if marker["interpreter"] is None:
        raise plan.Invalid(
            "python is %s, which is no program on this host; install it or name another." % params["python"]
        )
    if params["ca_bundle"] and not os.access(params["ca_bundle"], os.R_OK):
        raise plan.Invalid("ca_bundle is %s, which cannot be read on this host." % params["ca_bundle"])
    os.umask(0o022)
    with client.locked():
        began = time.monotonic()
        uv = client.bootstrap(params["uv_requirements"], version)
        ready = time.monotonic()
        if plan.decide(wanted, client.read_current())[0] != "none":
            client.build(uv, params["requirements"], marker, params["warm_imports"])
            result["seconds"]["build"] = round(time.monotonic() - ready, 1)
        result["seconds"]["bootstrap"] = round(ready - began, 1)
    return result
