# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role backup makes of its variables."""

from __future__ import annotations

PREFIXES = {None: "artifacts", "": "artifacts", "/": "artifacts", "a/b": "a/b/artifacts", "a/b/": "a/b/artifacts"}


def test_where_copies_go_beside_the_sets(evaluate):
    places = [{}, {"bucket": "b"}, *({"bucket": "b", "prefix": prefix} for prefix in PREFIXES)]
    found = evaluate([["backup", "backup_artifacts_s3", {"backup_s3": place}] for place in places])
    assert found == [{}, *({"bucket": "b", "prefix": prefix} for prefix in ("artifacts", *PREFIXES.values()))]
