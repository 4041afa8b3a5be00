# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role postgres makes of what was read on a host."""

from __future__ import annotations

from ansible_collections.mlops.stack.plugins.module_utils.archive import settings

HERE, ELSEWHERE = "path=/srv/archive", "path=/srv/other"
FULL, DIFFERENTIAL = "postgres-archive-full.service", "postgres-archive-differential.service"
# What the archive has, the place of the last base backup, and the unit that makes one.
BACKUPS = [
    ("new", None, [FULL]),
    ("empty", ELSEWHERE, [FULL]),
    ("empty", HERE, [FULL]),
    ("ready", HERE, []),
    # It was off, or the last one was interrupted.
    ("ready", None, [DIFFERENTIAL]),
    # It was in another place in between.
    ("ready", ELSEWHERE, [DIFFERENTIAL]),
]


def test_a_base_backup_is_made_where_the_log_in_the_archive_has_a_gap(evaluate):
    known = [
        {
            "__postgres_archive_state": {"value": state},
            "__postgres_archive_wanted": {"place": HERE},
            "common_host": {"archive": {"backed_up": backed_up}},
        }
        for state, backed_up, _units in BACKUPS
    ]
    found = evaluate([["postgres", "__postgres_archive_first_backup", variables] for variables in known])
    assert [[unit["name"] for unit in units] for units in found] == [units for _state, _place, units in BACKUPS]
    due = evaluate([["postgres", "__postgres_archive_due", variables] for variables in known])
    assert due == [bool(units) for _state, _place, units in BACKUPS]


def test_a_recovery_that_did_not_end_is_known_by_the_cluster_in_force(evaluate):
    clusters = [
        {"version": "15", "name": "main", "recovery": "begun"},
        {"version": "17", "name": "other", "recovery": "begun"},
        {"version": "17", "name": "main", "recovery": "replayed"},
        {"version": "16", "name": "main", "recovery": None},
    ]
    left = [
        ["postgres", "__postgres_recover_left", {"postgres_version": version, "common_host": {"clusters": clusters}}]
        for version in ("15", 17, "16", "14")
    ]
    assert evaluate(left) == ["begun", "replayed", "", ""]


def test_an_old_pgbackrest_is_upgraded_to_the_release_that_is_asked_for(evaluate):
    (since,) = evaluate([["postgres", "__postgres_archive_since", {}]])
    assert since == "%d.%d" % settings.SFTP_SINCE
