"""Reports on the streams whose requests have the header ``Sluice-Doctor``: when the reader's leaving was seen."""

from flask import Blueprint, Response, request

from flask_sluice.doctor.helping import REPORT_HEADER
from flask_sluice.doctor.helping.reports import COMPLETE, FAILED, LEFT, Report, server_reports
from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream.event_stream import EventStream

_ASKED = "HTTP_SLUICE_DOCTOR"
_REPORT = "sluice.doctor_report"
PREFIX = "/v1/doctor"

_OUTCOMES = {Outcome.CANCELLED: LEFT, Outcome.ERROR: FAILED}


def report_all(routes: Blueprint) -> None:
    """Have such requests reported on, whichever route they are for."""

    @routes.before_app_request
    def begin() -> None:
        asked = request.environ.get(_ASKED)
        if asked:
            request.environ[_REPORT] = server_reports().open(asked)

    @routes.after_app_request
    def tell(response: Response) -> Response:
        report = report_of_request()
        if report is None:
            return response
        response.headers[REPORT_HEADER] = f"{request.script_root}{PREFIX}/streams/{report.id}"
        stream = response.response
        if isinstance(stream, EventStream):
            stream.call_on_close(lambda: _close(report, stream))
        else:
            report.close(COMPLETE)
        return response


def report_of_request() -> Report | None:
    """Return the report of the current request; None if none was asked for."""
    return request.environ.get(_REPORT)


def _close(report: Report, stream: EventStream) -> None:
    outcome = COMPLETE if stream.outcome is None else _OUTCOMES.get(stream.outcome, COMPLETE)
    report.close(outcome, stream.event_count)
