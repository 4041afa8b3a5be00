# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a new container in the place of an old one, which comes back unless the new one proves that it works."""

from __future__ import annotations

import time

from ansible_collections.mlops.stack.plugins.module_utils.jupyter import plan

#: Seconds for which a way back is tried again: Docker may be restarting.
PATIENCE = 90


class Failed(Exception):
    """A step that failed, with one sentence and what became of the old container."""

    def __init__(self, phase, message, kept=""):
        super().__init__(message)
        self.phase = phase
        self.message = message
        self.kept = kept


class Replacing:
    """One container's way to what is wanted.

    :param engine: does single things to Docker; see plugins/action/jupyter_client.py. Each raises Failed.
    """

    def __init__(self, engine, name, sleep=time.sleep, clock=time.monotonic):
        self.engine = engine
        self.name = name
        self.next, self.previous = plan.names(name)
        self.sleep = sleep
        self.clock = clock

    def recover(self):
        """Undo what an interrupted call did, but for starting the old container; return whether there was such a call.

        It had set the old container aside, or stopped it and made a new one, which has its port.
        """
        interrupted = self.take_back_name() or self.engine.exists(self.next)
        if interrupted:
            self.engine.remove(self.next)
        return interrupted

    def take_back_name(self):
        """Give an old container its name back that was set aside; return whether there was one."""
        if self.engine.exists(self.name) or not self.engine.exists(self.previous):
            return False
        self.engine.rename(self.previous, self.name)
        return True

    def replace(self, arguments, was_running):
        """Start a container with these arguments in the place of the old one, if there is one.

        The new one has another name until it has proved itself: the name always stands for one that did.

        :param was_running: whether the old container runs, or None without one.
        """
        for leftover in (self.next, self.previous):
            self.engine.remove(leftover)
        try:
            if was_running:
                self.engine.stop(self.name)
            self.engine.create({**arguments, "name": self.next})
            proved = self.engine.probe(self.next)
            if was_running is not None:
                self.engine.rename(self.name, self.previous)
            self.engine.rename(self.next, self.name)
        except BaseException as error:
            kept = self.back(was_running)
            if isinstance(error, Failed):
                raise Failed(error.phase, error.message, kept) from error
            raise
        if was_running is not None:
            self.engine.remove(self.previous)
        return proved

    def back(self, was_running):
        """Remove the new container and bring the old one back; return a sentence about it."""
        try:
            self.patiently(lambda: self.engine.remove(self.next))
            if was_running is None:
                return "There was no container before, and there is none now."
            self.patiently(self.take_back_name)
            if not was_running:
                return "The old container is there, stopped as before."
            self.patiently(lambda: self.engine.start(self.name))
        except Failed as failure:
            return "The old container could not be started again (%s): `docker start %s`, or run this again." % (
                failure.message.rstrip("."),
                self.name,
            )
        return "The old container runs again."

    def patiently(self, work):
        """Try until it works or the patience is at its end."""
        deadline = self.clock() + PATIENCE
        while True:
            try:
                return work()
            except Failed:
                if self.clock() > deadline:
                    raise
                self.sleep(1)

    def carry_out(self, change, arguments, container, recovered=False):
        """Do what a change asks for; return what the probe found, None where nothing was started.

        :param recovered: whether an interrupted call was undone, which had stopped a container that ran.
        """
        if change.action == plan.NONE:
            return None
        if change.action in (plan.START, plan.RESTART):
            getattr(self.engine, change.action)(self.name)
            return self.engine.probe(self.name)
        if change.fetch:
            self.engine.fetch()
        was_running = None if change.action == plan.CREATE else recovered or container["State"]["Running"]
        return self.replace(arguments, was_running)
