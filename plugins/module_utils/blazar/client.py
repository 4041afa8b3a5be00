# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that talks to a cloud about leases: Blazar's API over openstacksdk's session.

openstacksdk is there for the other modules; Blazar's own client would be one more dependency for five requests.
"""

from __future__ import annotations

import traceback

try:
    import openstack
    from keystoneauth1 import exceptions as auth_errors
except ImportError:
    HAS_OPENSTACK = False
    OPENSTACK_IMPORT_ERROR = traceback.format_exc()
else:
    HAS_OPENSTACK = True
    OPENSTACK_IMPORT_ERROR = None

SERVICE = "reservation"
TRUSTS = ("cannot manage trusts", "managing trusts")


class Failure(Exception):
    """One sentence about what the cloud refused, or could not do."""

    def __init__(self, message, phase, safe_to_retry=False):
        super().__init__(message)
        self.phase = phase
        self.safe_to_retry = safe_to_retry


class NotEnough(Failure):
    """There are fewer free hosts than asked for."""

    def __init__(self):
        super().__init__("There are not enough free hosts.", "create", safe_to_retry=True)


def connect(name, load=None):
    """A connection to a cloud of clouds.yaml.

    :param name: its name there.
    :param load: what reads clouds.yaml, openstacksdk's own by default.
    """
    try:
        config = (load or openstack.config.OpenStackConfig)()
        known = sorted(config.get_cloud_names())
        if not config.config_filename:
            raise Failure(
                "There is no clouds.yaml in this folder, ~/.config/openstack or /etc/openstack: make an application "
                "credential in the site's dashboard, and put the clouds.yaml that it offers there.",
                "connect",
            )
        if name not in known:
            raise Failure(
                "%s has no cloud %s, only %s: choose one of them, or add it."
                % (config.config_filename, name, ", ".join(known) or "none"),
                "connect",
            )
        return openstack.connection.Connection(config=config.get_one(cloud=name))
    except (openstack.exceptions.SDKException, auth_errors.ClientException) as error:
        raise Failure("The entry %s of clouds.yaml cannot be used: %s" % (name, error), "connect") from error


class Cloud:
    """The leases of one project in one cloud."""

    def __init__(self, name, connection):
        self.name = name
        self.connection = connection

    def ask(self, phase, method, path, body=None):
        """One request to Blazar; what it answers, or None where it has no such thing."""
        # The catalogue's own address: where openstacksdk chooses a version it takes the newest, which is a draft.
        place = self.reach(lambda: self.connection.endpoint_for(SERVICE))
        if not place:
            raise Failure(
                "The cloud %s has no reservation service (Blazar) in this region: correct region_name in clouds.yaml, "
                "or take a site that has one." % self.name,
                "connect",
            )
        url = place.rstrip("/") + path
        answer = self.reach(lambda: self.connection.session.request(url, method, json=body, raise_exc=False))
        if answer.status_code == 404 and method in ("GET", "DELETE"):
            return None
        if answer.status_code >= 400:
            raise self.refusal(phase, answer)
        return answer.json() if answer.content else {}

    def reach(self, call):
        """Make a call, and turn whatever keeps it from the cloud into one sentence."""
        try:
            return call()
        except (auth_errors.Unauthorized, auth_errors.MissingRequiredOptions) as error:
            raise Failure(
                "The cloud %s refuses the credential in clouds.yaml: it has expired, was deleted or is wrong. Make a "
                "new application credential, and put its clouds.yaml in place of the old one." % self.name,
                "connect",
            ) from error
        except auth_errors.ClientException as error:
            raise Failure(
                "The cloud %s cannot be reached: %s" % (self.name, error), "connect", safe_to_retry=True
            ) from error

    def refusal(self, phase, answer):
        """The failure that an answer of Blazar stands for."""
        try:
            text = answer.json().get("error_message") or answer.text
        except ValueError:
            text = answer.text
        # Blazar is refused a trust then, and most releases keep that to themselves.
        hidden = phase == "create" and answer.status_code == 500 and self.delegated
        if hidden or any(words in text for words in TRUSTS):
            return Failure(
                "The cloud %s makes no lease with this application credential, because that may not hand its rights on "
                "to Blazar (it says: %s): let clouds.yaml sign in with your password, or reserve in the site's "
                "dashboard and go on from there; where Keystone is older, an unrestricted one is enough."
                % (self.name, text.strip()),
                phase,
            )
        if "Not enough hosts" in text:
            return NotEnough()
        if "Not enough floating IP" in text:
            return Failure(
                "The cloud %s has too few floating IPs free at that time: ask for fewer, or for another time."
                % self.name,
                phase,
                safe_to_retry=True,
            )
        return Failure(
            "The reservation service of %s answers %d: %s" % (self.name, answer.status_code, text.strip()),
            phase,
            safe_to_retry=answer.status_code >= 500,
        )

    @property
    def delegated(self):
        """Whether clouds.yaml signs in with an application credential."""
        return "applicationcredential" in str(self.connection.config.config.get("auth_type"))

    def leases(self):
        """All leases of the project."""
        return self.ask("read", "GET", "/leases")["leases"]

    def lease(self, lease_id):
        """One lease, or None."""
        answer = self.ask("wait", "GET", "/leases/%s" % lease_id)
        return answer["lease"] if answer else None

    def create(self, payload):
        """Make a lease, and return it."""
        return self.ask("create", "POST", "/leases", payload)["lease"]

    def extend(self, lease_id, payload):
        """Change a lease."""
        self.ask("extend", "PUT", "/leases/%s" % lease_id, payload)

    def delete(self, lease_id):
        """Remove a lease with all that it reserved."""
        self.ask("delete", "DELETE", "/leases/%s" % lease_id)

    def node_types(self):
        """The types of node that the site has; empty where it tells nobody."""
        try:
            answer = self.ask("read", "GET", "/os-hosts/properties?detail=true") or {}
        except Failure:
            return []
        for found in answer.get("resource_properties", []):
            if found.get("property") == "node_type":
                return sorted(found.get("values", []))
        return []

    def network_id(self, name):
        """The id of a network."""
        return self.identify("network", name, lambda: self.connection.network.find_network(name))

    def flavor_id(self, name):
        """The id of a flavor."""
        return self.identify("flavor", name, lambda: self.connection.compute.find_flavor(name))

    def identify(self, kind, name, find):
        try:
            found = self.reach(find)
        except openstack.exceptions.SDKException as error:
            raise Failure("The cloud %s says of its %ss: %s" % (self.name, kind, error), "read") from error
        if found is None:
            raise Failure("The cloud %s has no %s named %s: correct the name." % (self.name, kind, name), "read")
        return found.id
