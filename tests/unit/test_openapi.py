"""The document at /openapi.json: valid, and of all that the gateway serves."""

import sys

import pytest
from openapi_spec_validator import validate

from flask_sluice.gateway.api.openapi.operations import OPERATIONS
from flask_sluice.gateway.app import create_app
from flask_sluice.gateway.environment import read_settings
from flask_sluice.stream.registry import admission

KEY = "a-long-random-key"
GATEWAYS = {
    "simulator": {},
    "keys": {"SLUICE_API_KEYS": KEY},
    "upstream": {"SLUICE_UPSTREAM": "http://127.0.0.1:1/v1", "SLUICE_SECRET_KEY": "s" * 32},
}


@pytest.fixture(autouse=True)
def outside_gunicorn(monkeypatch):
    """Other tests of this process may have imported gunicorn, in which the app asks for gevent's patches."""
    monkeypatch.delitem(sys.modules, "gunicorn.arbiter", raising=False)


@pytest.fixture(params=GATEWAYS.values(), ids=GATEWAYS)
def app(request):
    limit = admission().limit
    yield create_app(read_settings(request.param))
    admission().limit = limit


def document_of(app):
    return app.test_client().get("/openapi.json", base_url="http://127.0.0.1:8080").json


def test_the_document_is_valid(app):
    validate(document_of(app))


def test_every_route_is_described(app):
    served = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static" and not rule.rule.startswith("/_sluice/")
    }
    assert served - OPERATIONS.keys() == set()


def test_what_is_not_served_is_not_described(app):
    described = document_of(app)["paths"]
    assert ("/v1/chat/completions" in described) == ("/v1/{rest}" not in described)


def test_a_key_is_named_where_it_is_needed_and_nowhere_else():
    paths = document_of(create_app(read_settings(GATEWAYS["keys"])))["paths"]
    assert paths["/v1/models"]["get"]["security"] == [{"key": []}]
    assert "security" not in paths["/healthz"]["get"]
    open_paths = document_of(create_app(read_settings({})))["paths"]
    assert "security" not in open_paths["/v1/models"]["get"]


def test_a_request_is_described_with_the_limits_that_are_checked():
    document = document_of(create_app(read_settings({})))
    content = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/ChatRequest"}
    fields = document["components"]["schemas"]["ChatRequest"]["properties"]
    assert {"type": "integer", "minimum": 1, "maximum": 128} in fields["n"]["anyOf"]
