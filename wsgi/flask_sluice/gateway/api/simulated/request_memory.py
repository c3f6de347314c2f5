"""Remembers the requests that a simulator was sent, for the test that has started it."""

import time
from collections import deque

import msgspec
from flask import Blueprint, Response, g, request

from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream.event_stream import EventStream

MAX_REQUESTS = 1000
MAX_BYTES = 16 * 1024 * 1024
_SECRETS = (
    *("authorization", "proxy-authorization", "cookie"),
    *("x-api-key", "api-key", "x-goog-api-key"),
)
_HIDDEN = "[hidden]"
_OUTCOMES = {Outcome.COMPLETE: "complete", Outcome.ERROR: "error", Outcome.CANCELLED: "left"}


class RememberedRequest(msgspec.Struct, gc=False):
    """A request as the simulator has seen it.

    number: from 1 on
    api: "chat", "messages", …; "" for a path that is not of an API
    headers: with names in lower case; keys and cookies are not among them
    body: as it came, as JSON; text where it is not JSON
    came_at, ended_at: monotonic seconds of this machine
    status: of the response; None: it has not begun
    outcome: "complete", "error" for an answer that broke off, "left" if the client left before its end, "refused" for a
        status that tells an error; None: it is being answered
    event_count, byte_count: how many have been written of the body
    """

    number: int
    method: str
    path: str
    headers: dict[str, str]
    came_at: float
    api: str = ""
    body: msgspec.Raw = msgspec.Raw(b"null")
    status: int | None = None
    ended_at: float | None = None
    outcome: str | None = None
    event_count: int = 0
    byte_count: int = 0


class RequestMemory:
    """The last requests of one worker: at most ``MAX_REQUESTS``, with ``MAX_BYTES`` of bodies."""

    def __init__(self) -> None:
        self._requests: deque[RememberedRequest] = deque()
        self._running: dict[int, EventStream] = {}
        self._count = 0
        self._bytes = 0

    def watch(self, routes: Blueprint) -> None:
        """Have the requests to these routes remembered, and those to paths that there are not."""
        routes.before_app_request(self._begin)
        routes.after_app_request(self._answered)

    def note_body(self, api: str, body: bytes) -> None:
        """Note the body of the current request."""
        seen: RememberedRequest | None = g.get("remembered_request")
        if seen is None:
            return
        seen.api = api
        if len(body) > MAX_BYTES:
            body = b'"[too large to be remembered]"'
        seen.body = msgspec.Raw(_as_json(body))
        self._bytes += len(bytes(seen.body))
        self._make_room()

    def as_json(self) -> bytes:
        """Return the requests, the oldest first, as a JSON array."""
        for seen in self._requests:
            if (stream := self._running.get(id(seen))) is not None:
                _note_counts(seen, stream)
        return msgspec.json.encode(list(self._requests))

    @property
    def is_any_running(self) -> bool:
        """Whether one of the requests is being answered."""
        return any(seen.outcome is None for seen in self._requests)

    def forget(self) -> None:
        """Forget all requests; the next one has the number 1."""
        self._requests.clear()
        self._running.clear()
        self._count = self._bytes = 0

    def _begin(self) -> None:
        if request.path.startswith("/simulator/") or request.path in ("/healthz", "/readyz"):
            return
        self._count += 1
        headers = {
            name.lower(): _HIDDEN if name.lower() in _SECRETS else value
            for name, value in request.headers
        }
        seen = RememberedRequest(
            self._count, request.method, request.path, headers, time.monotonic()
        )
        self._requests.append(seen)
        self._make_room()
        g.remembered_request = seen

    def _answered(self, response: Response) -> Response:
        seen: RememberedRequest | None = g.get("remembered_request")
        if seen is None:
            return response
        seen.status = response.status_code
        stream = response.response
        if isinstance(stream, EventStream):
            self._running[id(seen)] = stream
            stream.call_on_close(lambda: self._ended(seen))
        else:
            seen.outcome = "complete" if response.status_code < 400 else "refused"
            seen.byte_count = response.content_length or 0
            seen.ended_at = time.monotonic()
        return response

    def _ended(self, seen: RememberedRequest) -> None:
        stream = self._running.pop(id(seen), None)
        if stream is None:
            return  # It has been forgotten.
        _note_counts(seen, stream)
        seen.outcome = _OUTCOMES[stream.outcome or Outcome.CANCELLED]
        seen.ended_at = time.monotonic()

    def _make_room(self) -> None:
        while len(self._requests) > MAX_REQUESTS or (
            self._bytes > MAX_BYTES and len(self._requests) > 1
        ):
            forgotten = self._requests.popleft()
            self._running.pop(id(forgotten), None)
            self._bytes -= len(bytes(forgotten.body))


def _note_counts(seen: RememberedRequest, stream: EventStream) -> None:
    seen.event_count = stream.event_count
    seen.byte_count = stream.byte_count


def _as_json(body: bytes) -> bytes:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.encode(body.decode("utf-8", "replace"))
    return body
