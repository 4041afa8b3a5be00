# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of a restore: check, load beside the live databases, compare, and only then take their names."""

from __future__ import annotations

import contextlib
import dataclasses

from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import failure, plan, sql, swap, target
from ansible_collections.mlops.stack.plugins.module_utils.backup.results import some

# How long a server that went away may take until what was left on it is removed, in seconds.
COMES_BACK = 30


class MissingArtifacts(BackupError):
    """Artifacts that the set names are nowhere; their paths are told."""

    def __init__(self, label: str, missing: list[str]):
        super().__init__(
            f"{len(missing)} artifacts of the set {label} are neither in the store nor among the copies"
            f" ({some(missing, len(missing))}): bring them back, or set force to restore without them.",
            "check_artifacts",
            safe_to_retry=False,
        )
        self.missing = missing

    def result(self) -> dict:
        """The failure as a module returns it."""
        return {**super().result(), "missing_artifacts": self.missing}


@dataclasses.dataclass
class Step:
    """One database on its way, and what is known of it by now."""

    target: plan.Target
    action: str
    owner: str
    present: plan.Found | None
    old: str | None = None
    counts: dict = dataclasses.field(default_factory=dict)

    def result(self) -> dict:
        """What the user is told of it."""
        return {
            "name": self.target.source,
            "target": self.target.name,
            "action": self.action,
            "owner": self.owner,
            "old_db": self.old,
            "tables": len(self.target.facts["tables"]),
            "rows": sum(self.target.facts["tables"].values()),
        }


