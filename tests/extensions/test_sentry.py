"""Sentry hears of an app's errors, in the scope of the request; its transactions are as long as the streams."""

import time
from datetime import datetime

import pytest

from tests.extensions.extended_server import new_key
from tests.support.server import wait_until


@pytest.fixture(params=["sentry_flask", "sentry_wsgi", "everything"])
def app(request):
    """The prefix of an app that Sentry watches."""
    return request.param


def reports_of(server, key: str, kind: str = "event") -> list[dict]:
    return [each for each in server.told(f"/reports/{key}")["reports"] if each["type"] == kind]


def test_events_come_one_by_one(reported, app):
    key = new_key()
    with reported.reading(f"/{app}/steps?key={key}") as response:
        assert b"second" not in response.until(b"data: first\n\n")
        reported.go_on(key)
        assert response.body().endswith(b"event: done\ndata: third\n\n")
    assert reported.outcome(key) == "complete"
    assert reports_of(reported, key) == []


def test_a_client_that_leaves_is_seen_and_not_reported(reported, app):
    key = new_key()
    with reported.reading(f"/{app}/steps?key={key}") as response:
        response.until(b"first")
    assert reported.outcome(key) == "cancelled"
    assert reports_of(reported, key) == []


def test_a_generators_exception_is_reported_once_in_the_requests_scope(reported, app):
    key = new_key()
    reported.answer(f"/{app}/fails?key={key}")
    wait_until(lambda: reports_of(reported, key))
    (report,) = reports_of(reported, key)
    (exception,) = report["exception"]["values"]
    assert (exception["type"], exception["value"]) == (
        "ZeroDivisionError",
        f"the generator of {key}",
    )
    assert report["request"]["url"].endswith(f"/{app}/fails")
    assert report["request"]["query_string"] == f"key={key}"


def test_a_generators_exception_is_reported_once_where_sentry_reads_no_log(reported_without_log):
    key = new_key()
    reported_without_log.answer(f"/sentry_flask/fails?key={key}")
    wait_until(lambda: reports_of(reported_without_log, key))
    (report,) = reports_of(reported_without_log, key)
    assert report["request"]["query_string"] == f"key={key}"


def test_an_exception_that_is_held_back_is_reported_once(reported, app):
    key = new_key()
    response, _ = reported.answer(f"/{app}/fails_first?key={key}&hold=5")
    assert response.status == 500
    # Sentry sends its reports from a thread.
    wait_until(lambda: reports_of(reported, key))
    assert [len(report["exception"]["values"]) for report in reports_of(reported, key)] == [1]


def test_an_error_for_the_client_is_not_reported(reported, app):
    key = new_key()
    reported.answer(f"/{app}/refuses?key={key}")
    reported.outcome(key)
    assert reports_of(reported, key) == []


def test_what_the_generator_reports_is_in_the_requests_scope(reported, app):
    key = new_key()
    reported.go_on(key)
    reported.answer(f"/{app}/tells?key={key}")
    messages = [report["message"] for report in reports_of(reported, key)]
    assert messages == [f"in {key}"] * 3


class Transaction:
    """The transaction of a stream, as it was sent; waits for it."""

    def __init__(self, server, key: str) -> None:
        wait_until(lambda: reports_of(server, key, "transaction"))
        (sent,) = reports_of(server, key, "transaction")
        self.trace = sent["contexts"]["trace"]
        self.data = {
            name: value
            for name, value in self.trace["data"].items()
            if name.startswith("sluice.") and name != "sluice.request_id"
        }
        self.spans = {span["op"]: span for span in sent["spans"]}
        self.ended_at = datetime.fromisoformat(sent["timestamp"]).timestamp()


def test_the_transaction_lasts_as_long_as_the_stream_and_tells_of_it(reported, app):
    key = new_key()
    with reported.reading(f"/{app}/steps?key={key}") as response:
        start = response.until(b"first")
        assert reports_of(reported, key, "transaction") == []
        goes_on_at = time.time()
        reported.go_on(key)
        body = start + response.body()
    transaction = Transaction(reported, key)
    assert transaction.ended_at > goes_on_at
    assert transaction.data == {
        "sluice.outcome": "complete",
        "sluice.events": 3,
        "sluice.bytes": len(body),
        "sluice.keepalives": 0,
    }
    assert transaction.trace["status"] == "ok"


def test_the_transaction_of_a_client_that_left_ends_then_and_is_no_failure(reported, app):
    key = new_key()
    with reported.reading(f"/{app}/steps?key={key}") as response:
        response.until(b"first")
    transaction = Transaction(reported, key)
    assert transaction.data["sluice.outcome"] == "cancelled"
    assert transaction.trace["status"] == "ok"


def test_the_transaction_of_a_generator_that_failed_is_a_failure(reported, app):
    key = new_key()
    reported.answer(f"/{app}/fails?key={key}")
    transaction = Transaction(reported, key)
    assert transaction.data["sluice.code"] == "internal_error"
    assert transaction.trace["status"] == "internal_error"


def test_spans_of_the_generator_belong_to_the_requests_transaction(reported, app):
    key = new_key()
    reported.go_on(key)
    reported.answer(f"/{app}/spans?key={key}")
    spans = Transaction(reported, key).spans
    assert spans["generator"]["parent_span_id"] == spans["view"]["span_id"]
