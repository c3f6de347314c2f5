"""The terminal event completes an answer; its generator may go on afterwards, to save the answer."""

from collections.abc import Callable

from flask_sluice.sse import Event, EventParser

IsTerminal = Callable[[Event], bool]


def is_terminal_event(event: Event) -> bool:
    """Whether it is the terminal event of OpenAI's routes (``data: [DONE]``) or of EventSource routes (``event: done``)."""
    return event.event == "done" or event.data == "[DONE]"


def is_terminal(item: Event | bytes) -> bool:
    """Whether one of these is in the item; bytes are whole events in any legal framing."""
    return is_terminal_event(item) if isinstance(item, Event) else holds_terminal_event(item)


def holds_terminal_event(events: bytes, is_terminal: IsTerminal = is_terminal_event) -> bool:
    """Whether one of these whole events, in any legal framing, is terminal."""
    # Few events contain one of the words: the search takes 0.1 us, parsing the event more than 1.
    # (find, since CPython 3.11 makes and drops an exception for ``in``, which takes as long again.)
    has_word = events.find(b"done") >= 0 or events.find(b"[DONE]") >= 0
    if is_terminal is is_terminal_event and not has_word:
        return False
    return any(
        is_terminal(Event(each.data, None if each.event == "message" else each.event, each.id))
        for each in EventParser().feed(events)
    )
