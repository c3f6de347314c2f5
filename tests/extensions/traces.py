"""OpenTelemetry's instrumentations, and what their spans were."""

from flask import Flask, request, stream_with_context
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.extensions.streams import respond, steps

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("the app")


def otel_flask(app: Flask) -> None:
    FlaskInstrumentor().instrument_app(app, tracer_provider=provider)
    _add_views(app)


def otel_wsgi(app: Flask) -> None:
    app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app, tracer_provider=provider)
    _add_views(app)


def otel_both(app: Flask) -> None:
    otel_flask(app)
    app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app, tracer_provider=provider)


def _add_views(app: Flask) -> None:
    @app.get("/traced")
    def traced():
        with tracer.start_as_current_span("view"):
            return respond(items=trace_itself(request.args["key"]))

    @app.get("/with_context")
    def with_context():
        return respond(items=stream_with_context(steps(request.args["key"])))

    @app.get("/replaced")
    def replaced():
        respond()
        return "another answer"


def trace_itself(key: str):
    with tracer.start_as_current_span("generator"):
        yield from steps(key)


def report_spans(control: Flask) -> None:
    @control.get("/spans/<trace_id>")
    def spans(trace_id: str):
        return {
            "spans": [
                _told(span)
                for span in exporter.get_finished_spans()
                if trace.format_trace_id(span.context.trace_id) == trace_id
            ]
        }

    @control.get("/current-span")
    def current_span():
        return {"is_valid": trace.get_current_span().get_span_context().is_valid}


def _told(span) -> dict:
    return {
        "name": span.name,
        "scope": span.instrumentation_scope.name,
        "kind": span.kind.name,
        "id": span.context.span_id,
        "parent": span.parent and span.parent.span_id,
        "start": span.start_time,
        "end": span.end_time,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes),
        "events": [[event.name, dict(event.attributes)] for event in span.events],
    }


TRACED = {switch.__name__: switch for switch in (otel_flask, otel_wsgi, otel_both)}
