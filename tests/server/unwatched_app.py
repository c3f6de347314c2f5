"""Sluice, but nothing is counted and no stream's end is logged: what watching costs is the difference."""

from app import app
from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.observe.stream_stats import StreamStats
from flask_sluice.observe.write_stats import _LONGEST_END, WriteStats
from flask_sluice.stream.accounting import StreamAccount

__all__ = ["app"]


def add_events(written: WriteStats, events: bytes, now: float) -> None:
    written.byte_count += len(events)
    if written.first_event_at is None:
        written.first_event_at = now
    written._last_bytes = events[-_LONGEST_END:]


def does_nothing(*_: object) -> None:
    pass


WriteStats.add_events = add_events
StreamAccount.report_progress = StreamStats.begin = does_nothing
StreamStats.end = StreamEnd.log = does_nothing
