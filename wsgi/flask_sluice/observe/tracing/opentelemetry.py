"""OpenTelemetry's span of a request: it lasts as long as the stream, and says how that ended.

Flask's instrumentation ends the span in a function of ``teardown_request``, before the first event; that of WSGI ends it
behind the body. So the end is held back until the stream is over, whichever asks for it.
"""

import sys
from typing import Any

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.observe.tracing.attributes import attributes_of


class RequestSpan:
    """The span of a request that is answered with a stream. From now on the span does not end before ``close``."""

    def __init__(self, span: Any, trace: Any) -> None:
        self._span = span
        self._trace = trace
        self._is_end_due = False
        # On this span alone, and only while it streams: the instrumentation gives no hook for its end.
        span.end = self._hold_end

    def _hold_end(self, end_time: int | None = None) -> None:  # noqa: ARG002 - as Span.end has it
        """Stand in for the span's ``end``. It ends now, not at the time that the instrumentation gives."""
        self._is_end_due = True

    def record_error(self, error: Exception) -> None:
        """Record an exception of the generator, of which no instrumentation hears: the client is told by an event."""
        self._span.record_exception(error)

    def close(self, stream_end: StreamEnd | None) -> None:
        """The stream has ended; None: it had not even begun."""
        span = self._span
        del span.end
        if stream_end is not None:
            span.set_attributes(attributes_of(stream_end))
            if stream_end.outcome is Outcome.ERROR:
                span.set_status(self._trace.StatusCode.ERROR, stream_end.reason)
        if self._is_end_due:
            span.end()


def is_in_use() -> bool:
    """Whether the app has imported OpenTelemetry."""
    return "opentelemetry.trace" in sys.modules


def current_span() -> RequestSpan | None:
    """Return the span that is current; None if there is none, or it is not sampled, or its end cannot be held back."""
    trace = sys.modules["opentelemetry.trace"]
    span = trace.get_current_span()
    if not span.is_recording():
        return None
    try:
        return RequestSpan(span, trace)
    except AttributeError:
        # A span with slots: not of OpenTelemetry's SDK. It ends when its instrumentation says.
        return None
