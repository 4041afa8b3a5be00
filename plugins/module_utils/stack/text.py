# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values written so that the program that reads them gets them back unchanged."""

from __future__ import annotations

import hashlib


def systemd_environment(variables):
    """The text of a systemd ``EnvironmentFile``.

    systemd.exec(5): within double quotes a backslash escapes; nothing is expanded.

    :param variables: names to values; a value of None is left out, True and False become ``true`` and ``false``.
    :raises ValueError: for a value with a line break, which such a file cannot hold safely.
    """
    lines = []
    for name, value in variables.items():
        if value is None:
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if "\n" in text or "\r" in text:
            raise ValueError("%s: a line break cannot stand in an environment file" % name)
        for character in '\\"`$':
            text = text.replace(character, "\\" + character)
        lines.append('%s="%s"\n' % (name, text))
    return "".join(lines)


def fingerprint(text):
    """Twelve hexadecimal digits that name a text's content."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]
