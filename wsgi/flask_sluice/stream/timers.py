"""The timers of a stream. They read no clock: ``now`` is always given, in monotonic seconds."""

from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.options import StreamOptions

_NEVER = float("inf")
_NO_WRITE = (-1.0, 0.0, 0)
_SLOW_WRITE_SECONDS = 1
_LOOKS_PER_WRITE_TIMEOUT = 4
_LEAST_BYTES_PER_SECOND = 128
"""What a client has to take during a write that lasts longer than the write timeout. A slow speaker of the text takes more."""


class Timers:
    """The timers of one stream: keep-alive, commit, idle limit, deadline, and a write that hangs."""

    __slots__ = (
        "_commit_at",
        "_deadline_at",
        "_progress_at",
        "_seen_write",
        "_slow_write",
        "event_at",
        "is_writing",
        "options",
        "started_at",
        "written_at",
    )

    def __init__(
        self, options: StreamOptions, now: float, commit_seconds: float | None = None
    ) -> None:
        self.options = options
        self.begin(now, commit_seconds)

    def begin(self, now: float, commit_seconds: float | None) -> None:
        """Start all timers: the stream starts now. commit_seconds: until the 200 is sent; None: no limit"""
        options = self.options
        self.started_at = now
        self.written_at = now
        """When the last write began. The start counts as a write, so that keep-alives cover a prefill."""
        self.event_at = _NEVER
        """When the last event came. The wait for the first event is not idle time."""
        self.is_writing = False
        self._commit_at = now + (_NEVER if commit_seconds is None else commit_seconds)
        deadline = options.deadline_seconds
        self._deadline_at = now + (_NEVER if deadline is None else deadline)
        self._seen_write = (now, 0)
        self._progress_at = now
        self._slow_write = _NO_WRITE

    def write_begins(self, now: float) -> None:
        self.written_at = now
        self.is_writing = True

    def keepalive_is_due(self, now: float) -> bool:
        seconds = self.options.keepalive_seconds
        return seconds > 0 and now >= self.written_at + seconds

    def commit_is_due(self, now: float) -> bool:
        return now >= self._commit_at

    def deadline_is_over(self, now: float) -> bool:
        return now >= self._deadline_at

    def idle_is_over(self, now: float) -> bool:
        seconds = self.options.idle_timeout_seconds
        return seconds is not None and now >= self.event_at + seconds

    def overdue(self, now: float) -> ApiError | None:
        """Return the error with which the stream has to end now; None if it may go on."""
        options = self.options
        if self.deadline_is_over(now):
            seconds = options.deadline_seconds
            return ApiError(
                504, "stream_timeout", f"the answer took longer than {seconds:g} seconds"
            )
        if self.idle_is_over(now):
            seconds = options.idle_timeout_seconds
            return ApiError(504, "upstream_timeout", f"upstream was silent for {seconds:g} seconds")
        return None

    def anything_is_due(self, now: float) -> bool:
        return (
            self.keepalive_is_due(now)
            or self.commit_is_due(now)
            or self.deadline_is_over(now)
            or self.idle_is_over(now)
        )

    def check_write(self, now: float, unsent_bytes: int, taken_bytes: int | None = None) -> bool:
        """Note how much the kernel has yet to send; return whether the client has taken nothing for the write timeout.

        taken_bytes: how much the client has taken in all, if the system tells. Next to nothing is then not enough either

        The kernel's queue decides, not the write's progress: a write wakes only when a third of the socket's
        buffer is free, and a slow but honest reader takes minutes for a third of 2.5 MB.
        """
        write = (self.written_at, unsent_bytes)
        if not self.is_writing or write != self._seen_write:
            self._seen_write = write
            self._progress_at = now
        timeout_seconds = self.options.write_timeout_seconds
        if now - self._progress_at >= timeout_seconds:
            return True
        if taken_bytes is None:
            return False
        written_at, since, taken_before = self._slow_write
        seconds = now - since
        if written_at == self.written_at:
            if seconds < timeout_seconds:
                return False
            if taken_bytes - taken_before < _LEAST_BYTES_PER_SECOND * seconds:
                return True
        self._slow_write = (self.written_at, now, taken_bytes)
        return False

    def write_is_slow(self, now: float) -> bool:
        """Whether the current write has lasted so long that a further write would hang as well."""
        return self.is_writing and now - self.written_at >= _SLOW_WRITE_SECONDS

    def next_look(self, now: float) -> float:
        """Return when the timers must be checked again, if nothing is written meanwhile."""
        options = self.options
        looks = [now + options.write_timeout_seconds / _LOOKS_PER_WRITE_TIMEOUT]
        if options.keepalive_seconds:
            due = self.written_at + options.keepalive_seconds
            # A keep-alive that is due already waits for the end of an event that is half written.
            looks.append(due if due > now else now + options.keepalive_seconds)
        if options.idle_timeout_seconds is not None:
            last_event_at = self.event_at if self.event_at <= now else now
            due = last_event_at + options.idle_timeout_seconds
            looks.append(due if due > now else now + options.idle_timeout_seconds)
        looks += [at for at in (self._commit_at, self._deadline_at) if at > now]
        return min(looks)
