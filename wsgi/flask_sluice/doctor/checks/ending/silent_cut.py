"""A stream that was cut after a silence."""

import statistics
from dataclasses import dataclass

from flask_sluice.doctor.events import take_apart
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.pace import gaps_of
from flask_sluice.doctor.remedies.products import products_of

_LEAST_SILENCE_SECONDS = 0.9
_CUTS = {
    Ending.TRUNCATED: "a FIN in the middle of the body",
    Ending.RESET: "a RST",
    Ending.STREAM_RESET: "RST_STREAM, HTTP/2's reset of one stream",
    Ending.GOAWAY: "GOAWAY, HTTP/2's end of the connection",
}
_TIMED_OUT = (408, 502, 503, 504, 524)
_ENVOY_LINGERS_SECONDS = 1.0
"""Envoy's default delayed_close_timeout: a stream that it cuts by its age is silent for so long, too."""


@dataclass(frozen=True)
class Cut:
    """seconds: without a byte before it; how: what the reader saw"""

    seconds: float
    how: str


def cut_in_silence(recording: Recording) -> Cut | None:
    """Return how the stream was cut after a silence; None if it was not."""
    ended = recording.ended_seconds
    if ended is None:
        return None
    last = recording.last_byte_seconds or recording.head_seconds or 0.0
    if recording.status in _TIMED_OUT:
        return Cut(recording.head_seconds or ended, f"the status {recording.status}")
    how = _CUTS.get(recording.ending)
    gaps = gaps_of(take_apart(recording))
    usual = statistics.median(gaps) if gaps else 0.0
    silence = ended - last - _lingering_seconds(recording)
    if how is None or silence < max(_LEAST_SILENCE_SECONDS, 3 * usual):
        # The pause was like all others, so something else has cut the stream.
        return None
    return Cut(silence, how)


def _lingering_seconds(recording: Recording) -> float:
    """How long after the proxy has given up the connection is closed."""
    is_cut = recording.ending is Ending.TRUNCATED and recording.http_version != "2"
    return _ENVOY_LINGERS_SECONDS if is_cut and "Envoy" in products_of(recording.headers) else 0.0
