# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a Jupyter container that logs to a tracking server, and puts the old one back where the new one does not."""

from __future__ import annotations

import pathlib
import re

from ansible.plugins.action import ActionBase
from ansible_collections.mlops.stack.plugins.module_utils.address import plan as address
from ansible_collections.mlops.stack.plugins.module_utils.address.read import METADATA_URL
from ansible_collections.mlops.stack.plugins.module_utils.jupyter import container, explain, files, inside, plan
from ansible_collections.mlops.stack.plugins.module_utils.jupyter.replace import Failed, Replacing

SPEC = {
    "name": {"type": "str", "default": "jupyter"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "image": {"type": "str"},
    "pull": {"type": "str", "choices": ["missing", "always", "never"], "default": "missing"},
    "command": {"type": "list", "elements": "str"},
    "user": {"type": "str"},
    "home": {"type": "str", "default": "/home/jovyan"},
    "tracking_scheme": {"type": "str", "choices": ["http", "https"], "default": "https"},
    "tracking_host": {"type": "str"},
    "tracking_port": {"type": "int", "default": 5000},
    "address_source": {"type": "list", "elements": "str", "choices": list(address.SOURCES)},
    "address": {"type": "str"},
    "address_interface": {"type": "str"},
    "address_family": {"type": "str", "choices": ["ipv4", "ipv6"]},
    "metadata_url": {"type": "str", "default": METADATA_URL},
    "mlflow_version": {"type": "str"},
    "ca_cert": {"type": "path"},
    "credentials_file": {"type": "path"},
    # It is the file's path, no secret.
    "token_file": {"type": "path", "no_log": False},
    "config_dir": {"type": "path"},
    "workspace": {"type": "path"},
    "volumes": {"type": "list", "elements": "str", "default": []},
    "env": {"type": "dict", "default": {}},
    "bind": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "default": 8888},
    "gpus": {"type": "str", "choices": ["none", "nvidia", "amd"], "default": "none"},
    "gpu_groups": {"type": "list", "elements": "int", "default": []},
    "shm_size": {"type": "str", "default": "64M"},
    "probe": {"type": "bool", "default": True},
    "probe_timeout": {"type": "int", "default": 120},
}
#: Jupyter's log shows the token in its URLs where the image does not read our configuration.
TOKEN_IN_LOG = re.compile(r"token=[^\s&]+")
NO_PYTHON = (126, 127)
#: The status of a command whose container ended meanwhile: it was killed.
KILLED = 137


class Engine:
    """Does single things to Docker on the host; whatever does not work is raised as Failed."""

    def __init__(self, execute, options, uri, host):
        self.execute = execute
        self.options = options
        self.uri = uri
        self.host = host

    def module(self, phase, module, /, **arguments):
        """The result of a module on the host."""
        result = self.execute(module, arguments)
        if result.get("failed"):
            raise Failed(phase, result.get("msg") or result.get("module_stderr") or "%s failed" % module)
        return result

    def docker(self, phase, *arguments, expect=True):
        """The result of a docker command; unless it is expected to work, its status is looked at by the caller."""
        result = self.execute("ansible.legacy.command", {"argv": ["docker", *arguments]})
        if expect and result.get("failed"):
            raise Failed(phase, explain.last_line(result.get("stderr") or result.get("msg", "")))
        return result

    def look(self, arguments):
        """What docker_container would change."""
        # With `debug` it tells the differences, whether or not the user asked for a diff.
        return self.module("look", "community.docker.docker_container", **arguments, debug=True)

    def exists(self, name):
        """Whether there is a container of this name."""
        filters = ("--filter", "name=^/%s$" % re.escape(name))
        return bool(self.docker("look", "ps", "--all", "--quiet", *filters)["stdout"].strip())

    def fetch(self):
        """Fetch the image."""
        self.module("image", "community.docker.docker_image_pull", name=self.options["image"], pull="always")

    def create(self, arguments):
        """Make and start a container."""
        self.module("start", "community.docker.docker_container", **{**arguments, "pull": "never"})

    def start(self, name):
        """Start a container that is there."""
        self.docker("start", "start", name)

    def stop(self, name):
        """Stop a container; notebooks that run get time to end."""
        self.docker("stop", "stop", "--time=30", name)

    def restart(self, name):
        """Stop and start a container."""
        self.docker("restart", "restart", "--time=30", name)

    def rename(self, name, other):
        """Give a container another name."""
        self.docker("rename", "rename", name, other)

    def remove(self, name):
        """Remove a container, if there is one; named volumes and folders of the host stay."""
        if self.exists(name):
            self.docker("remove", "rm", "--force", name)

    def probe(self, name):
        """What the probe inside the container found."""
        options = self.options
        if not options["probe"]:
            return None
        settings = {
            "timeout": options["probe_timeout"],
            "token": container.TOKEN if options["token_file"] else None,
            "mlflow_version": options["mlflow_version"],
        }
        source = pathlib.Path(inside.__file__).read_text(encoding="utf-8")
        try:
            result = self.module(
                "probe",
                "community.docker.docker_container_exec",
                container=name,
                argv=["python3", "-"],
                stdin="%s\nmain(%r)\n" % (source, settings),
            )
        except Failed as failure:
            # Docker cannot start anything in a container that has ended.
            raise Failed("probe", "The container did not stay up (%s)" % self.last_log(name)) from failure
        said = explain.read(result["stdout"])
        output = result["stderr"] or result["stdout"]
        if said is None and (result["rc"] == KILLED or self.ended(name)):
            raise Failed("probe", "The container did not stay up (%s)" % self.last_log(name))
        if result["rc"] in NO_PYTHON or said is None:
            raise Failed("probe", explain.no_python(options["image"], output))
        if not said["ok"]:
            message = explain.sentence(said, self.uri, self.host, options)
            if said["phase"] == "start Jupyter":
                message += " Its last line: " + self.last_log(name)
            raise Failed("probe", message)
        return said

    def ended(self, name):
        """Whether a container that was started has ended since, also where Docker has started it again."""
        wanted = "--format={{.State.Running}} {{.RestartCount}}"
        return self.docker("look", "inspect", wanted, name, expect=False)["stdout"].strip() != "true 0"

    def last_log(self, name):
        """The last line that a container wrote."""
        logs = self.docker("look", "logs", "--tail=5", name, expect=False)
        return explain.last_line(TOKEN_IN_LOG.sub("token=...", logs.get("stderr") or logs.get("stdout", "")))


