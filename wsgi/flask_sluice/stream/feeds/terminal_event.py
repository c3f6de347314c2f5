"""The terminal event completes an answer; its generator may go on afterwards, to save the answer."""

from collections.abc import Iterable

from flask_sluice.sse import BLANK_LINE_ENDS, Event, EventParser, ReceivedEvent


def is_terminal(item: Event | bytes) -> bool:
    """Whether ``data: [DONE]`` or ``event: done`` is in the item; bytes are whole events in any legal framing."""
    if isinstance(item, Event):
        return _is_done(item)
    # Few events contain one of the words: the search takes 0.1 us, parsing the event more than 1.
    if b"done" not in item and b"[DONE]" not in item:
        return False
    return _any_is_done(EventParser().feed(item))


class TerminalEventFinder:
    """Finds the terminal event among a generator's items, of which bytes may be cut anywhere."""

    __slots__ = ("_parser",)

    def __init__(self) -> None:
        self._parser: EventParser | None = None
        """Set while an event has begun in bytes and not ended."""

    def sees(self, item: Event | bytes) -> bool:
        """Take the next item; return whether the terminal event is whole with it."""
        if isinstance(item, Event):
            return _is_done(item)
        is_whole = item.endswith(BLANK_LINE_ENDS)
        if self._parser is None:
            if is_whole:
                return is_terminal(item)
            self._parser = EventParser()
        events = self._parser.feed(item)
        if is_whole:
            self._parser = None
        return _any_is_done(events)


def _is_done(event: Event | ReceivedEvent) -> bool:
    return event.event == "done" or event.data == "[DONE]"


def _any_is_done(events: Iterable[ReceivedEvent]) -> bool:
    return any(_is_done(event) for event in events)
