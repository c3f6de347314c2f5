"""Cuts a text/event-stream into whole events without parsing them, for a relay."""

from flask_sluice.sse.parser import MAX_EVENT_BYTES, EventTooLargeError

BLANK_LINE_ENDS = (b"\n\n", b"\n\r\n", b"\r\r\n", b"\r\r", b"\n\r")
"""The bytes with which an event can end: a line end, and a blank line that ends with LF, CR or CRLF."""
_LONGEST_END = 3
_UNCOUNTED_BYTES = 64 * 1024
"""Lines are counted behind so many bytes of an event: nearly none has more."""


class EventFramer:
    """Takes bytes as they come and gives the same bytes in whole events.

    The work is linear however the input is cut: only new bytes, and the last two before them, are searched.

    max_event_bytes: the largest event that is accepted
    max_lines: how many line ends the part of an event may have that is behind its first 64 KiB; None: any number. To take a
        million lines apart would hold up an event loop for a second
    """

    __slots__ = (
        "_ended_in_cr",
        "_held",
        "_line_count",
        "_max_event_bytes",
        "_max_lines",
    )

    def __init__(
        self, max_event_bytes: int = MAX_EVENT_BYTES, max_lines: int | None = None
    ) -> None:
        self._max_event_bytes = max_event_bytes
        self._max_lines = max_lines
        # One block instead of a list of pieces: a thousand freed pieces would not give memory back to the system.
        self._held = bytearray()
        self._ended_in_cr = False
        self._line_count = 0

    @property
    def held_bytes(self) -> int:
        return len(self._held)

    @property
    def holds_part(self) -> bool:
        """Whether an event has begun and not ended. Comments and a ``retry`` are complete without a blank line."""
        lines = self._held.splitlines()
        return any(line and not line.startswith((b":", b"retry:")) for line in lines)

    @property
    def part(self) -> bytes:
        """The beginning of an event that has not ended."""
        return bytes(self._held)

    def end_of_part(self, max_bytes: int) -> bytes:
        """The last bytes of ``part``, without a copy of all of it."""
        return bytes(self._held[-max_bytes:])

    def drop_part(self) -> None:
        self._held = bytearray()

    @property
    def is_at_boundary(self) -> bool:
        """Whether the next byte begins an event."""
        return not (self._held or self._ended_in_cr)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return all events that are whole with them, b"" if none is.

        Raises EventTooLargeError if an event is larger than ``max_event_bytes``, or has too many lines.
        """
        if self._ended_in_cr and data:
            # The rest of a CRLF; its CR has ended the blank line.
            self._ended_in_cr = False
            if data.startswith(b"\n"):
                return b"\n" + self.feed(data[1:])
        # The usual case: a read brings exactly what was written, whole events with LF.
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
        if self._max_lines is not None and len(self._held) > _UNCOUNTED_BYTES:
            self._count_lines(data, self._max_lines)

    def _count_lines(self, data: bytes, max_lines: int) -> None:
        if len(self._held) - len(data) <= _UNCOUNTED_BYTES:
            self._line_count = 0
        self._line_count += data.count(b"\n") + data.count(b"\r")
        if self._line_count > max_lines:
            raise EventTooLargeError(self._max_event_bytes)


def _end_of_last_event(data: bytes) -> int:
    """Return where the last blank line in ``data`` ends; 0 if there is none."""
    end = data.rfind(b"\n\n") + 2
    if end < 2:
        end = 0
    # The usual case ends here: a search for the other ends as well takes 1.6 us of a short read instead of 0.4.
    behind = max(end - 1, 0)
    if data.find(b"\r", behind) >= 0:
        for mark in BLANK_LINE_ENDS:
            place = data.rfind(mark, behind)
            if place >= 0:
                end = max(end, place + len(mark))
    return end
