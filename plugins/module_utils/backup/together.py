# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands and other work side by side: none goes on after one has failed or after we are asked to end."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
import signal
import threading

from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

# How often what runs is looked at, in seconds. A result is had at once, however long this is.
TICK = 0.5
THREADS = 8


def side_by_side(work, items, threads=THREADS, only_reads=False):
    """[work(item) for each], so many at once; after an error, or when we are asked to end, nothing new is begun.

    What runs by then is waited for, but for work that ``only_reads``: that may wait for its store until we are killed,
    and does no harm if it goes on. Daemons do it, for Python would wait for the threads of a pool when it ends.
    """
    items = list(items)
    futures = [concurrent.futures.Future() for _item in items]
    waiting = collections.deque(zip(futures, items))

    def run():
        with contextlib.suppress(IndexError):
            while True:
                future, item = waiting.popleft()
                try:
                    future.set_result(work(item))
                except BaseException as error:
                    waiting.clear()
                    future.set_exception(error)

    workers = [threading.Thread(target=run, daemon=True) for _number in range(min(threads, len(items)))]
    try:
        for worker in workers:
            worker.start()
        return [future.result() for future in futures]
    finally:
        waiting.clear()
        # A signal may come before all of them are started.
        for worker in [] if only_reads else [one for one in workers if one.is_alive()]:
            worker.join()


class Together:
    """A context in which work runs in threads; it ends when all has ended, or all was ended."""

    def __init__(self, workers: int, tick=None, runner=process.run):
        self.pool = concurrent.futures.ThreadPoolExecutor(workers)
        self.tick = tick
        self.runner = runner
        self.lock = threading.Lock()
        self.processes = []
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, kind, *_error):
        if kind is not None:
            self.kill()
        self.pool.shutdown(wait=True, cancel_futures=kind is not None)

    def submit(self, work, *arguments):
        """Call a function in a thread: its future."""
        return self.pool.submit(work, *arguments)

    def call(self, argv, timeout, env=None):
        """Run a command as process.run does, in the thread of the caller, so that it ends with all the others."""
        mine = []

        def started(child):
            mine.append(child)
            with self.lock:
                self.processes.append(child)
                late = self.closed
            if late:
                end_group(child)

        try:
            return self.runner(argv, timeout, env=env, started=started)
        finally:
            with self.lock:
                self.processes = [child for child in self.processes if child not in mine]

    def wait(self, futures):
        """The results of all, in their order; the first exception as soon as it is there."""
        pending = set(futures)
        while pending:
            done, pending = concurrent.futures.wait(pending, TICK, concurrent.futures.FIRST_COMPLETED)
            for future in done:
                future.result()
            self._end_stragglers()
            if self.tick:
                self.tick()
        return [future.result() for future in futures]

    def _end_stragglers(self):
        """End the workers of a command that was killed: they would go on, and hold its output open."""
        with self.lock:
            ended = [child for child in self.processes if child.poll() is not None]
        for child in ended:
            end_group(child)

    def kill(self):
        """End all commands, those too that are just being started."""
        with self.lock:
            self.closed = True
            running = list(self.processes)
        for child in running:
            end_group(child)


def end_group(child) -> None:
    """Kill a command with its children, where there still are any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
