"""Cuts a text/event-stream into whole events without looking into them: for a relay."""

from flask_sluice.sse.parser import MAX_EVENT_BYTES, EventTooLargeError

# How a blank line ends, after a line that ended with LF, CR or CRLF.
BLANK_LINE_ENDS = (b"\n\n", b"\n\r\n", b"\r\r\n", b"\r\r", b"\n\r")
_LONGEST_END = 3


class EventFramer:
    """Bytes in as they come, bytes out as they came, but in whole events.

    Linear however the input is cut: only new bytes, and the last two before them, are searched.

    max_event_bytes: the most that one event may take
    """

    __slots__ = (
        "_ended_in_cr",
        "_held",
        "_max_event_bytes",
    )

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        # Not a list of pieces: freed, a thousand of them leave the process as large as it was, one block does not.
        self._held = bytearray()
        self._ended_in_cr = False

    @property
    def holds_part(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._held)

    @property
    def is_at_boundary(self) -> bool:
        """Whether the next byte begins an event."""
        return not (self._held or self._ended_in_cr)

    def feed(self, data: bytes) -> bytes:
        """Takes the next bytes; returns all events that are whole by them, b"" if none is.

        Raises EventTooLargeError if an event is larger than ``max_event_bytes``.
        """
        if self._ended_in_cr and data:
            # The rest of a CRLF whose CR has ended the blank line.
            self._ended_in_cr = False
            if data.startswith(b"\n"):
                return b"\n" + self.feed(data[1:])
        # Nearly always a read holds exactly what was written: whole events, with LF.
        if not self._held and data.endswith(b"\n\n"):
            return data
        end = _end_of_last_event(data)
        if not end and self._held:
            # The blank line may have been cut.
            seen = bytes(self._held[-_LONGEST_END + 1 :])
            end = max(_end_of_last_event(seen + data[:_LONGEST_END]) - len(seen), 0)
        if not end:
            self._hold(data)
            return b""
        events = b"".join((self._held, data[:end]))
        self._held = bytearray()
        self._ended_in_cr = end == len(data) and data.endswith(b"\r")
        if end < len(data):
            self._hold(data[end:])
        return events

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self._max_event_bytes:
            raise EventTooLargeError(self._max_event_bytes)


def _end_of_last_event(data: bytes) -> int:
    """Where the last blank line in ``data`` ends; 0 if there is none."""
    end = data.rfind(b"\n\n") + 2
    if end < 2:
        end = 0
    # Nearly always that is all: to search for the other marks, too, takes 1.6 us of a short read and not 0.4.
    behind = max(end - 1, 0)
    if data.find(b"\r", behind) >= 0:
        for mark in BLANK_LINE_ENDS:
            place = data.rfind(mark, behind)
            if place >= 0:
                end = max(end, place + len(mark))
    return end
