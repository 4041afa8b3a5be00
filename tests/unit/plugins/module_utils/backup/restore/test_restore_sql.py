# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore import sql
from ansible_collections.mlops.stack.plugins.module_utils.backup.restore.sql import Properties

FACTS = {"encoding": "UTF8", "collate": "C.UTF-8", "ctype": "en_US.UTF-8"}


@pytest.mark.parametrize(
    "text, quoted", [("a", "'a'"), ("it's", "'it''s'"), ("a\\b", " E'a\\\\b'"), ("a\\'b", " E'a\\\\''b'")]
)
def test_values_are_quoted(text, quoted):
    assert sql.literal(text) == quoted


def test_names_are_quoted():
    assert sql.identifier('a"b; --') == '"a""b; --"'
    assert sql.comment('d"', "it's") == "COMMENT ON DATABASE \"d\"\"\" IS 'it''s'"


@pytest.mark.parametrize(
    "more, ending",
    [
        ({}, ""),
        ({"locale_provider": "c", "locale": None}, ""),
        ({"locale_provider": "i", "locale": "de-DE"}, " LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'"),
        ({"locale_provider": "b", "locale": "C.UTF-8"}, " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"),
    ],
)
def test_a_database_is_made_as_it_was(more, ending):
    assert sql.create_database("new", "own er", {**FACTS, **more}) == (
        'CREATE DATABASE "new" OWNER "own er" TEMPLATE template0 '
        f"ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'en_US.UTF-8'{ending}"
    )


def test_properties_as_statements():
    properties = Properties(
        grants=[(None, "CONNECT", False), ("graf ana", "TEMPORARY", True), ("x", "CONNECT; DROP TABLE t", False)],
        settings=[
            (None, "work_mem=8MB"),
            ("mlflow", "statement_timeout=1=2"),
            (None, 'search_path="$user", public, "a""b"'),
            (None, "search_path="),
            (None, "my.setting=it's"),
        ],
        connection_limit=7,
    )
    assert sql.apply_properties("new", properties) == [
        'GRANT CONNECT ON DATABASE "new" TO PUBLIC',
        'GRANT TEMPORARY ON DATABASE "new" TO "graf ana" WITH GRANT OPTION',
        'ALTER DATABASE "new" CONNECTION LIMIT 7',
        'ALTER DATABASE "new" SET "work_mem" TO \'8MB\'',
        'ALTER ROLE "mlflow" IN DATABASE "new" SET "statement_timeout" TO \'1=2\'',
        "ALTER DATABASE \"new\" SET \"search_path\" TO '$user', 'public', 'a\"b'",
        'ALTER DATABASE "new" SET "search_path" TO \'\'',
        'ALTER DATABASE "new" SET "my"."setting" TO \'it\'\'s\'',
    ]


def test_a_database_without_rights_of_its_own_is_open_as_a_new_one():
    assert sql.close_to_public("new") == 'REVOKE ALL ON DATABASE "new" FROM PUBLIC'
    assert sql.apply_properties("new", Properties()) == ['GRANT CONNECT, TEMPORARY ON DATABASE "new" TO PUBLIC']
    assert sql.apply_properties("new", Properties([])) == []


def test_properties_of_a_manifest():
    facts = {
        "acl": [["mlflow", "CONNECT", False], [None, "TEMPORARY", True]],
        "settings": [{"role": None, "config": ["a=1", "b=2"]}, {"role": "r", "config": ["c=3"]}],
    }
    assert sql.from_manifest(facts) == Properties(
        [("mlflow", "CONNECT", False), (None, "TEMPORARY", True)], [(None, "a=1"), (None, "b=2"), ("r", "c=3")]
    )
    assert sql.from_manifest({}) == Properties()
    assert sql.from_manifest({"acl": []}).grants == []
