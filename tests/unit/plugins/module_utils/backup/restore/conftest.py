# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL made of a list: which statement gets which answer, and what it was told."""

from __future__ import annotations

import pytest
from ansible_collections.mlops.stack.plugins.module_utils.backup import postgres


class Fault(postgres.DriverError):
    """An error as the driver raises it."""

    pgcode = None

    def __init__(self, text, code=None):
        super().__init__(text)
        self.pgcode = code


class Cursor:
    def __init__(self, connection):
        self.connection = connection
        self.rows = None

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def execute(self, text, values=None):
        if self.connection.closed:
            raise Fault("connection already closed")
        self.rows = self.connection.postgres.answer(self.connection.database, " ".join(text.split()), values)

    @property
    def description(self):
        return None if self.rows is None else [("column",)]

    def fetchall(self):
        return self.rows


class Connection:
    def __init__(self, fake, database):
        self.postgres = fake
        self.database = database
        self.closed = False

    def cursor(self):
        return Cursor(self)

    def close(self):
        self.closed = True


class FakePostgres:
    """Answers each statement as it was told for its beginning: rows, an exception, or what a function gives."""

    def __init__(self):
        self.answers = []
        self.said = []
        self.connections = []

    def connect(self, database):
        connection = Connection(self, database)
        self.connections.append(connection)
        return connection

    def on(self, beginning, *answers):
        """Answer statements that begin so; the last answer stays."""
        self.answers.insert(0, (beginning, list(answers)))

    def answer(self, database, text, values):
        for beginning, answers in self.answers:
            if text.startswith(beginning):
                found = answers.pop(0) if len(answers) > 1 else answers[0]
                break
        else:
            found = None
        self.said.append((database, text) if values is None else (database, text, values))
        found = found(database, text, values) if callable(found) else found
        if isinstance(found, Exception):
            raise found
        return found

    def texts(self, beginning=""):
        """The statements so far that begin so."""
        return [one[1] for one in self.said if one[1].startswith(beginning) and not one[1].startswith("SET statement_")]


@pytest.fixture
def fake():
    return FakePostgres()


@pytest.fixture
def fault():
    return Fault
