"""The terminal event: with it an answer is complete, and what its generator does afterwards is left alone."""

from flask_sluice.sse import BLANK_LINE_ENDS, Event, EventParser

_HINTS = (b"done", b"[DONE]")


def is_terminal(item: Event | bytes) -> bool:
    """Whether ``data: [DONE]`` or ``event: done`` is in the item; bytes are whole events in any legal framing."""
    if isinstance(item, Event):
        return item.event == "done" or item.data == "[DONE]"
    # Nearly no event contains one of the words: 0.1 us, where parsing each takes more than 1.
    if not any(hint in item for hint in _HINTS):
        return False
    return any(
        event.event == "done" or event.data == "[DONE]" for event in EventParser().feed(item)
    )


class TerminalEventFinder:
    """Finds the terminal event in a generator's items, of which bytes may be cut anywhere."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = b""
        """The pieces of an event that has begun and not ended."""

    def sees(self, item: Event | bytes) -> bool:
        """Return whether the terminal event is whole with this item."""
        if isinstance(item, Event):
            return is_terminal(item)
        if self._pending:
            item = self._pending + item
        self._pending = b"" if item.endswith(BLANK_LINE_ENDS) else item
        return is_terminal(item)
