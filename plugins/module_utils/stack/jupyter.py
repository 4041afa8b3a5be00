# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that run notebooks: at which port Jupyter is reached on each, and whose notebooks they are."""

from __future__ import annotations

import re
import urllib.parse

#: Jupyter's own port, and those after it for a host where the stack has another use for it (SeaweedFS's filer has).
PORTS = range(8888, 8900)

#: Where a data set may come from.
SOURCES = ("url", "archive", "s3")
S3_KEYS = ("bucket", "key", "access_key", "secret_key")
VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")


def port(name, variables, taken):
    """Jupyter's port on a host, and sentences about one that cannot be.

    :param variables: the host's inventory variables.
    :param taken: ports of the stack's services on that host, with the variable of each and the service.
    """
    given = variables.get("jupyter_port")
    if given is None:
        return next(number for number in PORTS if number not in taken), []
    if not str(given).isdigit() or not 0 < int(given) < 65536:
        return PORTS[0], ["jupyter_port: %r on %s is no port: use a number from 1 to 65535." % (given, name)]
    if int(given) in taken:
        return int(given), [
            "jupyter_port: port %s on %s is also taken by %s: choose another." % (given, name, taken[int(given)][0])
        ]
    return int(given), []


def account(name, variables, facts):
    """Sentences about the account whose notebooks they are: it has to be a person's, and there."""
    user = variables.get("jupyter_user") or variables.get("ansible_user") or "root"
    if user == "root":
        return [
            "jupyter_user: notebooks on %s would run as root, which Jupyter refuses: name the account of a person."
            % name
        ]
    if user not in facts["accounts"]:
        return [
            "jupyter_user: %s has no account of a person called %s: make the account first, or name another."
            % (name, user)
        ]
    return []


def image(name, variables):
    """Sentences about an image that would keep a secret: what it is built with can be read in its history."""
    index = urllib.parse.urlsplit(variables.get("common_python_index_url") or "")
    if variables.get("jupyter_image") or "@" not in index.netloc:
        return []
    return [
        "common_python_index_url: its user and password would stay in the notebooks' image on %s, where whoever may "
        "use Docker can read them: name an index that asks for none, or a ready image in jupyter_image." % name
    ]


def host(name, variables, facts, taken):
    """Jupyter's port on a host, and sentences about all that the inventory says of notebooks there.

    :param facts: what ``host_facts`` read there.
    :param taken: see ``port``.
    """
    number, problems = port(name, variables, taken)
    problems += account(name, variables, facts) + image(name, variables)
    return number, problems + datasets(variables.get("jupyter_datasets") or {})


def datasets(given):
    """Sentences about data sets that cannot be fetched, checked or mounted."""
    if not isinstance(given, dict):
        return ["jupyter_datasets: is a mapping of data sets by name: write it so."]
    return ["jupyter_datasets.%s: %s." % (name, wrong) for name, one in given.items() for wrong in dataset(name, one)]


def dataset(name, one):
    """What is wrong with a data set, and what to do about it."""
    if not VOLUME.fullmatch(str(name)):
        return ["is the name of a Docker volume: use letters, digits and -_. only"]
    if not isinstance(one, dict):
        return ["is a mapping with path, checksum and one of %s: write it so" % ", ".join(SOURCES)]
    found = []
    sources = [source for source in SOURCES if one.get(source)]
    if len(sources) != 1:
        found.append("has %d sources: give one of %s" % (len(sources), ", ".join(SOURCES)))
    if sources == ["url"] and not str(one["url"]).startswith(("http://", "https://")):
        found.append("url is one of HTTP: begin it with https://, and name a file of this machine in archive")
    if not CHECKSUM.fullmatch(str(one.get("checksum"))):
        found.append("needs the archive's checksum: write it as sha256: and 64 digits")
    if not str(one.get("path")).startswith("/") or ":" in str(one.get("path")):
        found.append("needs a path in the container: give a whole one, without a colon")
    missing = [key for key in S3_KEYS if not (one.get("s3") or {}).get(key)]
    if sources == ["s3"] and missing:
        found.append("s3 lacks %s: add it" % ", ".join(missing))
    return found
