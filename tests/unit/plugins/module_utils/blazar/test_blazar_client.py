# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import builtins
import importlib.util
import json
import pathlib
import types

import openstack
import pytest
from ansible_collections.mlops.stack.plugins.module_utils.blazar import client as client_module
from ansible_collections.mlops.stack.plugins.module_utils.blazar.client import Cloud, Failure, NotEnough, connect
from keystoneauth1 import exceptions as auth_errors

CLOUDS = """
clouds:
  openstack:
    auth:
      auth_url: http://192.0.2.1:5000
      application_credential_id: id
      application_credential_secret: secret
    auth_type: v3applicationcredential
  half:
    auth_type: v3applicationcredential
"""


def without_openstack(name, *arguments, **options):
    if name.startswith(("openstack", "keystoneauth1")):
        raise ImportError(name)
    return builtins_import(name, *arguments, **options)


builtins_import = builtins.__import__


def test_without_openstacksdk(monkeypatch):
    monkeypatch.setattr(builtins, "__import__", without_openstack)
    spec = importlib.util.spec_from_file_location("without_openstack", pathlib.Path(client_module.__file__))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not module.HAS_OPENSTACK
    assert "openstack" in module.OPENSTACK_IMPORT_ERROR
    assert client_module.HAS_OPENSTACK


