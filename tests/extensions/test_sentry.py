"""Sentry hears of an app's errors, in the scope of the request, and of nothing else."""

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
