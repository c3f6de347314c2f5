"""What an engine is, and what it is given."""

from collections.abc import Callable, Iterator
from typing import Protocol

from wsgi.engines.schema import AnswerRequest
from wsgi.sse import Annotated, Event


class Context(Protocol):
    """How an engine hears that its answer is not wanted any more (``wsgi.stream.StreamContext``)."""

    @property
    def is_stopped(self) -> bool: ...

    def wait(self, seconds: float | None) -> bool:
        """Waits, None for ever; returns True, at once, when the answer is not wanted any more."""

    def on_stop(self, callback: Callable[[], object]) -> None:
        """``callback`` is called once when the answer is not wanted any more."""

    def fail(self, reason: str) -> None:
        """The answer is not whole although its stream ends properly."""

    def cut(self, reset: bool = False) -> None:
        """The connection is to break when the generator returns; reset: by RST."""


class Engine(Protocol):
    def generate(
        self, request: AnswerRequest, context: Context
    ) -> Iterator[Annotated | Event | bytes]:
        """Yields the events of the answer, its terminal event included, or, if the request does not ask
        for a stream, one JSON document.

        May block. Raises ApiError for a refusal or a failure, PlainAnswer, before the first item only,
        for an answer that is no stream.
        """
