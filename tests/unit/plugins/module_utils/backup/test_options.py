# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mlops.stack.plugins.module_utils.backup import options
from ansible_collections.mlops.stack.plugins.module_utils.backup.errors import BackupError

SPEC = options.command_spec()


def test_defaults_are_those_that_ansible_gives():
    from ansible.module_utils.basic import AnsibleModule

    given = {"dest": "/sets", "s3": {"bucket": "b"}, "retention": {"daily": 3}, "max_age": 3600}
    with patch_module_args({**given, "state": "present"}):
        module = AnsibleModule(argument_spec=options.backup_spec())
    ours = options.complete(options.backup_spec(), given)
    assert ours == {name: module.params[name] for name in ours}
    assert ours["max_age"] == "3600"
    assert ours["s3"]["wait_timeout"] == 60
    assert ours["retention"] == {"keep_last": 0, "daily": 3, "weekly": 0, "monthly": 0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "The configuration must be an object"),
        ({}, "The option dest is missing"),
        ({"dest": "/s", "destination": "/x"}, "There is no option destination; there are allow_replica, "),
        ({"dest": "/s", "label": "x"}, "There is no option label"),
        ({"dest": "/s", "jobs": "two"}, "The option jobs must be of the type int"),
        ({"dest": "/s", "jobs": True}, "The option jobs must be of the type int"),
        ({"dest": "/s", "compress": True}, "The option compress must be of the type str"),
        ({"dest": "/s", "verify": "well"}, "verify is 'well' and must be one of none, read, restore"),
        ({"dest": "/s", "databases": [1]}, "databases must be a list of strings"),
        ({"dest": "/s", "s3": {}}, "The option s3.bucket is missing"),
        ({"dest": "/s", "s3": "x"}, "The option s3 must be of the type dict"),
        ({"dest": "/s", "artifacts": {"source": {"pat": "x"}}}, "no option artifacts.source.pat"),
    ],
)
def test_what_is_wrong_is_named(given, message):
    with pytest.raises(BackupError, match=message) as caught:
        options.complete(SPEC, given)
    assert (caught.value.phase, caught.value.safe_to_retry) == ("options", False)


@pytest.mark.parametrize(
    "given",
    [
        {"jobs": "3", "free_space_factor": "1.5", "allow_replica": "yes", "databases": "mlflow"},
        {"allow_replica": "off", "databases": "mlflow,auth"},
        {"allow_replica": 1, "s3": {"bucket": "b", "expire": "t"}},
        {"s3": {"bucket": "b", "expire": "True", "wait_timeout": "90"}},
    ],
)
def test_text_is_read_as_ansible_reads_it(given):
    from ansible.module_utils.basic import AnsibleModule

    given = {"dest": "/sets", **given}
    with patch_module_args({**given, "state": "present"}):
        module = AnsibleModule(argument_spec=options.backup_spec())
    ours = options.complete(options.backup_spec(), given)
    assert ours == {name: module.params[name] for name in ours}


def test_types_that_are_right():
    found = options.complete(SPEC, {"dest": "/s", "free_space_factor": 2, "allow_replica": True, "databases": ["a"]})
    assert (found["free_space_factor"], found["allow_replica"], found["databases"]) == (2, True, ["a"])


@pytest.mark.parametrize(
    ("text", "found"), [(None, None), ("90", 90), ("1.5h", 5400), ("90m", 5400), ("7d", 604800), ("2w", 1209600)]
)
def test_durations(text, found):
    assert options.seconds("max_age", text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, None), ("0", 0), ("500K", 512000), ("10 MiB", 10 << 20), ("2gb", 2 << 30), ("1.5T", 3 << 39), ("7B", 7)],
)
def test_sizes(text, found):
    assert options.size("min_size", text) == found


@pytest.mark.parametrize("text", ["", "soon", "-5", "5y"])
def test_no_duration_and_no_size(text):
    with pytest.raises(BackupError, match="must be a duration such as"):
        options.seconds("max_age", text)
    with pytest.raises(BackupError, match="must be a size such as"):
        options.size("min_size", text)
