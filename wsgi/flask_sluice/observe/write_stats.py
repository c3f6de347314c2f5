"""Counts of what one stream has written to its client."""

from bisect import bisect_left

from flask_sluice.sse import BLANK_LINE_ENDS

GAP_BOUNDS_SECONDS = (
    # Most models give 10 to 100 events a second. People see a gap of more than 0.5 s as a pause, and 120 s without an
    # event end a stream by default.
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0),
)
_LINE_ENDS = (b"\n", b"\r")
_LONGEST_END = max(map(len, BLANK_LINE_ENDS))


class WriteStats:
    """How much a stream has written, since when, and whether its last event is complete.

    first_event_at, last_event_at: monotonic seconds; None before the first event
    counted: the numbers that the worker's StreamStats has already: events, bytes, keep-alives, seconds of gaps
    """

    __slots__ = (
        "_gap_counts",
        "_last_bytes",
        "byte_count",
        "counted",
        "first_event_at",
        "keepalive_count",
        "last_event_at",
    )

    def __init__(self) -> None:
        self.byte_count = 0
        self.keepalive_count = 0
        self.counted = (0, 0, 0, 0.0)
        self.first_event_at: float | None = None
        self.last_event_at: float | None = None
        self._gap_counts = [0] * (len(GAP_BOUNDS_SECONDS) + 1)
        self._last_bytes = b"\n\n"

    def add_events(self, events: bytes, now: float) -> None:
        """Count one write of events at the time ``now``, in monotonic seconds."""
        byte_count = len(events)
        self.byte_count += byte_count
        last = self.last_event_at
        if last is None:
            self.first_event_at = now
        else:
            # This runs once for each write: 0.2 us of an event's 30.
            self._gap_counts[bisect_left(GAP_BOUNDS_SECONDS, now - last)] += 1
        self.last_event_at = now
        if not events.endswith(b"\n\n"):
            # The blank line that ends an event may come in an item of its own.
            events = _without_last_comments(self._last_bytes + events)
        # Only the end: a silent stream would keep the whole of its last write, half a KiB.
        self._last_bytes = events[-_LONGEST_END:]

    def add_other(self, data: bytes) -> None:
        """Count comments or an error event, which are complete in themselves."""
        self.byte_count += len(data)

    @property
    def gap_seconds(self) -> float:
        """The sum of all gaps between writes of events."""
        if self.first_event_at is None or self.last_event_at is None:
            return 0.0
        return self.last_event_at - self.first_event_at

    def take_gap_counts(self) -> list[int]:
        """Return how many gaps there were in each bucket since the last call."""
        counts, self._gap_counts = self._gap_counts, [0] * len(self._gap_counts)
        return counts

    @property
    def ends_with_whole_event(self) -> bool:
        return self._last_bytes.endswith(BLANK_LINE_ENDS)


def _without_last_comments(data: bytes) -> bytes:
    """Return ``data`` without the whole comments and ``retry`` lines at its end, behind which an event may begin.

    The first line stays: it may be the rest of a line.
    """
    lines = data.splitlines(keepends=True)
    while (
        len(lines) > 1
        and lines[-1].startswith((b":", b"retry:"))
        and lines[-1].endswith(_LINE_ENDS)
    ):
        lines.pop()
    return b"".join(lines[-_LONGEST_END:])
