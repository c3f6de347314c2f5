"""Sluice without counters and without log lines of its streams, to measure what those cost."""

from app import app
from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.observe.stream_stats import StreamStats
from flask_sluice.observe.write_stats import _LONGEST_END, WriteStats
from flask_sluice.stream.accounting import StreamAccount

__all__ = ["app"]


def add_events(writes: WriteStats, events: bytes, now: float) -> None:
    writes.byte_count += len(events)
    if writes.first_event_at is None:
        writes.first_event_at = now
    writes._last_bytes = events[-_LONGEST_END:]


def do_nothing(*_: object) -> None:
    pass


WriteStats.add_events = add_events
StreamAccount.report_progress = StreamStats.begin = do_nothing
StreamStats.end = StreamEnd.log = do_nothing
