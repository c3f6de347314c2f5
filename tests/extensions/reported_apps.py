"""Apps that Sentry watches: one with nothing else, one behind the WSGI middleware alone, and one with all extensions."""

import os

import sentry_sdk
from flask import Flask, request
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.transport import Transport

from tests.extensions.streams import dispatch, make_app, respond, steps
from tests.extensions.switches import EXTENSIONS
from tests.extensions.traces import otel_both, report_spans

_NOT_TOGETHER = (
    *("profiler", "reads_data", "collects_data", "compress_streams", "responses", "debugger"),
)
"""These hold all events back, or set what another sets. The debugger calls the app when Sentry's transaction is over."""

reports: list[dict] = []


class Kept(Transport):
    """Keeps what would be sent to Sentry's servers."""

    def capture_envelope(self, envelope) -> None:
        reports.extend({"type": item.type, **(item.payload.json or {})} for item in envelope.items)


def _without_middleware(app: Flask):
    """The app as a framework would be that Sentry has no integration for."""
    return SentryWsgiMiddleware(app.wsgi_app)


def _add_views(app: Flask) -> None:
    @app.before_request
    def tag():
        sentry_sdk.set_tag("key", request.args.get("key"))

    @app.get("/tells")
    def tells():
        return respond(items=tell_sentry(request.args["key"]))

    @app.get("/spans")
    def spans():
        with sentry_sdk.start_span(op="view"):
            return respond(items=trace_itself(request.args["key"]))


def trace_itself(key: str):
    with sentry_sdk.start_span(op="generator"):
        yield from steps(key)


def tell_sentry(key: str):
    for event in steps(key):
        yield event
        sentry_sdk.capture_message(f"in {key}")


sentry_sdk.init(
    dsn="http://key@127.0.0.1/1",
    transport=Kept,
    traces_sample_rate=1.0,
    # By default Sentry makes reports of log lines, too.
    disabled_integrations=[LoggingIntegration] if "WITHOUT_LOG" in os.environ else [],
)

flask_app, wsgi_app, everything = make_app("sentry_flask"), make_app("sentry_wsgi"), make_app("all")
for app in (flask_app, wsgi_app, everything):
    _add_views(app)
for name, switch_on in {**EXTENSIONS, "otel_both": otel_both}.items():
    if name not in _NOT_TOGETHER:
        switch_on(everything)

control = Flask(__name__)
report_spans(control)


@control.get("/reports/<key>")
def reports_(key: str):
    return {"reports": [report for report in reports if report.get("tags", {}).get("key") == key]}


application = dispatch(
    {
        "sentry_flask": flask_app,
        "sentry_wsgi": _without_middleware(wsgi_app),
        "everything": everything,
    },
    control,
)
