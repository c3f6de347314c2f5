"""The items that an app's generator yields, and what a stream makes of them."""

import logging
import re
from collections.abc import Iterable

from flask_sluice.observe.tracing import sentry
from flask_sluice.sse import BLANK_LINE_ENDS, Event, EventFramer
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, CutError, PlainAnswer
from flask_sluice.stream.feeds.feed import holds_event
from flask_sluice.stream.feeds.item_errors import hint_for, no_event, wrong_type
from flask_sluice.stream.feeds.terminal_event import (
    IsTerminal,
    holds_terminal_event,
    is_terminal_event,
)

logger = logging.getLogger("sluice.stream")

StreamItem = Event | str | bytes

_STARTS = (b"data", b"event", b"id", b"retry", b":", b"\xef\xbb\xbf")
"""How the lines of an event begin; the last is a byte order mark, with which a stream may."""
_USUAL_STARTS = (b"data:", b"event:", b"id:")
_EVENT_LINE = re.compile(rb"(?:^\xef\xbb\xbf|^|[\r\n])(?::|(?:data|event|id|retry)(?:[:\r\n]|$))")
_LONGEST_COMMENT_BYTES = 4096
"""A longer one waits for the event behind it: to look at the lines of a long event, once for each of its pieces, takes long."""


class ItemEncoder:
    """Makes the bytes of whole events of a generator's items, of which text and bytes may be cut anywhere.

    A part of an event is held until the rest is there, so that a comment or an error event never comes between. Comments
    of the generator's own are complete without a blank line.

    is_terminal: tells the event that completes the answer; None: ``event: done`` or ``data: [DONE]``
    is_published: whether a program publishes the items, and no generator yields them; for the errors' messages
    has_terminal_event: whether the last event was it
    """

    __slots__ = ("_framer", "_is_part_held", "_is_published", "_is_terminal", "has_terminal_event")

    def __init__(
        self, is_terminal: IsTerminal | None = None, *, is_published: bool = False
    ) -> None:
        self._is_published = is_published
        self._is_terminal = is_terminal_event if is_terminal is None else _named(is_terminal)
        self._framer: EventFramer | None = None
        """Made for the first text that is not whole events."""
        self._is_part_held = False
        self.has_terminal_event = False

    def encode(self, item: StreamItem) -> bytes:
        """Return the events that are whole with ``item``, b"" if none is.

        Raises TypeError for an item that is neither an Event nor text nor bytes, ValueError for text that is no event.
        """
        if isinstance(item, Event):
            if self._is_part_held:
                raise self._unfinished()
            if item.data is not None or item.event is not None:
                self.has_terminal_event = self._is_terminal(item)
            return item.encode()
        if isinstance(item, str):
            # UTF-8 has no form for half of a surrogate pair.
            item = item.encode("utf-8", "replace")
        elif not isinstance(item, bytes):
            raise wrong_type(item, is_published=self._is_published)
        # Nearly all items are whole events.
        if not self._is_part_held and item.endswith(BLANK_LINE_ENDS[0]):
            events = item
        else:
            events = self._frame(item)
        # Nearly all events begin so: to look closer takes a twentieth of an event's cost.
        if not events.startswith(_USUAL_STARTS):
            if _is_text_alone(events):
                raise no_event(events, is_published=self._is_published)
            if not (events and holds_event(events)):
                return events
        self.has_terminal_event = holds_terminal_event(events, self._is_terminal)
        return events

    def finish(self) -> None:
        """The generator is done. Raises ValueError if it has left an event unfinished."""
        if self._is_part_held:
            raise self._unfinished()

    def _frame(self, item: bytes) -> bytes:
        if self._framer is None:
            self._framer = EventFramer()
        framer = self._framer
        if not self._is_part_held and _is_no_line_of_an_event(item):
            raise no_event(item, is_published=self._is_published)
        events = framer.feed(item)
        if _is_whole_comment(framer):
            events += framer.part
            framer.drop_part()
        self._is_part_held = framer.held_bytes > 0
        return events

    def _unfinished(self) -> ValueError:
        assert self._framer is not None
        return no_event(self._framer.part, is_published=self._is_published)


def encode(item: Event | bytes) -> bytes:
    """Return the bytes of an item that is sent as it comes: bytes may be cut anywhere. Raises TypeError for any other."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, Event):
        return item.encode()
    raise wrong_type(item)


def failure(raised: BaseException) -> Exception:
    """Return the error with which a stream fails whose generator has raised.

    Takes any exception: a SystemExit or KeyboardInterrupt that went on would end the worker with all its streams.
    """
    if isinstance(raised, Exception):
        return raised
    error = RuntimeError(f"the generator raised {type(raised).__name__}")
    error.__cause__ = raised
    return error


def is_foreseen(error: Exception) -> bool:
    """Whether the error was made for the client to read."""
    return isinstance(error, ApiError | PlainAnswer | CutError)


def log_unforeseen(error: Exception, context: StreamContext) -> None:
    """Log and report an error of which the client is told nothing but that there was one."""
    if not is_foreseen(error):
        sentry.report(error)
        hint = hint_for(error)
        message = "the generator failed request_id=%s" + (f": {hint}" if hint else "")
        logger.error(message, context.request_id, exc_info=error)


def close(items: Iterable[object], context: StreamContext) -> None:
    """Close a generator at the ``yield`` where it is; logs what it raises, as ``failure`` takes it."""
    close_items = getattr(items, "close", None)
    if close_items is not None:
        try:
            close_items()
        except BaseException:
            logger.exception("closing the generator failed request_id=%s", context.request_id)


def _is_whole_comment(framer: EventFramer) -> bool:
    """Whether what is held are comments and ``retry`` lines, which are complete without a blank line."""
    return (
        0 < framer.held_bytes <= _LONGEST_COMMENT_BYTES
        and framer.end_of_part(1) in (b"\n", b"\r")
        and not framer.holds_part
    )


def _is_no_line_of_an_event(item: bytes) -> bool:
    """Whether it is a part of a line that is none of an event's, whatever may follow."""
    if b"\n" in item or b"\r" in item:
        return False
    return bool(item) and not any(
        item.startswith(start) or start.startswith(item) for start in _STARTS
    )


def _is_text_alone(events: bytes) -> bool:
    """Whether there are lines in it, but none that a client would take for a part of an event."""
    return events.strip(b"\r\n") != b"" and _EVENT_LINE.search(events) is None


def _named(is_terminal: IsTerminal) -> IsTerminal:
    """Return the app's own function so that an error of it tells where it comes from."""

    def checked(event: Event) -> bool:
        try:
            return is_terminal(event)
        except Exception as error:
            raise RuntimeError(
                f"is_terminal raised {type(error).__name__} for {event!r}: {error}"
            ) from error

    return checked
