"""What the events of a stream stand for: its end, an error, a heartbeat, or content."""

from flask_sluice.doctor.events import EventLog, TimedEvent
from flask_sluice.doctor.presets.preset import Preset

_HEARTBEATS = ("ping", "heartbeat", "keepalive", "keep-alive")


def terminal_index(log: EventLog, preset: Preset) -> int | None:
    """The index of the event that says the end; None if none does.

    Where no API says how its streams end, an event in the middle that sounds like an end (``{"done": true}``) is content.
    """
    ends = [n for n, event in enumerate(log.events) if preset.is_terminal(event.event)]
    if preset.must_end_with:
        return ends[0] if ends else None
    is_last = bool(ends) and ends[-1] == len(log.events) - 1
    return ends[-1] if is_last else None


def error_at(log: EventLog, preset: Preset, index: int) -> str:
    """The error that the event reports; "" if it is none.

    Where no API says what an error looks like, data with a field ``error`` is one only if nothing follows it but the end.
    """
    event = log.events[index].event
    error = preset.error_in(event)
    if not error or preset.data_is_json or event.event == "error":
        return error
    is_last = all(preset.is_terminal(later.event) for later in log.events[index + 1 :])
    return error if is_last else ""


def is_heartbeat(event: TimedEvent) -> bool:
    return event.event.event.lower() in _HEARTBEATS


def has_content(event: TimedEvent, preset: Preset) -> bool:
    """Whether a reader would miss the event: it is not a heartbeat, an error or the end."""
    received = event.event
    return not (is_heartbeat(event) or preset.error_in(received) or preset.is_terminal(received))
