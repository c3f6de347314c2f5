"""The routes below /simulator: what a test asks of the simulator that it has started."""

import hmac
import time
from collections.abc import Callable
from typing import Any

import msgspec
from flask import Blueprint, Response

from flask_sluice.gateway.api.openapi.operation import OBJECT, Operation, Operations, array_of
from flask_sluice.gateway.api.simulated.request_memory import RequestMemory
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.access.auth import given_key
from flask_sluice.gateway.request.body import decode, read_json
from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError
from flask_sluice.gateway.simulator.scenarios.live import LiveScenario
from flask_sluice.stream.errors import ApiError

OPERATIONS: Operations = {
    ("GET", "/simulator/requests"): Operation(
        "List the requests that the simulator has had", "Simulator", answer=array_of(OBJECT)
    ),
    ("DELETE", "/simulator/requests"): Operation(
        "Forget the requests, the rules and the scenario", "Simulator", status=204
    ),
    ("PUT", "/simulator/scenario"): Operation(
        "Set the scenario", "Simulator", body=OBJECT, status=204
    ),
    ("PUT", "/simulator/rules/<name>"): Operation(
        "Set a rule that goes before the scenario", "Simulator", body=OBJECT, status=204
    ),
}
_GRACE_SECONDS = 0.1
"""How long a client that has just left may take to be noticed."""


class _Scenario(msgspec.Struct):
    """file: the path of a TOML file on this machine; scenario: one as JSON, in its place"""

    file: str | None = None
    scenario: dict[str, Any] | None = None


def blueprint(memory: RequestMemory, scenario: LiveScenario, token: str) -> Blueprint:
    """Return the routes, for those who send the token as a key."""
    routes = Blueprint("simulator", __name__, url_prefix="/simulator")
    expected = token.encode()

    @routes.before_request
    def require_token() -> None:
        if not hmac.compare_digest(given_key().encode(), expected):
            raise ApiError(
                401, "invalid_api_key", "these routes take the key that is SLUICE_SIMULATOR_TOKEN"
            )

    @routes.get("/requests")
    def list_requests() -> Response:
        until = time.monotonic() + _GRACE_SECONDS
        while memory.is_any_running and time.monotonic() < until:
            time.sleep(0.005)
        return Response(memory.as_json(), content_type="application/json")

    @routes.delete("/requests")
    def forget_all() -> Response:
        memory.forget()
        return _done(scenario.reset)

    @routes.put("/scenario")
    def put_scenario() -> Response:
        given = decode(read_json(current_request()), _Scenario)
        path = given.file
        if path is not None:
            return _done(lambda: scenario.put_file(path))
        return _done(lambda: scenario.put_scenario(given.scenario or {}))

    @routes.put("/rules/<name>")
    def put_rule(name: str) -> Response:
        rule = decode(read_json(current_request()), dict[str, Any])
        return _done(lambda: scenario.put_rule(name, rule))

    return routes


def _done(change: Callable[[], object]) -> Response:
    try:
        change()
    except ScenarioError as error:
        raise ApiError(400, "invalid_scenario", str(error)) from None
    return Response(status=204)
