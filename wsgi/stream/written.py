"""What a stream has written to its client."""

from wsgi.sse import BLANK_LINE_ENDS

_LONGEST_END = max(map(len, BLANK_LINE_ENDS))


class Written:
    """How much, since when, and whether the last event is whole.

    first_event_at: monotonic seconds; None before the first event
    """

    __slots__ = ("_last_bytes", "byte_count", "first_event_at")

    def __init__(self) -> None:
        self.byte_count = 0
        self.first_event_at: float | None = None
        self._last_bytes = b"\n\n"

    def add_events(self, events: bytes, now: float) -> None:
        byte_count = len(events)
        self.byte_count += byte_count
        if self.first_event_at is None:
            self.first_event_at = now
        if byte_count < _LONGEST_END:
            # The blank line may come in an item of its own.
            events = self._last_bytes[-_LONGEST_END:] + events
        self._last_bytes = events

    def add_other(self, data: bytes) -> None:
        """Comments, an error event: whole in themselves."""
        self.byte_count += len(data)

    @property
    def ends_with_whole_event(self) -> bool:
        return self._last_bytes.endswith(BLANK_LINE_ENDS)
