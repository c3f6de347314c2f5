"""``sse_response`` in a Flask app that is not Sluice's."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from tests.server.observer import Observer
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, chat, get, post

FLOOD = chat(simulator={"itl_ms": 0, "tokens": 100_000})


@pytest.fixture(scope="module")
def foreign() -> Iterator[Server]:
    with Server("tests.server.foreign_app:app") as server:
        yield server


def test_what_comes_after_the_terminal_event_is_done_though_the_client_left(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/saves?key=saved"))
        Response(sock).until(b"event: done")
    assert Observer(foreign).ended_at("saved")
    assert "saved" not in Observer(foreign).ask("/disconnected")["keys"]


def test_a_stream_stopped_from_elsewhere_ends_with_an_error_event(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/stoppable?key=stopped"))
        response = Response(sock)
        assert response.chunk()
        Observer(foreign).ask("/stop")
        assert b'"code":"stopped"' in response.body()
    assert Observer(foreign).ended_at("stopped")


def test_a_generator_that_exits_ends_its_own_stream_only(foreign):
    with foreign.connect() as bystander, foreign.connect() as sock:
        bystander.sendall(get("/stream/paces?key=bystander"))
        other = Response(bystander)
        assert other.chunk()
        sock.sendall(get("/exits"))
        assert b"internal_error" in Response(sock).body()
        for _ in range(10):
            assert other.chunk()


def test_what_a_view_writes_to_wsgi_errors_is_in_the_log(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/complains"))
        assert Response(sock).body() == b"complained"
    wait_until(lambda: "something is wrong\n" in foreign.log)


def test_an_answer_has_the_time_that_it_was_made_at(foreign):
    def date() -> datetime:
        with foreign.connect() as sock:
            sock.sendall(get("/plain"))
            return parsedate_to_datetime(Response(sock).headers["date"])

    first = date()
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=5)
    wait_until(lambda: date() > first)


def test_the_deadline_ends_a_stream_with_an_error_event(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/stream/paces?key=late&deadline=0.3"))
        assert b'"code":"stream_timeout"' in Response(sock).body()


@pytest.mark.slow
def test_the_deadline_holds_for_a_reader_that_stands_still():
    with (
        Server(
            "tests.server.inspected_app:app", stream_timeout_seconds=1, write_timeout_seconds=4
        ) as server,
        server.connect(receive_buffer_bytes=4096) as sock,
    ):
        sock.sendall(post("/v1/chat/completions", FLOOD))
        assert Response(sock).status == 200
        wait_until(lambda: "reads too slowly" in server.log)


def test_middleware_that_wraps_the_body_sees_all_of_it(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/shouts"))
        body = Response(sock).body()
    assert b"DATA: " in body
    assert body == body.upper()


def test_flasks_call_on_close_is_called(foreign):
    with foreign.connect() as sock:
        sock.sendall(get("/closing?key=closed"))
        Response(sock).body()
    assert Observer(foreign).ended_at("closed")


def test_a_cut_shows_over_http_1_0_too(sluice):
    with sluice.connect() as sock:
        body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}],"simulator":{"fault":{"kind":"cut"}}}'
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        with pytest.raises(ConnectionResetError):
            read_to_end(sock)


def read_to_end(sock) -> None:
    while sock.recv(65536):
        pass


def run_without_gunicorn(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from tests.server.foreign_app import app\n" + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_a_test_client_reads_a_stream_without_gunicorn():
    ended = run_without_gunicorn("print(app.test_client().get('/stream/counts').data.decode())")
    assert "data: 2" in ended.stdout, ended.stderr
