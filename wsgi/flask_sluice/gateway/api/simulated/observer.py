"""What a test may ask of a simulator that it has started: which requests came, and to answer in another way."""

import hmac
import time
from collections import deque
from typing import Any

import msgspec
from flask import Blueprint, Response, g, request

from flask_sluice.gateway.api.openapi.operation import OBJECT, Operation, Operations, array_of
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.access.auth import given_key
from flask_sluice.gateway.request.body import decode, read_json
from flask_sluice.gateway.simulator.scenarios.scenario import (
    RunningScenario,
    ScenarioError,
    parse_scenario,
)
from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.responses import StreamResponse

PREFIX = "/simulator"
OPERATIONS: Operations = {
    ("GET", f"{PREFIX}/requests"): Operation(
        "List the requests that the simulator has had", "Simulator", answer=array_of(OBJECT)
    ),
    ("DELETE", f"{PREFIX}/requests"): Operation(
        "Forget the requests and the scenario", "Simulator", status=204
    ),
    ("PUT", f"{PREFIX}/scenario"): Operation(
        "Set the scenario", "Simulator", body=OBJECT, status=204
    ),
}
_MAX_REQUESTS = 10_000
_MAX_BYTES = 64 * 1024 * 1024
_KEPT_HEADERS = ("accept", "content-type", "user-agent", "anthropic-version", "anthropic-beta")
_KEPT_PREFIXES = ("x-stainless-",)


class ObservedRequest(msgspec.Struct):
    """A request as the simulator has seen it.

    number: from 1 on
    headers: those that hold no secret
    body: as it came
    came_at, ended_at: monotonic seconds of the simulator's machine; None: it is being answered
    status: of the response; None: the client has left before it
    outcome: of a stream: "complete", "error" or "cancelled"; the last is a client that has left
    events: how many events of a stream were sent
    """

    number: int
    method: str
    path: str
    headers: dict[str, str]
    came_at: float
    body: msgspec.Raw = msgspec.Raw(b"null")
    status: int | None = None
    ended_at: float | None = None
    outcome: str | None = None
    events: int = 0


class Observer:
    """The requests of one worker, and the scenario that a test has set. Old requests make room for new ones."""

    def __init__(self) -> None:
        self.scenario: RunningScenario | None = None
        self._requests: deque[ObservedRequest] = deque(maxlen=_MAX_REQUESTS)
        self._count = 0
        self._bytes = 0

    def begin(self) -> None:
        """Note that the current request has come."""
        self._count += 1
        kept = {
            name.lower(): value
            for name, value in request.headers
            if name.lower() in _KEPT_HEADERS or name.lower().startswith(_KEPT_PREFIXES)
        }
        seen = ObservedRequest(self._count, request.method, request.path, kept, time.monotonic())
        self._requests.append(seen)
        g.sluice_observed = seen

    def note_body(self, body: bytes) -> None:
        """Note the body of the current request."""
        seen: ObservedRequest | None = g.get("sluice_observed")
        if seen is None:
            return
        try:
            msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = msgspec.json.encode(body.decode("utf-8", "replace"))
        seen.body = msgspec.Raw(body)
        self._bytes += len(body)
        while self._bytes > _MAX_BYTES and len(self._requests) > 1:
            self._bytes -= len(bytes(self._requests.popleft().body))

    def end(self, response: Response) -> Response:
        """Note how the current request is answered, and have the end of a stream noted."""
        seen: ObservedRequest | None = g.get("sluice_observed")
        if seen is None:
            return response
        seen.status = response.status_code
        stream = response.response if isinstance(response, StreamResponse) else None
        if isinstance(stream, EventStream):
            stream.call_on_close(lambda: _note_end(seen, stream))
        else:
            seen.ended_at = time.monotonic()
        return response

    def as_json(self) -> bytes:
        """Return all requests that are known, as a JSON array."""
        return msgspec.json.encode(list(self._requests))

    def reset(self) -> None:
        """Forget the requests and the scenario."""
        self.scenario = None
        self._requests.clear()
        self._count = self._bytes = 0


def _note_end(seen: ObservedRequest, stream: EventStream) -> None:
    seen.ended_at = time.monotonic()
    seen.outcome = (stream.outcome or Outcome.CANCELLED).value
    seen.events = stream.event_count


def observe(routes: Blueprint, observer: Observer) -> None:
    """Have the requests of these routes observed."""
    routes.before_request(observer.begin)
    routes.after_request(observer.end)


def blueprint(observer: Observer, token: str) -> Blueprint:
    """Return the routes below /simulator, for those who send the token as a key."""
    routes = Blueprint("observer", __name__, url_prefix=PREFIX)

    @routes.before_request
    def require_token() -> None:
        if not hmac.compare_digest(given_key().encode(), token.encode()):
            raise ApiError(
                401, "invalid_api_key", "these routes are for who has started the server"
            )

    @routes.get("/requests")
    def requests() -> Response:
        return Response(observer.as_json(), content_type="application/json")

    @routes.delete("/requests")
    def reset() -> Response:
        observer.reset()
        return Response(status=204)

    @routes.put("/scenario")
    def set_scenario() -> Response:
        document: Any = decode(read_json(current_request()), dict[str, Any])
        try:
            observer.scenario = RunningScenario(parse_scenario(document), observer.scenario)
        except ScenarioError as error:
            raise ApiError(400, "invalid_request", str(error)) from None
        return Response(status=204)

    return routes
