"""What an engine is, and what it is given."""

from collections.abc import Iterator
from typing import Protocol

from flask_sluice.gateway.simulator.pause import Pause
from flask_sluice.gateway.simulator.request_schema import AnswerRequest
from flask_sluice.sse import Event


class Context(Protocol):
    """How an engine says how its answer went (``flask_sluice.stream.StreamContext``)."""

    def fail(self, reason: str) -> None:
        """The answer is not whole although its stream ends properly."""


class Engine(Protocol):
    def generate(self, request: AnswerRequest, context: Context) -> Iterator[Event | bytes | Pause]:
        """Yields the events of the answer, its terminal event included, or, if the request does not ask
        for a stream, one JSON document.

        Where it waits it yields a Pause. It may block before its first item; from then on it must not (see
        ``flask_sluice.stream.TimedFeed``). It is closed when the answer is not wanted any more. Raises ApiError for a
        refusal or a failure, PlainAnswer, before the first item only, for an answer that is no stream.
        """
