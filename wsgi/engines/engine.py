"""What an engine is, and what it is given."""

from collections.abc import Iterator
from typing import Protocol

from wsgi.engines.schema import AnswerRequest
from wsgi.sse import Annotated, Event, Pause


class Context(Protocol):
    """How an engine says how its answer went (``wsgi.stream.StreamContext``)."""

    def fail(self, reason: str) -> None:
        """The answer is not whole although its stream ends properly."""

    def cut(self, reset: bool = False) -> None:
        """The connection is to break when the generator returns; reset: by RST."""


class Engine(Protocol):
    def generate(
        self, request: AnswerRequest, context: Context
    ) -> Iterator[Annotated | Event | bytes | Pause]:
        """Yields the events of the answer, its terminal event included, or, if the request does not ask
        for a stream, one JSON document.

        Where it waits it yields a Pause. It may block before its first item; from then on it must not (see
        ``wsgi.stream.TimedFeed``). It is closed when the answer is not wanted any more. Raises ApiError for a
        refusal or a failure, PlainAnswer, before the first item only, for an answer that is no stream.
        """
