"""The routes below /v1/doctor."""

from collections.abc import Iterator

from flask import Blueprint, Response, request

from flask_sluice.doctor.helping.reports import Report, server_reports
from flask_sluice.doctor.helping.script import Script, ScriptError
from flask_sluice.extension.reading import given_event_id, no_more_events
from flask_sluice.gateway.api.doctor.reported import PREFIX, report_all, report_of_request
from flask_sluice.gateway.api.event_source import feed_response
from flask_sluice.gateway.api.openapi.operation import OBJECT, Operation, Operations
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.timed_feed import Pause, TimedFeed
from flask_sluice.stream.admission import Pool
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.responses import context_of

_MAX_STREAMS = 64
"""How many of these streams a worker has at once: they cost no model, and must not take the places of those that do."""


OPERATIONS: Operations = {
    ("GET", f"{PREFIX}/stream"): Operation(
        "Send a stream for `sluice doctor` to examine", "Doctor", streams="text/event-stream"
    ),
    ("GET", f"{PREFIX}/streams/<doctor_id>"): Operation(
        "Tell what became of an examined stream", "Doctor", answer=OBJECT
    ),
}


def blueprint(settings: Settings) -> Blueprint:
    """Return the routes, and the reports on the streams of all others."""
    routes = Blueprint("doctor", __name__, url_prefix=PREFIX)
    report_all(routes)
    pool = Pool(_MAX_STREAMS)

    @routes.get("/stream")
    def stream() -> Response:
        try:
            script = Script.of(request.args)
            seen = script.seen(given_event_id())
        except ScriptError as error:
            raise ApiError(400, "invalid_request", str(error)) from None
        if script.is_over(seen):
            return no_more_events()
        context = context_of(request)
        context.pool = pool
        items = _items(script, seen, report_of_request())
        return feed_response(TimedFeed(items, context, settings.channel_size), context, settings)

    @routes.get("/streams/<doctor_id>")
    def report(doctor_id: str) -> Response:
        status, body = server_reports().answer(doctor_id)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return Response(body, status, headers)

    return routes


def _items(script: Script, seen: int, report: Report | None) -> Iterator[bytes | Pause]:
    for step in script.steps(seen):
        if isinstance(step, float):
            yield Pause(step)
            continue
        if report is not None:
            report.add_item()
        yield step
