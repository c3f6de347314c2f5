"""How an answer is written: what all APIs have in common."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.stream.headers_and_errors import error_for_openai

Json = dict[str, Any]
Text = str | msgspec.Raw

encode_json = msgspec.json.Encoder().encode


def data_event(data: Json) -> bytes:
    """Return an event of OpenAI's chunks, which have no name."""
    return b"data: " + encode_json(data) + b"\n\n"


def named_event(name: str, data: Json) -> bytes:
    """Return an event with its type, as Responses and Messages have it."""
    return b"event: " + name.encode() + b"\ndata: " + encode_json(data) + b"\n\n"


class Template:
    """Writes events that differ in one text alone, for a third of the cost of encoding each.

    event: one of them, whose text is ``Template.GAP``
    """

    __slots__ = ("_after", "_before")

    # JSON never contains this byte: in a string it is escaped.
    GAP = msgspec.Raw(b"\0")

    def __init__(self, event: bytes) -> None:
        self._before, self._after = event.split(bytes(self.GAP))

    def write(self, text: str) -> bytes:
        return self._before + encode_json(text) + self._after


class Format:
    """Writes one answer in the form of an API, streamed or whole.

    The player takes the parts of a stream in this order: ``opening``, all steps of each choice, ``closing``, ``terminal``.
    Each event is made when it is to be sent, so a format may number its events.
    """

    content_type: ClassVar[str] = "text/event-stream"
    tells_errors: ClassVar[bool] = False
    """Whether ``error_event`` belongs to the stream itself, as where that is not an event stream. Otherwise the server, which
    can tell of its own failures too, sends it behind the stream."""
    heartbeat: ClassVar[bytes] = b": heartbeat\n\n"
    """What keeps a connection alive, and tells nothing."""
    keepalive: ClassVar[bytes | None] = None
    """What is sent in a long silence; None: a comment; b"": nothing."""
    failure_status: ClassVar[int] = 502
    """The status of a failure in mid-answer, as far as its event or its refusal depends on that."""
    malformed: ClassVar[bytes] = b'data: {"choices": [{"delta\n\n'
    """An event that is not JSON."""

    def __init__(self, asked: Asked, answer: Answer) -> None:
        self.asked = asked
        self.answer = answer

    def opening(self) -> Iterable[bytes]:
        """Return the events that come at once, before the time to the first token."""
        return ()

    def steps(self, number: int) -> Iterator[list[bytes]]:
        """Yield the events of a choice: a list for each token, which is its last event, and one for the choice's end."""
        events = [*self.begin_choice(number)]
        for place, part in enumerate(self.answer.choices[number].parts):
            events += self.begin_part(number, place)
            if part.tokens:
                token_events = self.token_events(number, place)
                for event in token_events:
                    yield [*events, event] if events else [event]
                    events = []
            events += self.end_part(number, place)
        yield [*events, *self.end_choice(number)]

    def begin_choice(self, number: int) -> Iterable[bytes]:
        """Return the events before a choice's first token."""
        return ()

    def begin_part(self, number: int, place: int) -> Iterable[bytes]:
        """Return the events before a part's first token. number, place: of the choice, and of the part in it"""
        return ()

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        """Yield one event for each token of a part."""
        raise NotImplementedError

    def end_part(self, number: int, place: int) -> Iterable[bytes]:
        """Return the events after a part's last token."""
        return ()

    def end_choice(self, number: int) -> Iterable[bytes]:
        """Return the events that end a choice."""
        return ()

    def closing(self) -> Iterable[bytes]:
        """Return the events between the last choice's end and the terminal event."""
        return ()

    def terminal(self) -> bytes:
        """Return the event that completes the answer."""
        raise NotImplementedError

    @staticmethod
    def is_terminal(event: bytes) -> bool:
        """Whether it is the event that completes an answer."""
        return event == b"data: [DONE]\n\n"

    def error_event(self, error: Exception) -> bytes:
        """Return the event that tells a failure in mid-stream."""
        return error_for_openai(error)

    def whole(self) -> bytes:
        """Return the answer that is not streamed, as one document."""
        raise NotImplementedError

    def whole_in_pieces(self) -> Iterator[bytes]:
        """Yield the same document, each piece made when it is to be sent, so that a large one never is in memory."""
        yield self.whole()
