"""OpenTelemetry's spans of a request that is answered with a stream, with each of its instrumentations."""

import secrets
import time

import pytest

from tests.extensions.extended_server import new_key
from tests.support.server import wait_until
from tests.support.stream import Response, get

FLASKS, WSGIS = "opentelemetry.instrumentation.flask", "opentelemetry.instrumentation.wsgi"


@pytest.fixture(params=["otel_flask", "otel_wsgi", "otel_both"])
def traced(request):
    """The prefix of an app that is instrumented."""
    return request.param


class Trace:
    """The spans of one request, which continues a trace of its client."""

    def __init__(self, server) -> None:
        self._server = server
        self._id = secrets.token_hex(16)
        self.headers = {"traceparent": f"00-{self._id}-{secrets.token_hex(8)}-01"}

    def spans(self) -> list[dict]:
        """All that have ended."""
        return self._server.told(f"/spans/{self._id}")["spans"]

    def span(self, name: str) -> dict:
        return wait_until(
            lambda: next((span for span in self.spans() if span["name"] == name), None)
        )

    def of_request(self) -> dict:
        """The span that instrumentation of the app has made: Flask's, if there are two."""
        wait_until(lambda: any(span["kind"] == "SERVER" for span in self.spans()))
        made = [span for span in self.spans() if span["scope"] in (FLASKS, WSGIS)]
        return min(made, key=lambda span: span["scope"])


def read(server, path: str) -> tuple[str, Trace, bytes]:
    """Read a whole stream; returns its key, its trace and its body."""
    key, trace = new_key(), Trace(server)
    server.go_on(key)
    _, body = server.answer(f"{path}?key={key}", X_Request_Id=key, **trace.headers)
    return key, trace, body


def test_the_span_lasts_as_long_as_the_stream(server, traced):
    key, trace = new_key(), Trace(server)
    with server.reading(f"/{traced}/steps?key={key}", **trace.headers) as response:
        response.until(b"first")
        assert trace.spans() == []
        goes_on_at = time.time_ns()
        server.go_on(key)
        response.body()
    assert trace.of_request()["end"] > goes_on_at


def test_the_span_lasts_as_long_as_a_stream_that_keeps_flasks_context(server, traced):
    key, trace = new_key(), Trace(server)
    with server.reading(f"/{traced}/with_context?key={key}", **trace.headers) as response:
        response.until(b"first")
        assert trace.spans() == []
        server.go_on(key)
        response.body()
    assert trace.of_request()["attributes"]["sluice.outcome"] == "complete"


def test_the_span_tells_the_outcome_and_the_counts(server, traced):
    key, trace, body = read(server, f"/{traced}/steps")
    attributes = trace.of_request()["attributes"]
    assert {name: value for name, value in attributes.items() if name.startswith("sluice.")} == {
        "sluice.request_id": key,
        "sluice.outcome": "complete",
        "sluice.events": 3,
        "sluice.bytes": len(body),
        "sluice.keepalives": 0,
    }


def test_the_span_of_a_client_that_left_ends_then_and_is_no_error(server, traced):
    key, trace = new_key(), Trace(server)
    with server.reading(f"/{traced}/steps?key={key}", **trace.headers) as response:
        response.until(b"first")
        leaves_at = time.time_ns()
    span = trace.of_request()
    assert span["attributes"]["sluice.outcome"] == "cancelled"
    assert (span["status"], span["events"]) == ("UNSET", [])
    assert span["end"] > leaves_at


def test_a_generators_exception_is_recorded_once(server, traced):
    key, trace, _ = read(server, f"/{traced}/fails")
    span = trace.of_request()
    ((name, attributes),) = [event for each in trace.spans() for event in each["events"]]
    assert name == "exception"
    assert attributes["exception.message"] == f"the generator of {key}"
    assert (span["status"], span["attributes"]["sluice.outcome"]) == ("ERROR", "error")
    assert span["attributes"]["sluice.code"] == "internal_error"


def test_an_error_for_the_client_is_no_exception(server, traced):
    _, trace, _ = read(server, f"/{traced}/refuses")
    span = trace.of_request()
    assert (span["status"], span["events"]) == ("ERROR", [])
    assert span["attributes"]["sluice.code"] == "printer_out"


def test_an_exception_that_is_held_back_is_recorded_by_the_instrumentation_alone(server, traced):
    key, trace = new_key(), Trace(server)
    response, _ = server.answer(
        f"/{traced}/fails_first?key={key}&hold=5", X_Request_Id=key, **trace.headers
    )
    assert response.status == 500
    trace.of_request()
    assert sum(len(span["events"]) for span in trace.spans()) <= 1


def test_spans_of_the_generator_belong_to_the_request(server, traced):
    _, trace, _ = read(server, f"/{traced}/traced")
    generator, view, span = trace.span("generator"), trace.span("view"), trace.of_request()
    assert generator["parent"] == view["id"]
    assert view["parent"] == span["id"]
    assert generator["start"] <= generator["end"] <= span["end"]


def test_a_span_that_the_view_opens_ends_with_the_view(server, traced):
    key, trace = new_key(), Trace(server)
    with server.reading(f"/{traced}/traced?key={key}", **trace.headers) as response:
        response.until(b"first")
        assert "sluice.outcome" not in trace.span("view")["attributes"]
    assert trace.of_request()["attributes"]["sluice.outcome"] == "cancelled"


def test_a_stream_that_is_not_sent_leaves_the_span_alone(server, traced):
    _, trace, _ = read(server, f"/{traced}/replaced")
    assert "sluice.outcome" not in trace.of_request()["attributes"]


def test_the_span_of_a_head_request_ends(server, traced):
    trace = Trace(server)
    with server.connect() as sock:
        head = f"HEAD /{traced}/steps?key=head HTTP/1.1\r\nHost: localhost\r\n"
        sock.sendall(f"{head}traceparent: {trace.headers['traceparent']}\r\n\r\n".encode())
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        assert trace.of_request()


def test_the_next_request_of_a_connection_has_no_span_of_the_one_before(server, traced):
    key = new_key()
    server.go_on(key)
    with server.connect() as sock:
        sock.sendall(get(f"/{traced}/steps?key={key}"))
        response = Response(sock)
        response.body()
        sock.sendall(get("/current-span"))
        assert response.following().json() == {"is_valid": False}


def test_opentelemetry_complains_of_nothing(server, traced):
    for kind in ("steps", "fails", "refuses", "traced", "replaced", "with_context"):
        read(server, f"/{traced}/{kind}")
    assert "opentelemetry" not in server.log
    assert "ended span" not in server.log
    assert "detach" not in server.log
