# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed probe means, in one sentence with what to do."""

from __future__ import annotations

import json
import re


def read(stdout):
    """What the probe printed: its last line that is JSON. None where there is none."""
    for line in reversed(stdout.strip().splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "phase" in found:
            return found
    return None


def no_python(image, said):
    """The sentence about an image in which the probe does not even start."""
    return "The image %s has no python3 that runs (%s): use an image with Python and mlflow." % (image, last_line(said))


def last_line(text):
    """The last line of a command's output that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def sentence(said, uri, host, options):
    """Why the probe failed and what to do.

    :param said: what read() returned of a probe that failed.
    :param uri: the tracking URI that the container has.
    :param host: the tracking server's name or address in it.
    :param options: the module's options.
    """
    phase, error = said["phase"], said["error"]
    if phase == "start Jupyter":
        return "Jupyter does not answer inside the container (%s): read `docker logs` of it." % last_line(error)
    if phase == "check the token":
        return (
            "%s: the image does not read the configuration in config_dir; use one whose Jupyter Server does, or leave "
            "token_file out." % error
        )
    if phase == "import mlflow":
        return "The image %s cannot import mlflow (%s): use an image that has it." % (
            options["image"],
            last_line(error),
        )
    if phase == "compare versions":
        return "The image %s: %s, which is %s: use an image with mlflow %s or newer." % (
            options["image"],
            error,
            options["mlflow_version"],
            ".".join(options["mlflow_version"].split(".")[:2]),
        )
    return tracking(said, uri, host)


def tracking(said, uri, host):
    """The sentence about a tracking server that does not do what a client asks for."""
    error = said["error"]
    if "Host header" in error:
        return (
            "The tracking server at %s answers 403, because the name %s is not among its allowed hosts: add it to "
            "mlflow_server_extra_allowed_hosts, and run site.yml." % (uri, host)
        )
    if re.search(r"\b401\b|not authenticated", error, re.IGNORECASE):
        return "The tracking server at %s refuses the user (401): give a credentials_file with a valid user." % uri
    if re.search(r"\b403\b|permission denied", error, re.IGNORECASE):
        return "The tracking server at %s forbids this user to %s (403): give a credentials_file with another user." % (
            uri,
            said["phase"],
        )
    if re.search(r"CERTIFICATE_VERIFY_FAILED|SSLError", error):
        return "The certificate of %s is not trusted inside the container: set ca_cert." % uri
    if re.search(r"Max retries|Connection|timed out|Timeout|more than", error):
        return (
            "The tracking server cannot be reached from inside the container at %s (%s): check tracking_host, firewall "
            "and routes." % (uri, last_line(error)[:160])
        )
    return "Inside the container, this fails against %s: %s (%s)." % (uri, said["phase"], last_line(error)[:200])
