# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One backup at a time in one place of a store, whichever hosts back up there.

The lease is one object that is only ever written: by whoever finds none, by its holder, and by the next holder once it
was released or has run out. So a key that cannot delete can hold it. The store's own clock tells whether it has run
out, because the clocks of two hosts may differ.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.objects import Taken, seconds_apart

NAME = "lease.json"
SECONDS = 300
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0


def judge(body, age):
    """(whether the lease can be had, who holds it, in how many seconds it runs out) from what lies in the store."""
    try:
        found = json.loads(body)
        holder = f"{found['holder']} (since {found['since']})"
        left = float(found["seconds"]) - age
        released = found["state"] == "released"
    except (ValueError, KeyError, TypeError):
        # Not ours, or cut off: it counts as a lease of the usual time.
        holder, left, released = "somebody unknown", SECONDS - age, False
    return released or left <= 0, holder, max(left, 0.0)


class Lease:
    """A lease at ``objects`` (an Objects), renewed by a thread of its own while it is held.

    ``seconds``: how long it lasts after its last renewal, so how long others wait after its holder died.
    """

    def __init__(self, objects, seconds=SECONDS, holder=None, clock=time.monotonic, sleep=time.sleep):
        # It is given back after the deadline, too.
        self.objects = objects.unlimited()
        self.seconds = seconds
        self.holder = holder or f"{socket.gethostname()}, process {os.getpid()}"
        self.clock = clock
        self.sleep = sleep
        self.token = uuid.uuid4().hex
        self.since = ""
        self.etag = None
        self.renewed = 0.0
        self.thread = None
        self.ending = threading.Event()

    def _body(self, state):
        return json.dumps(
            {
                "state": state,
                "holder": self.holder,
                "token": self.token,
                "seconds": self.seconds,
                "since": self.since,
                "renewed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        ).encode()

    def _write(self, state, **condition):
        """Write the lease, and read it back: some stores take a condition and do not heed it."""
        began = self.clock()
        body = self._body(state)
        # It is ours all the same where the first of two sendings arrived and its answer got lost.
        with contextlib.suppress(Taken):
            self.objects.put(NAME, body, "lease", **condition)
        found, answer = self.objects.get(NAME, "lease")
        if found != body:
            raise Taken(found)
        self.etag = answer["ETag"]
        self.renewed = began

    def acquire(self, timeout=0):
        """Take the lease, waiting so many seconds for another holder at most. A BackupError names the holder."""
        self.since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        deadline = self.clock() + timeout
        pause = FIRST_PAUSE
        while True:
            body, answer = self.objects.get(NAME, "lease")
            condition = {"IfMatch": answer["ETag"]} if answer else {"IfNoneMatch": "*"}
            free, holder, left = judge(body, self._age(answer)) if answer else (True, "", 0.0)
            if free:
                try:
                    self._write("held", **condition)
                except Taken:
                    holder, left = "another backup that came first", self.seconds
                else:
                    break
            remaining = deadline - self.clock()
            if remaining <= 0:
                raise BackupError(
                    f"Another backup holds {self.objects.where}{NAME}: {holder}. It is free when that one ends, or "
                    f"{left:.0f} seconds after it died; try again then, or set a longer lock_timeout.",
                    "lock",
                )
            self.sleep(min(pause, remaining))
            pause = min(pause * 2, LONGEST_PAUSE)
        self.ending.clear()
        self.thread = threading.Thread(target=self._renew, daemon=True)
        self.thread.start()

    @staticmethod
    def _age(answer):
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        written = answer["LastModified"].timestamp()
        return -seconds_apart(date, written) if date else time.time() - written

    def _renew(self):
        while not self.ending.wait(self.seconds / 3):
            self.renew()

    def renew(self):
        """Write the lease anew. That it is lost, or that the store does not answer, is told by check()."""
        try:
            self._write("held", IfMatch=self.etag)
        except Taken:
            self.etag = None
            self.ending.set()
        except BackupError:
            # The store may come back before the lease runs out; the next renewal comes sooner than that.
            pass

    def check(self):
        """Raise a BackupError when the lease may be another's by now: call it before what others must not see."""
        if self.etag is None or self.clock() - self.renewed >= self.seconds:
            raise BackupError(
                f"The lease {self.objects.where}{NAME} was lost: it was not renewed for {self.seconds} seconds, so "
                "another backup may have begun. This one stops before it is published; repeat it.",
                "lock",
            )

    def release(self):
        """Give the lease back. Nothing happens where it is lost; a store that is away lets it run out."""
        self.ending.set()
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        if self.etag is None:
            return
        with contextlib.suppress(BackupError, Taken):
            self._write("released", IfMatch=self.etag)
        self.etag = None

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.release()
