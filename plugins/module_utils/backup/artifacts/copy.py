# Copyright (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies artifacts from one place to another, and tells their hashes."""

from __future__ import annotations

import pathlib
import time

from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts import rclone
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.entry import is_plain
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.folder import Gone
from ansible_collections.mlops.stack.plugins.module_utils.backup.artifacts.listing import list_copies
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.together import side_by_side
from ansible_collections.mlops.stack.plugins.module_utils.process import run as process

# Above so many objects one listing is faster than a question for each.
MANY = 500


def look(place, names):
    """What there is of the names: {name: Copy or an equal tuple}."""
    if len(names) > MANY:
        wanted = set(names)
        return {name: copy for name, copy in list_copies(place).items() if name in wanted}
    found = zip(names, side_by_side(place.find, names, only_reads=True))
    return {name: facts for name, facts in found if facts is not None}


class Mover:
    """Moves objects between places; ``scratch`` is a private folder for its lists and logs.

    ``timeout``: seconds for all that one Mover does, from now on or from anew() on.
    """

    def __init__(self, scratch, timeout, progress=None, runner=process.run, clock=time.monotonic):
        self.scratch = pathlib.Path(scratch)
        self.timeout = timeout
        self.deadline = clock() + timeout
        self.progress = progress
        self.runner = runner
        self.clock = clock

    def anew(self):
        """The same, whose time begins now."""
        return Mover(self.scratch, self.timeout, self.progress, self.runner, self.clock)

    def _rclone(self, argv_of, places, names, progress):
        """Run rclone for the names: (its Result, its errors). ``argv_of`` gets the remotes, the list and the log."""
        names_file = self.scratch / "names"
        log = self.scratch / "log"
        names_file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        bundle = rclone.write_bundle(places, self.scratch / "ca.pem")
        settings, remotes = zip(*(place.remote(tag) for place, tag in zip(places, ("SRC", "DST"))))
        return rclone.run(
            argv_of(*remotes, names_file, log),
            rclone.environment(settings, bundle),
            self.deadline - self.clock(),
            log,
            progress,
            self.runner,
        )

    def transfer(self, source, target, pairs, before=None):
        """Copy objects, (name in the source, name in the target) each: the names in the source that were gone.

        What lies at the target is written over; ``before`` is what lay there, {name: Copy}. Names that rclone cannot
        handle, new names, and what rclone did not manage are copied one by one; what is wrong then is told exactly.
        """
        bulk = [name for name, new in pairs if name == new and is_plain(name)]
        single = [(name, new) for name, new in pairs if name != new or not is_plain(name)]
        if bulk:
            result, errors = self._rclone(rclone.copy_argv, (source, target), bulk, self.progress)
            failed = {name for name, _why in errors} & set(bulk)
            if target.is_folder:
                # What rclone leaves of them is empty or cut off.
                for name in failed:
                    target.delete(name)
            if result.rc and not (failed and len(failed) <= MANY):
                doing = f"Copying artifacts from {source.where} to {target.where}"
                raise rclone.failure(result, errors, doing, secrets(source, target))
            there = look(target, bulk)
            before = before or {}
            single += [
                (name, name) for name in bulk if name in failed or name not in there or there[name] == before.get(name)
            ]
        return [name for name in side_by_side(lambda pair: self._one(source, target, *pair), single) if name]

    def _one(self, source, target, name, new):
        if self.clock() >= self.deadline:
            raise BackupError("Copying artifacts did not end in time; set a longer timeout.", "artifacts")
        try:
            target.write(new, source.read(name))
        except Gone:
            return name
        return None

    def hashes(self, place, names):
        """Read copies: {name: (size, sha256, MD5 or None)}, without those that are not there."""
        bulk = [] if place.is_folder else [name for name in names if is_plain(name)]
        single = names if place.is_folder else [name for name in names if not is_plain(name)]
        found = {}
        if bulk:
            output = self.scratch / "hashes"
            output.unlink(missing_ok=True)

            def argv_of(remote, names_file, log):
                return rclone.hash_argv(remote, names_file, log, output)

            result, errors = self._rclone(argv_of, (place,), bulk, None)
            if result.rc:
                raise rclone.failure(result, errors, f"Reading the copies at {place.where}", secrets(place))
            there = look(place, bulk)
            for line in rclone.lines(output.read_text(encoding="utf-8")):
                sha256, name = line[:64], line[66:]
                if name in there:
                    found[name] = (there[name][0], sha256, there[name][1])
        digests = zip(single, side_by_side(place.digests, single, only_reads=True))
        found.update((name, facts) for name, facts in digests if facts is not None)
        return found


def secrets(*places):
    """The keys of places, which no message may show."""
    return [place.s3.secret_key for place in places if not place.is_folder]
