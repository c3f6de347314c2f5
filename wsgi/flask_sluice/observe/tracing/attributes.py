"""What a trace tells of a stream's end."""

from flask_sluice.observe.stream_end import StreamEnd


def attributes_of(stream_end: StreamEnd) -> dict[str, str | int]:
    values = {
        "sluice.request_id": stream_end.request_id,
        "sluice.outcome": str(stream_end.outcome),
        "sluice.code": stream_end.code,
        "sluice.events": stream_end.events,
        "sluice.bytes": stream_end.byte_count,
        "sluice.keepalives": stream_end.keepalives,
    }
    return {name: value for name, value in values.items() if value is not None}
