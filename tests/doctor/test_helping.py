"""A server that helps the doctor reports when it saw that a reader had left, and streams as it is told."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from flask_sluice.doctor.events import has_events, take_apart
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.helping.reports import COMPLETE, LEFT, Reports
from flask_sluice.doctor.helping.script import Script
from flask_sluice.doctor.http.exchange import Exchange
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.options import Options
from tests.doctor.helped_apps import (
    EVENTS,
    deaf_app,
    flask_app,
    listening_app,
    uvicorn_server,
    werkzeug_server,
)
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import chat

ID = "0123456789abcdef" * 2


class Helper:
    """A server with the doctor's routes. path: where they are"""

    def __init__(self, url: str, path: str) -> None:
        self.url = url
        self.path = path

    def open(self, path: str, **headers: str) -> Exchange:
        request = HttpRequest(
            self.url + path,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        return Examination(Options(request.url), lambda _: None).open(request)

    def read(self, path: str, **headers: str) -> Any:
        """The whole answer, as a Recording."""
        with self.open(path, **headers) as exchange:
            return exchange.read(20)

    def events(self, path: str, **headers: str) -> list[tuple[str, str]]:
        """The ids and names of all events."""
        log = take_apart(self.read(path, **headers))
        return [(event.event.id, event.event.event) for event in log.events]

    def report(self, id_: str = ID) -> dict[str, Any] | None:
        answer = self.read(f"{self.path}/streams/{id_}", Sluice_Doctor="")
        return json.loads(answer.body) if answer.status == 200 else None

    def wait_for_end(self, id_: str = ID) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            report = self.report(id_)
            return report if report and report["closed_at"] else None

        return wait_until(ended, explain=lambda: str(self.report(id_)))


@contextlib.contextmanager
def on_werkzeug() -> Iterator[Helper]:
    with werkzeug_server(flask_app()) as url:
        yield Helper(url, "/doctor")


@contextlib.contextmanager
def on_uvicorn() -> Iterator[Helper]:
    with uvicorn_server(listening_app) as url:
        yield Helper(url, "/doctor")


@contextlib.contextmanager
def on_gateway() -> Iterator[Helper]:
    with Server(workers=2) as server:
        yield Helper(server.url, "/v1/doctor")


@pytest.fixture(
    scope="module",
    params=[on_werkzeug, on_uvicorn, pytest.param(on_gateway, marks=pytest.mark.slow)],
)
def helper(request: pytest.FixtureRequest) -> Iterator[Helper]:
    with request.param() as helper:
        yield helper


def test_a_stream_has_the_events_that_were_asked_for_and_a_terminal_one(helper):
    events = helper.events(f"{helper.path}/stream?events=3&interval_ms=1")
    assert events == [("1", "message"), ("2", "message"), ("3", "message"), ("4", "done")]


def test_a_stream_says_when_each_event_was_sent(helper):
    recording = helper.read(f"{helper.path}/stream?events=2&interval_ms=100")
    first, second, _ = (json.loads(event.event.data) for event in take_apart(recording).events)
    assert (first["number"], second["number"]) == (1, 2)
    assert 0.09 < second["sent_at"] - first["sent_at"] < 2


def test_a_stream_goes_on_exactly_behind_the_last_event_id(helper):
    path = f"{helper.path}/stream?events=4&interval_ms=1"
    assert helper.events(path, Last_Event_ID="2") == [
        *(("3", "message"), ("4", "message"), ("5", "done"))
    ]
    assert helper.read(path, Last_Event_ID="4").status == 200
    assert helper.read(path, Last_Event_ID="5").status == 204


@pytest.mark.parametrize(
    "query", ["events=10001", "events=-1", "interval_ms=x", "events=10000&interval_ms=60000"]
)
def test_a_stream_that_would_be_without_bounds_is_refused(helper, query):
    assert helper.read(f"{helper.path}/stream?{query}").status == 400


def test_the_response_says_where_its_report_is(helper):
    recording = helper.read(f"{helper.path}/stream?events=2&interval_ms=1", Sluice_Doctor="1")
    where = recording.header("Sluice-Doctor-Report")
    assert where.startswith(f"{helper.path}/streams/")
    report = helper.wait_for_end(where.rpartition("/")[2])
    assert (report["outcome"], report["items"]) == ("complete", 3)
    assert report["opened_at"] <= report["last_item_at"] <= report["closed_at"] <= report["now"]


def test_a_request_that_does_not_ask_for_a_report_has_none(helper):
    recording = helper.read(f"{helper.path}/stream?events=1", Sluice_Doctor="")
    assert recording.header("Sluice-Doctor-Report") is None


def test_a_reader_that_leaves_in_mid_stream_is_reported(helper):
    path = f"{helper.path}/stream?events=200&interval_ms=20"
    with helper.open(path, Sluice_Doctor=ID) as exchange:
        exchange.read(10, has_events(2))
        assert helper.report()["outcome"] == "open"
    report = helper.wait_for_end()
    assert report["outcome"] == "left"
    assert report["closed_at"] - report["opened_at"] < 3


def test_a_report_can_be_asked_for_before_the_response_has_come(helper):
    id_ = "f" * 32
    path = f"{helper.path}/stream?events=2&interval_ms=1&prefill_ms=500"
    with helper.open(path, Sluice_Doctor=id_) as exchange:
        report = wait_until(lambda: helper.report(id_))
        assert (report["outcome"], report["items"], report["last_item_at"]) == ("open", 0, None)
        exchange.read(10)
    assert helper.wait_for_end(id_)["outcome"] == "complete"


def test_an_unknown_report_is_not_found(helper):
    assert helper.report("a" * 32) is None
    assert helper.report("0" * 32) is None
    assert helper.report("../stream") is None


@pytest.mark.parametrize("app", ["wsgi", "asgi"])
def test_the_streams_of_the_app_itself_are_reported(app):
    with on_werkzeug() if app == "wsgi" else on_uvicorn() as helper:
        with helper.open("/events", Sluice_Doctor=ID) as exchange:
            exchange.read(10, has_events(2))
        report = helper.wait_for_end()
    assert report["outcome"] == "left"
    assert 2 <= report["items"] < EVENTS


def test_an_asgi_app_that_does_not_listen_is_reported_to_go_on():
    with uvicorn_server(deaf_app) as url:
        helper = Helper(url, "/doctor")
        with helper.open("/events", Sluice_Doctor=ID) as exchange:
            exchange.read(10, has_events(2))
        items = helper.report()["items"]
        wait_until(lambda: helper.report()["items"] > items + 5)
        assert helper.report()["outcome"] == "open"


def test_an_app_that_fails_is_reported():
    with on_werkzeug() as helper:
        helper.read("/broken", Sluice_Doctor=ID)
        assert helper.wait_for_end()["outcome"] == "error"


@pytest.mark.slow
def test_the_gateways_answers_are_reported_by_each_of_its_workers():
    with on_gateway() as helper:
        for id_, simulator, events in (
            ("a" * 32, {"ttft_ms": 20_000}, 0),
            ("b" * 32, {"itl_ms": 50, "tokens": 200}, 2),
        ):
            request = HttpRequest(
                f"{helper.url}/v1/chat/completions",
                "POST",
                {"Sluice-Doctor": id_},
                json.dumps(chat(simulator=simulator)).encode(),
            )
            with Examination(Options(request.url), lambda _: None).open(request) as exchange:
                exchange.read(10, has_events(events))
                wait_until(lambda id_=id_: helper.report(id_))
                # Each request may be answered by another worker than the stream's.
                assert {helper.report(id_)["outcome"] for _ in range(6)} == {"open"}
            assert helper.wait_for_end(id_)["outcome"] == "left"


@pytest.mark.slow
def test_the_gateways_routes_take_a_key_and_what_is_refused_leaves_no_report():
    with Server(api_keys="k" * 16) as server:
        helper = Helper(server.url, "/v1/doctor")
        key = {"Authorization": f"Bearer {'k' * 16}"}
        assert helper.read("/v1/doctor/stream").status == 401
        assert helper.read(f"/v1/doctor/streams/{ID}").status == 401
        refused = helper.read("/v1/models", Sluice_Doctor=ID)
        assert (refused.status, refused.header("Sluice-Doctor-Report")) == (401, None)
        assert helper.read(f"/v1/doctor/streams/{ID}", **key).status == 404
        assert helper.read("/v1/doctor/stream?events=1", **key).status == 200


def test_the_oldest_report_is_forgotten():
    reports = Reports()
    ids = [f"{number:032x}" for number in range(1, 200)]
    for id_ in ids:
        reports.open(id_)
    known = [id_ for id_ in ids if reports.document(id_)]
    assert known == ids[-64:]


def test_a_report_that_was_forgotten_writes_into_no_other():
    reports = Reports()
    old = reports.open("0" * 31 + "1")
    ids = [f"{number:032x}" for number in range(16, 80)]
    for id_ in ids:
        reports.open(id_)
    old.add_item()
    old.close(LEFT)
    documents = [reports.document(id_) for id_ in ids]
    assert {(document["items"], document["outcome"]) for document in documents} == {(0, "open")}


def test_only_the_first_end_of_a_stream_counts():
    reports = Reports()
    report = reports.open(ID)
    report.close(COMPLETE)
    report.close(LEFT)
    assert reports.document(ID)["outcome"] == "complete"


def test_a_script_waits_where_it_was_told_to():
    script = Script.of(
        {"events": "3", "interval_ms": "10", "prefill_ms": "500", "silence_ms": "2000"}
    )
    waits = [step for step in script.steps(0) if isinstance(step, float)]
    assert waits == [0.5, 2.01, 0.01]
    assert next(script.steps(2)) == 0.5


def test_a_server_that_helps_needs_the_standard_library_alone():
    program = """
import sys
import flask_sluice.doctor.helping.wsgi, flask_sluice.doctor.helping.asgi
print(sorted({"flask", "werkzeug", "msgspec", "h11", "h2", "gevent"} & set(sys.modules)))
"""
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert printed.stdout == "[]\n"
