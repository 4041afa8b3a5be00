# Copyright: (c) 2026, The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that run notebooks: at which port Jupyter is reached on each, and whose notebooks they are."""

from __future__ import annotations

#: Jupyter's own port, and those after it for a host where the stack has another use for it (SeaweedFS's filer has).
PORTS = range(8888, 8900)


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
