"""The spans of a request, by all tracing that the app uses."""

from typing import Protocol

from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.observe.tracing import opentelemetry, sentry


class Span(Protocol):
    """Lasts as long as a stream: it ends with ``close``, and not before."""

    def record_error(self, error: Exception) -> None: ...

    def close(self, stream_end: StreamEnd | None) -> None: ...


def is_traced() -> bool:
    """Whether the app has imported anything that traces requests."""
    return opentelemetry.is_in_use() or sentry.is_in_use()


def current_spans() -> list[Span]:
    """Return the current request's spans, which from now on last until they are closed."""
    spans: list[Span | None] = []
    if opentelemetry.is_in_use():
        spans.append(opentelemetry.current_span())
    if sentry.is_in_use():
        spans.append(sentry.current_transaction())
    return [span for span in spans if span is not None]
