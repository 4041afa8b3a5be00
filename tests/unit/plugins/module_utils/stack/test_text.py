# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.stack import text

DATABASE = {"host": "10.0.0.1", "port": 5432, "database": "mlflow", "user": "mlflow"}


def test_systemd_environment():
    variables = {"A": "plain", "B": 5, "C": True, "D": None, "E": "a\"b\\c$d`e#f %g'h"}
    assert text.systemd_environment(variables) == ('A="plain"\nB="5"\nC="true"\nE="a\\"b\\\\c\\$d\\`e#f %g\'h"\n')


@pytest.mark.parametrize("value", ["a\nb", "a\rb"])
def test_systemd_environment_refuses_line_breaks(value):
    with pytest.raises(ValueError, match="PASSWORD: a line break"):
        text.systemd_environment({"PASSWORD": value})


@pytest.mark.parametrize(
    ("database", "password", "options", "uri"),
    [
        (DATABASE, "simple", {}, "postgresql+psycopg2://mlflow:simple@10.0.0.1:5432/mlflow"),
        (
            {**DATABASE, "host": "2001:db8::1", "user": "a@b"},
            "p@ss/w%rd:#é",
            {"sslmode": "require"},
            "postgresql+psycopg2://a%40b:p%40ss%2Fw%25rd%3A%23%C3%A9@[2001:db8::1]:5432/mlflow?sslmode=require",
        ),
    ],
)
def test_database_uri(database, password, options, uri):
    assert text.database_uri(database, password, **options) == uri


def test_fingerprint():
    assert text.fingerprint("a") == "ca978112ca1b"
