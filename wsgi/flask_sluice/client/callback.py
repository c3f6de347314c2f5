"""A stream told to an object with methods, as Java's WebClient examples do it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flask_sluice.client.errors import Ending, StreamError
from flask_sluice.client.stream import SSEStream


class StreamCallback(Protocol):
    """What ``SSEClient.post_stream`` calls, in the thread that called it."""

    def on_open(self, status: int, headers: Mapping[str, str]) -> object:
        """The answer has begun; once for each connection."""

    def on_content(self, id: str, data: str) -> object:  # noqa: A002 - the name that callers know
        """An event. id: the last event id, "-1" for a JSON body"""

    def on_comment(self, comment: str) -> object:
        """A comment, such as a keep-alive; at once, and so before events of the same read."""

    def on_error(self, code: str, message: str) -> object:
        """The answer is not whole, and this is why. At most once."""

    def on_close(self, reason: str) -> object:
        """The last call. reason: a value of ``Ending``; the answer is whole if it is "complete" """


@dataclass(frozen=True)
class StreamCounts:
    """How many there were, and how it ended."""

    events: int
    comments: int
    ending: Ending


class CommentCounter:
    """Stands in front of ``on_comment``."""

    def __init__(self, callback: StreamCallback) -> None:
        self.count = 0
        self._callback = callback

    def __call__(self, comment: str) -> None:
        self.count += 1
        self._callback.on_comment(comment)


def drive(stream: SSEStream, callback: StreamCallback) -> None:
    """Reads the stream to its end. Failures of the stream go to ``on_error``; what the callback raises comes out
    of here, after ``on_close``."""
    try:
        for event in stream:
            callback.on_content(event.id, event.data)
    except StreamError as error:
        if error is not stream.error:
            raise
        callback.on_error(error.code, str(error))
    finally:
        stream.close()
        callback.on_close(str(stream.ending))