@pytest.fixture(name="clouds_yaml")
def _clouds_yaml(tmp_path, monkeypatch):
    """A clouds.yaml of the user's, and nothing else that openstacksdk would read."""
    for name in ("OS_CLOUD", "OS_AUTH_URL", "OS_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    (tmp_path / "clouds.yaml").write_text(CLOUDS, encoding="utf-8")
    return tmp_path / "clouds.yaml"


def test_a_cloud_of_clouds_yaml(clouds_yaml):
    assert connect("openstack").config.name == "openstack"


def test_a_cloud_that_is_not_there(clouds_yaml):
    with pytest.raises(Failure) as failure:
        connect("chi_uc")
    assert str(failure.value) == "%s has no cloud chi_uc, only half, openstack: choose one of them, or add it." % (
        clouds_yaml
    )


def test_a_cloud_that_says_too_little(clouds_yaml):
    with pytest.raises(Failure) as failure:
        connect("half")
    assert str(failure.value).startswith("The entry half of clouds.yaml cannot be used: ")


@pytest.mark.parametrize(
    ("names", "words"),
    [([], "There is no clouds.yaml in this folder, ~/.config/openstack or /etc/openstack: make an")],
)
def test_no_clouds_yaml(names, words):
    def load():
        return types.SimpleNamespace(config_filename=None, get_cloud_names=lambda: names)

    with pytest.raises(Failure) as failure:
        connect("openstack", load)
    assert str(failure.value).startswith(words)
    assert failure.value.phase == "connect"


def test_an_empty_clouds_yaml():
    def load():
        return types.SimpleNamespace(config_filename="/clouds.yaml", get_cloud_names=list)

    with pytest.raises(Failure) as failure:
        connect("openstack", load)
    assert str(failure.value) == "/clouds.yaml has no cloud openstack, only none: choose one of them, or add it."


class Answer:
    """What an HTTP request was answered."""

    def __init__(self, status, body=None):
        self.status_code = status
        self.text = body if isinstance(body, str) else json.dumps(body)
        self.content = b"" if body is None else self.text.encode()

    def json(self):
        return json.loads(self.text)


PLACE = "http://192.0.2.1:8004/v1"


class Site:
    """A connection of openstacksdk whose requests are answered, or fail, as a test says."""

    def __init__(self, answer=None, found=None, place=PLACE + "/", auth_type="password"):
        self.config = types.SimpleNamespace(config={"auth_type": auth_type})
        self.place = place
        self.answer = answer
        self.found = found
        self.asked = []
        self.session = types.SimpleNamespace(request=self.request)
        self.network = types.SimpleNamespace(find_network=self.find)
        self.compute = types.SimpleNamespace(find_flavor=self.find)

    def endpoint_for(self, service):
        assert service == "reservation"
        return self.place

    def request(self, url, method, json=None, raise_exc=True):
        assert not raise_exc
        assert url.startswith(PLACE)
        self.asked.append((method, url[len(PLACE) :], json))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def find(self, name):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def cloud(answer=None, found=None):
    return Cloud("uc", Site(answer, found))


LEASE = {"id": "l1"}


@pytest.mark.parametrize(
    ("call", "answer", "result", "request_"),
    [
        (lambda c: c.leases(), {"leases": [LEASE]}, [LEASE], ("GET", "/leases", None)),
        (lambda c: c.lease("l1"), {"lease": LEASE}, LEASE, ("GET", "/leases/l1", None)),
        (lambda c: c.create({"name": "a"}), {"lease": LEASE}, LEASE, ("POST", "/leases", {"name": "a"})),
        (lambda c: c.extend("l1", {"a": 1}), {"lease": LEASE}, None, ("PUT", "/leases/l1", {"a": 1})),
        (lambda c: c.delete("l1"), None, None, ("DELETE", "/leases/l1", None)),
        (
            lambda c: c.node_types(),
            {"resource_properties": [{"property": "x"}, {"property": "node_type", "values": ["b", "a"]}]},
            ["a", "b"],
            ("GET", "/os-hosts/properties?detail=true", None),
        ),
        (
            lambda c: c.node_types(),
            {"resource_properties": [{"property": "node_type"}]},
            [],
            ("GET", "/os-hosts/properties?detail=true", None),
        ),
        (lambda c: c.node_types(), {}, [], ("GET", "/os-hosts/properties?detail=true", None)),
    ],
)
def test_what_is_asked(call, answer, result, request_):
    one = cloud(Answer(200, answer))
    assert call(one) == result
    assert one.connection.asked == [request_]


def test_what_is_gone():
    assert cloud(Answer(404, {})).lease("l1") is None
    assert cloud(Answer(404, {})).delete("l1") is None


def test_a_site_that_does_not_tell_its_types():
    assert cloud(Answer(403, {"error_message": "Policy doesn't allow it"})).node_types() == []
    assert cloud(Answer(404, {})).node_types() == []


@pytest.mark.parametrize(
    ("status", "body", "words", "safe"),
    [
        (
            500,
            {"error_message": "Delegated tokens cannot manage trusts (HTTP 403)"},
            "The cloud uc makes no lease with this application credential, because that may not hand its rights on to "
            "Blazar (it says: Delegated tokens cannot manage trusts (HTTP 403)): let clouds.yaml sign in with your",
            False,
        ),
        (
            403,
            {"error_message": "Using method 'application_credential' is not allowed for managing trusts."},
            "The cloud uc makes no lease with this application credential",
            False,
        ),
        (
            400,
            {"error_message": "Not enough floating IPs available"},
            "The cloud uc has too few floating IPs free at that time",
            True,
        ),
        (
            409,
            {"error_message": "The lease with name: mlops already exists"},
            "The reservation service of uc answers 409: The lease with name: mlops already exists",
            False,
        ),
        (
            502,
            "<html>Bad gateway</html>\n",
            "The reservation service of uc answers 502: <html>Bad gateway</html>",
            True,
        ),
        (404, {}, "The reservation service of uc answers 404: {}", False),
    ],
)
def test_a_refusal_is_one_sentence(status, body, words, safe):
    with pytest.raises(Failure) as failure:
        cloud(Answer(status, body)).create({})
    assert str(failure.value).startswith(words)
    assert (failure.value.phase, failure.value.safe_to_retry) == ("create", safe)


@pytest.mark.parametrize(
    ("auth_type", "words"),
    [
        ("v3applicationcredential", "The cloud uc makes no lease with this application credential, because that may"),
        ("password", "The reservation service of uc answers 500: Internal Server Error"),
        (None, "The reservation service of uc answers 500: Internal Server Error"),
    ],
)
def test_a_trust_that_blazar_was_refused_is_guessed(auth_type, words):
    one = Cloud("uc", Site(Answer(500, {"error_message": "Internal Server Error"}), auth_type=auth_type))
    with pytest.raises(Failure) as failure:
        one.create({})
    assert str(failure.value).startswith(words)
    with pytest.raises(Failure) as failure:
        one.extend("l1", {})
    assert str(failure.value).startswith("The reservation service of uc answers 500: Internal Server Error")


def test_too_few_hosts():
    with pytest.raises(NotEnough):
        cloud(Answer(400, {"error_message": "Not enough hosts available"})).create({})


@pytest.mark.parametrize(
    ("error", "words", "safe"),
    [
        (auth_errors.Unauthorized(), "The cloud uc refuses the credential in clouds.yaml: it has expired", False),
        (
            auth_errors.MissingRequiredOptions([types.SimpleNamespace(dest="auth_url")]),
            "The cloud uc refuses the credential in clouds.yaml",
            False,
        ),
        (auth_errors.ConnectFailure("refused"), "The cloud uc cannot be reached: refused", True),
    ],
)
def test_a_cloud_out_of_reach_is_one_sentence(error, words, safe):
    with pytest.raises(Failure) as failure:
        cloud(error).leases()
    assert str(failure.value).startswith(words)
    assert (failure.value.phase, failure.value.safe_to_retry) == ("connect", safe)


def test_a_site_without_reservations_is_one_sentence():
    with pytest.raises(Failure) as failure:
        Cloud("uc", Site(place=None)).leases()
    assert str(failure.value).startswith("The cloud uc has no reservation service (Blazar) in this region: correct")
    assert failure.value.phase == "connect"


@pytest.mark.parametrize("method", ["network_id", "flavor_id"])
def test_a_name_has_an_id(method):
    assert getattr(cloud(found=types.SimpleNamespace(id="i1")), method)("public") == "i1"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (None, "The cloud uc has no network named public: correct the name."),
        (openstack.exceptions.DuplicateResource("two"), "The cloud uc says of its networks: two"),
    ],
)
def test_a_name_without_an_id(found, sentence):
    with pytest.raises(Failure) as failure:
        cloud(found=found).network_id("public")
    assert str(failure.value) == sentence
