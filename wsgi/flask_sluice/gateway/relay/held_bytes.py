"""What a worker holds of upstreams' answers that have come in part."""

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""A picture of 4096 × 4096 pixels in base64 mostly has less, and taking apart so much takes the event loop 50 ms."""
SMALL_BYTES = 16 * 1024
"""So much of each answer is not counted: nearly every event is smaller, and costs nothing to count."""
_LARGEST_EVENTS_IN_ALL = 8


class HeldBytes:
    """Counts the unfinished events and bodies of all the responses of a worker.

    max_event_bytes: how large one event may be; eight times as much is the limit of all
    """

    def __init__(self, max_event_bytes: int) -> None:
        self.max_event_bytes = max_event_bytes
        self.limit = _LARGEST_EVENTS_IN_ALL * max_event_bytes
        self.byte_count = 0

    @property
    def is_full(self) -> bool:
        return self.byte_count > self.limit

    def explain(self) -> str:
        return f"unfinished events of all streams together have more than {self.limit} bytes"

    def change(self, before: int, after: int) -> None:
        """Count that one response holds ``after`` bytes, and no more ``before``."""
        self.byte_count += after - before
