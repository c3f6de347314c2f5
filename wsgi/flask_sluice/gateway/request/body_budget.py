"""How many bytes of request bodies a worker holds at once."""

import time
from typing import TYPE_CHECKING, TypeVar

from flask import Flask, request

from flask_sluice.gateway.settings import Settings
from flask_sluice.server.connections import stop_reading
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.steps import Steps

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

T = TypeVar("T")

_HELD = "sluice.held_body"
_BUDGET = "sluice_bodies"
_RETRY_SECONDS = 1
SLOW_SECONDS = 5.0
"""A body that is not whole after so long makes room for others."""


def register(app: Flask, settings: Settings) -> None:
    """Count the bodies of the application's requests, each at least to the end of its request."""
    app.extensions[_BUDGET] = BodyBudget(settings.total_body_bytes)

    @app.teardown_request
    def let_go(_: BaseException | None) -> None:
        held = request.environ.get(_HELD)
        if held is not None:
            held.let_go()


def begin_to_hold(app: Flask, environ: "WSGIEnvironment") -> "HeldBody":
    """Return the account of the current request's body, which is about to be read."""
    held = HeldBody(app.extensions[_BUDGET], environ)
    environ[_HELD] = held
    return held


def while_held(environ: "WSGIEnvironment", steps: Steps[T]) -> Steps[T]:
    """Return the steps, which hold the request's body: it counts until they are over, even if the request is over before."""
    held = environ.get(_HELD)
    return steps if held is None else _hold(held, steps)


def _hold(held: "HeldBody", steps: Steps[T]) -> Steps[T]:
    held.keep()
    try:
        return (yield from steps)
    finally:
        held.let_go()


class BodyBudget:
    """Counts the bytes of all bodies of a worker.

    limit: how many there may be; a body that is alone may be larger
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.byte_count = 0
        self.unfinished: dict[HeldBody, float] = {}
        """The bodies that are being read, and since when, in monotonic seconds; the oldest comes first."""

    def take(self, body: "HeldBody", added: int) -> None:
        """Count more bytes of a body. Raises ApiError 503 if there is no room for them."""
        while self.byte_count > body.byte_count and self.byte_count + added > self.limit:
            oldest = next(iter(self.unfinished), None)
            if oldest is None or time.monotonic() - self.unfinished[oldest] < SLOW_SECONDS:
                raise _no_room()
            oldest.refuse()
            body.check()
        body.byte_count += added
        self.byte_count += added


class HeldBody:
    """The account of one request's body, which counts as it comes.

    Only what has come counts: to announce bytes costs a client nothing.
    """

    __slots__ = ("_budget", "_is_refused", "_sock", "_uses", "byte_count")

    def __init__(self, budget: BodyBudget, environ: "WSGIEnvironment") -> None:
        self._budget = budget
        self._sock = environ.get("gunicorn.socket")
        self._uses = 1
        self._is_refused = False
        self.byte_count = 0

    def add(self, byte_count: int) -> None:
        """Count bytes that have come. Raises ApiError 503 if there is no room for them, or for this body any more."""
        self.check()
        self._budget.take(self, byte_count)

    def check(self) -> None:
        """Raises ApiError 503 if the body has had to make room for others."""
        if self._is_refused:
            raise _no_room()

    def mark_unfinished(self) -> None:
        """Note that more of the body is to come: it may have to make room for others."""
        self._budget.unfinished[self] = time.monotonic()

    def mark_read(self) -> None:
        """Note that no more of the body is waited for."""
        self._budget.unfinished.pop(self, None)

    def refuse(self) -> None:
        """Make room: the greenlet that waits for the rest of the body sees its end, and ``check`` raises there."""
        self._is_refused = True
        self.mark_read()
        self._forget()
        if self._sock is not None:
            stop_reading(self._sock)

    def keep(self) -> None:
        """Go on counting until one more ``let_go``."""
        self._uses += 1

    def let_go(self) -> None:
        self._uses -= 1
        if not self._uses:
            self._forget()

    def _forget(self) -> None:
        self._budget.byte_count -= self.byte_count
        self.byte_count = 0


def _no_room() -> ApiError:
    return ApiError(
        503,
        "overloaded",
        "the bodies of the requests under way fill SLUICE_TOTAL_BODY_BYTES; try again later",
        headers={"Retry-After": str(_RETRY_SECONDS)},
    )