class ActionModule(ActionBase):
    """Looks, decides and carries out."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(
            SPEC,
            required_if=[
                ("state", "present", ("image",)),
                ("state", "present", ("tracking_host", "address_source"), True),
            ],
        )
        self._task_vars = task_vars
        try:
            result.update(self.absent(options) if options["state"] == "absent" else self.present(options))
        except Failed as failure:
            result.update(
                failed=True,
                msg=" ".join(filter(None, (failure.message.rstrip(".") + ".", failure.kept))),
                phase=failure.phase,
                safe_to_retry=failure.phase != "options",
            )
        return result

    def execute(self, name, arguments, check=False):
        """Run a module on the host; unless check mode is asked for, the call is only made outside of it."""
        kept = self._task.check_mode
        self._task.check_mode = check
        try:
            return self._execute_module(module_name=name, module_args=arguments, task_vars=self._task_vars)
        finally:
            self._task.check_mode = kept

    def present(self, options):
        """Bring the container to what is wanted."""
        seen = self.files(options)
        host, source = self.tracking_host(options)
        uri = container.tracking_uri(options, host)
        arguments = container.arguments(options, uri)
        engine = Engine(self.execute, options, uri, host)
        looking = Engine(lambda name, wanted: self.execute(name, wanted, check=True), options, uri, host)
        if options["pull"] == "always" and not self._task.check_mode:
            engine.fetch()
        replacing = Replacing(engine, options["name"])
        found = looking.look(arguments)
        change = self.judge(arguments, found, options, seen)
        # While it runs nobody was interrupted; Docker is asked only where it does not.
        stopped = not found.get("container", {}).get("State", {}).get("Running")
        recovered = stopped and not self._task.check_mode and replacing.recover()
        if recovered:
            found = looking.look(arguments)
            change = self.judge(arguments, found, options, seen)
        told = {
            "changed": change.action != plan.NONE,
            "action": change.action,
            "tracking_uri": uri,
            "address_source": source,
            "probe": None,
            "diff": change.diff,
        }
        if not self._task.check_mode:
            told["probe"] = replacing.carry_out(change, arguments, found.get("container"), recovered)
        return told

    def judge(self, arguments, found, options, seen):
        """The change that is needed."""
        return plan.judge(found, set(arguments["env"]), files.changed(options, seen))

    def files(self, options):
        """What the host hands in, or a failure that says what is wrong with it."""
        wrong = container.problems(options)
        wanted = files.paths(options)
        seen = {}
        if wanted and not wrong:
            result = self.execute("ansible.legacy.command", {"argv": files.argv(wanted)})
            seen = files.parse(result.get("stdout", ""))
            wrong = files.problems(options, seen, self._task.check_mode)
        if wrong:
            raise Failed("options", " ".join(wrong))
        return seen

    def tracking_host(self, options):
        """The tracking server's name or address, and where it comes from."""
        if options["tracking_host"]:
            return options["tracking_host"], None
        given = {
            "sources": options["address_source"],
            "address": options["address"],
            "interface": options["address_interface"],
            "family": options["address_family"],
            "metadata_url": options["metadata_url"],
        }
        result = self.execute(
            "mlops.stack.host_address", {name: value for name, value in given.items() if value is not None}
        )
        if result.get("failed"):
            raise Failed("address", result["msg"])
        return result["address"], result["source"]

    def absent(self, options):
        """Remove the container; its workspace and volumes stay."""
        engine = Engine(self.execute, options, None, None)
        names = [name for name in (options["name"], *plan.names(options["name"])) if engine.exists(name)]
        if not self._task.check_mode:
            for name in names:
                engine.remove(name)
        there = {"container": "present"} if names else {}
        return {
            "changed": bool(names),
            "action": plan.REMOVE if names else plan.NONE,
            "diff": {"before": there, "after": {}},
        }