class Restore:
    """One restore of one set.

    ``server`` is a target.Server, ``tools`` a tools.Tools or what does the same, ``progress`` a progress.Progress.
    """

    def __init__(self, manifest: dict, options: plan.Options, server, tools, progress, jobs: int = 2):
        self.manifest = manifest
        self.label = manifest["label"]
        self.options = options
        self.server = server
        self.tools = tools
        self.progress = progress
        self.jobs = jobs
        self.steps: list[Step] = []
        self.artifacts = None
        self.missing: list[str] = []
        self.restored: list[str] = []
        self.swept: list[str] = []
        self.not_reapplied: list[str] = []
        self.warnings: list[str] = []
        # Whether the databases may have their names by now.
        self.renaming = False
        self.changed = False

    def __call__(self, check_mode: bool = False) -> dict:
        """Restore, or say what would be restored: the result of the module. BackupError where it cannot be."""
        self.read(sweep=not check_mode)
        todo = [step for step in self.steps if step.action != plan.NOTHING]
        if not todo:
            return self.result()
        self.check(todo, check_mode)
        if check_mode:
            self.changed = True
            return self.result()
        try:
            self.load(todo)
            if self.options.mode != plan.REHEARSE:
                self.take_names(todo)
        finally:
            self.clean(todo)
        return self.result()

    @contextlib.contextmanager
    def phase(self, name: str, total: int | None = None, unit: str | None = None):
        """One phase; what PostgreSQL refuses in it is told with its name."""
        try:
            with self.progress.phase(name, total, unit):
                yield
        except BackupError as error:
            if error.phase == target.PHASE:
                error.phase = name
            raise

    # Before anything is touched

    def read(self, sweep: bool) -> None:
        """Lock the databases, remove what a killed restore left, and find out what is to be done."""
        targets = plan.targets(self.manifest, self.options)
        with self.phase("read"):
            for one in targets:
                if not self.server.lock(one.name):
                    raise BackupError(f"Another restore to '{one.name}' is running: wait for its end.", "lock")
            present = self.server.databases()
            empty = [name for name in plan.unmarked(targets, present) if self.server.is_empty(name)]
            leftovers = plan.leftovers(targets, present, empty)
            for name in leftovers if sweep else ():
                self.server.drop(name)
                self.swept.append(name)
        for one in targets:
            found = present.get(one.name)
            action = plan.decide(one, found, self.label, self.options)
            if action != plan.NOTHING and one.new in present and one.new not in leftovers:
                # Whatever goes wrong later, databases of this name are dropped.
                raise plan.refuse(
                    f"The database '{one.new}' is in the way, and no restore has left it: rename it, or drop it."
                )
            old = plan.free_name(one.old, present) if action == plan.REPLACE else None
            self.steps.append(Step(one, action, plan.owner_of(one, found, self.options), found, old))

    def check(self, todo: list[Step], check_mode: bool) -> None:
        """All that can be known before something is made."""
        with self.phase("check"):
            facts = self.server.facts(self.tools.free_bytes(self.server.data_directory()))
            owners = {step.target.name: step.owner for step in todo}
            wrong = plan.problems([step.target for step in todo], owners, facts, self.manifest)
            wrong += [] if self.options.force else self.tools.revisions(self.manifest)
            if wrong:
                raise plan.refuse(plan.first(wrong))
            self.tools.prepare([step.target.facts for step in todo], facts.version_num)
        with self.phase("hash", sum(item["size"] for item in self.manifest["files"]), "bytes"):
            self.tools.verify([step.target.facts for step in todo], check_mode, self.progress.report)
        wrong = [] if self.options.force else self.tools.secrets(self.manifest)
        if wrong:
            raise plan.refuse(plan.first(wrong))
        self.artifacts = self.tools.artifacts()
        if self.artifacts:
            with self.phase("check_artifacts"):
                self.missing = self.artifacts.check()
        if self.missing and self.options.mode == plan.SWAP and not self.options.force:
            raise MissingArtifacts(self.label, self.missing)

    # Beside the live databases

    def load(self, todo: list[Step]) -> None:
        """Make the new databases, fill them and compare them with the manifest: all before any takes a name."""
        for step in todo:
            with self.phase("load", step.target.facts["size_bytes"], "bytes"):
                self.server.create(step.target, step.owner, self.label)
                self.warnings += self.tools.load(
                    step.target.facts, step.target.new, step.owner, self.jobs, lambda step=step: self.grown(step)
                )
            with self.phase("compare"):
                analyze = self.options.mode == plan.SWAP
                step.counts, heads = self.server.content(step.target.new, self.jobs, analyze)
            wrong = plan.differences(step.target.facts, step.counts, heads)
            if wrong:
                raise BackupError(
                    f"What was loaded into '{step.target.new}' is not what was dumped: {plan.first(wrong)}",
                    "compare",
                    safe_to_retry=False,
                )

    def grown(self, step: Step) -> None:
        """Report how far a database has grown."""
        self.progress.report(self.server.size(step.target.new))

    # Their places

    def take_names(self, todo: list[Step]) -> None:
        """Give the new databases what the live ones have, restore artifacts, and swap."""
        swapping = self.options.mode == plan.SWAP
        if swapping:
            with self.phase("properties"):
                for step in todo:
                    self.give_properties(step)
        renames, comments = self.names(todo)
        with self.all_or_nothing(todo):
            if self.artifacts and self.options.restore_artifacts:
                self.restore_artifacts([old for old, _new in renames])
            with self.phase("swap"), self.tools.units(self.warnings.append):
                self.renaming = True
                swap.rename(self.server, renames, comments)
        self.changed = True
        if swapping and self.artifacts:
            self.warn_of_others()
        for step in todo:
            if step.old and not (swapping and self.options.keep_old):
                self.drop_old(step)

    def restore_artifacts(self, names: list[str]) -> None:
        """Bring back artifacts, once it is known that no session in these databases stands against the swap."""
        # Whose sessions are still there may be a unit that is only stopped for the swap.
        if not self.tools.stops_units:
            with self.phase("swap"):
                swap.wait_for_others(self.server, names)
        with self.phase("artifacts"):
            self.restored = self.artifacts.restore()

    @contextlib.contextmanager
    def all_or_nothing(self, todo: list[Step]):
        """Where the databases surely do not get their names, whatever the reason, live artifacts are as they were."""
        try:
            yield
        except BackupError as error:
            error.message += self.put_back(todo)
            raise
        except failure.ERRORS as error:
            told = failure.told(error, self.tools.work_dir)
            told.message += self.put_back(todo)
            raise told from error
        except BaseException:
            self.put_back(todo)
            raise

    def put_back(self, todo: list[Step]) -> str:
        """Give the live store what was put aside, unless the databases have their names or may have them.

        Gives a sentence about it, which is empty where there is nothing to tell.
        """
        if not self.artifacts or not self.artifacts.aside:
            return ""
        swapped = self.swapped(todo)
        if swapped is None:
            return (
                " The server could not be asked whether the databases have their new names, so the set's artifacts"
                f" stay, and the live ones that they had replaced lie at {self.artifacts.aside.where}: run this restore"
                " again once the server answers; where the databases are the set's already, nothing is left to do."
            )
        return "" if swapped else self.artifacts.put_back()

    def swapped(self, todo: list[Step]) -> bool | None:
        """Whether the databases have their names; None where they may have them and the server cannot be asked."""
        if not self.renaming:
            return False
        for come_back in (lambda: True, lambda: self.server.wait_until_back(COMES_BACK)):
            with contextlib.suppress(BackupError):
                if come_back():
                    return todo[0].target.new not in self.server.databases()
        return None

    def warn_of_others(self) -> None:
        """The databases refer to objects that the live store has as something else: that must not go unseen."""
        others = sorted(set(self.artifacts.other) - set(self.restored))
        if not others:
            return
        if self.options.force and self.options.restore_artifacts:
            hint = "there are no copies of the set's"
        else:
            hint = "with force, and artifacts.restore, they are put aside and the set's take their places"
        self.warnings.append(
            f"{len(others)} artifacts in the live store are not those of the set and were left as they are"
            f" ({some(others, len(others))}): {hint}."
        )

    def give_properties(self, step: Step) -> None:
        """Access rights, settings and the limit of connections, which a dump does not hold."""
        if step.present:
            wanted = swap.properties(self.server, step.present.name)
        else:
            wanted = sql.from_manifest(step.target.facts)
        for statement, why in swap.apply(self.server, step.target.new, step.owner, wanted):
            shown = statement.replace(sql.identifier(step.target.new), sql.identifier(step.target.name))
            self.not_reapplied.append(f"{shown};")
            self.warnings.append(f"Not reapplied, run it as a superuser ({why}): {shown};")

    def names(self, todo: list[Step]) -> tuple[list[tuple[str, str]], dict[str, str]]:
        """The renames, the live ones out of the way first, and the comments that name the set."""
        renames, comments = [], {}
        kind = "set" if self.options.mode == plan.SWAP else "scratch set"
        for step in todo:
            if step.old:
                renames.append((step.target.name, step.old))
            renames.append((step.target.new, step.target.name))
            comments[step.target.name] = plan.with_mark(step.present and step.present.comment, kind, self.label)
        return renames, comments

    def drop_old(self, step: Step) -> None:
        """Remove the replaced database; the restore is done, so this is no failure of it."""
        try:
            self.server.drop(step.old)
            step.old = None
        except BackupError as error:
            self.warnings.append(f"The replaced database '{step.old}' was kept: {error.message}")

    def clean(self, todo: list[Step]) -> None:
        """Drop what was made and did not get its name. What cannot be dropped now, the next restore drops."""
        for step in todo:
            try:
                self.server.drop(step.target.new)
            except BackupError:
                if not self.server.wait_until_back(COMES_BACK):
                    return
                with contextlib.suppress(BackupError):
                    self.server.drop(step.target.new)

    def result(self) -> dict:
        """What the module returns."""
        return {
            "changed": self.changed,
            "set": self.label,
            "mode": self.options.mode,
            "databases": [step.result() for step in self.steps],
            "counts": {step.target.name: step.counts for step in self.steps if step.counts},
            "old_db": {step.target.name: step.old for step in self.steps if step.old},
            "artifacts_named": (self.manifest.get("artifacts") or {}).get("objects", 0),
            "artifacts_checked": self.artifacts is not None,
            "missing_artifacts": self.missing,
            "different_artifacts": self.artifacts.other if self.artifacts else [],
            "restored_artifacts": self.restored,
            "not_reapplied": self.not_reapplied,
            "swept": self.swept,
            "seconds": dict(self.progress.seconds),
            "warnings": self.warnings,
        }
