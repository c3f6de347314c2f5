"""What a stream does on every server, one function for each behaviour.

Each fails, by an assertion or a time limit, if the server does not give what sse_response promises everywhere, and otherwise
returns the words for the table.
"""

import json

from flask_sluice.sse import EventParser
from tests.servers.running import RunningServer
from tests.support.server import wait_until

YES = "yes"


def events_come_one_by_one(server: RunningServer) -> str:
    key = server.new_key()
    with server.stream("waits_to_be_read", key) as answer:
        assert answer.status == 200
        for number in range(3):
            # The generator goes on only when this event has been read.
            answer.until(b"data: %d\n\n" % number)
            server.open_gate(key, f"read {number}")
        assert not answer.body()
    return YES


def silence_is_filled_with_comments(server: RunningServer) -> str:
    key = server.new_key()
    with server.stream("is_silent_twice", key, keepalive=0.1) as answer:
        assert b"data" not in answer.until(b": keep-alive\n: keep-alive\n")
        server.open_gate(key, "prefill")
        answer.until(b"data: first\n\n")
        assert b"data" not in answer.until(b": keep-alive\n")
        server.open_gate(key, "production")
        answer.until(b"data: last\n\n")
        assert not answer.body()
    return YES


def the_deadline_ends_it_with_an_error_event(server: RunningServer) -> str:
    key = server.new_key()
    with server.stream("goes_on", key, deadline=0.3) as answer:
        body = answer.body()
    assert body.count(b"event: error") == 1
    assert b"stream_timeout" in body.rpartition(b"event: error")[2]
    server.noted(key, "ended")
    assert not server.has_noted(key, "disconnected")
    return YES


def an_exception_becomes_one_error_event(server: RunningServer) -> str:
    with server.stream("raises", server.new_key()) as answer:
        first, error = EventParser().feed(answer.body())
    assert (first.event, first.data) == ("message", "first")
    assert error.event == "error"
    assert json.loads(error.data)["error"]["code"] == "internal_error"
    return YES


def text_cut_anywhere_arrives_as_whole_events(server: RunningServer) -> str:
    key = server.new_key()
    with server.stream("cuts_its_text", key, keepalive=0.1) as answer:
        assert b"data" not in answer.until(b": keep-alive\n")
        server.open_gate(key, "silence")
        body = answer.body()
    assert "data: one €\ndata: two\n\ndata: [DONE]\n\n".encode() in body
    return YES


def status_and_headers_are_those_given(server: RunningServer) -> str:
    with server.stream("raises", server.new_key(), status=201) as answer:
        headers = answer.response.headers
        assert answer.status == 201
        assert headers["X-App"] == "its own"
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["X-Accel-Buffering"] == "no"
        assert "X-App" not in headers.get("Connection", "")
    return YES


def an_early_exception_becomes_the_apps_own_response(server: RunningServer) -> str:
    with server.stream("raises_at_once", server.new_key(), hold=5) as answer:
        assert answer.status == 429
        assert json.loads(answer.body()) == {"says": "come back later"}
    key = server.new_key()
    with server.stream("is_silent_twice", key, hold=0.2, keepalive=0.1) as answer:
        assert answer.status == 200
        answer.until(b": keep-alive\n")
        server.open_gate(key, "prefill")
        answer.until(b"data: first\n\n")
    return YES


def head_runs_no_generator(server: RunningServer) -> str:
    key = server.new_key()
    with server.stream("goes_on", key, method="HEAD") as answer:
        assert answer.status == 200
        assert answer.response.headers["Content-Type"].startswith("text/event-stream")
        assert not answer.body()
    # An answer behind it: what it had started would have noted something by now.
    with server.stream("raises", server.new_key()) as answer:
        answer.body()
    assert not server.notes(key)
    # Some servers close a body after its client has seen its end.
    server.until(lambda: seen_idle(server))
    return YES


def stream_with_context_works_and_is_torn_down_at_the_end(server: RunningServer) -> str:
    key = server.new_key()
    with server.ask(f"/reads_request?key={key}") as answer:
        answer.until(b"data: /reads_request\n\n")
        assert not server.has_noted(key, "ended")
        server.open_gate(key, "go on")
        answer.until(b"data: /reads_request\n\n")
        assert not answer.body()
    ended_at = server.noted(key, "ended")
    server.until(lambda: server.notes(key)[-1][0] > ended_at)
    # Flask since 3.1.2 tears the request down at the end of the view as well.
    assert [what for _, what in server.notes(key)][-2:] == ["ended", "torn down"]
    return YES


def a_leaver_does_not_cut_what_is_saved_after_the_last_event(server: RunningServer) -> str:
    key = server.new_key()
    with server.stream("saves", key, keepalive=0.05) as answer:
        answer.until(b"event: done")
    server.open_gate(key, "left")
    server.noted(key, "ended")
    assert server.has_noted(key, "saved")
    assert not server.has_noted(key, "disconnected")
    return YES


def a_leaver_ends_a_generator_that_yields(server: RunningServer) -> str:
    key = server.new_key()
    with server.stream("goes_on", key) as answer:
        answer.until(b"data: token\n\n")
    server.noted(key, "ended", timeout_seconds=5)
    server.noted(key, "disconnected", timeout_seconds=5)
    return YES


def a_cut_stream_does_not_look_whole(server: RunningServer) -> str:
    """A client that ends its own side only counts as a leaver where the leaving is seen, and may read on where it is not."""
    with server.stream("goes_on", server.new_key(), deadline=1) as answer:
        answer.until(b"data: token\n\n")
        answer.end_own_side()
        try:
            assert b"event: error" in answer.body()
        except (EOFError, ConnectionResetError):
            return YES
    return YES


def nothing_leaks_from_aborted_streams(server: RunningServer) -> str:
    abort(server, "goes_on", 20)
    before = server.until(lambda: seen_idle(server))
    error_count = server.log.count("Traceback")
    abort(server, "goes_on", 200)
    abort(server, "listens", 20)
    wait_until(
        lambda: _is_as_before(server, before), 20, lambda: f"{before} became {server.inspect()}"
    )
    assert server.log.count("Traceback") == error_count, server.log[-3000:]
    return YES


def abort(server: RunningServer, kind: str, count: int) -> None:
    """Open so many streams, one after another, and reset each connection."""
    for _ in range(count):
        with server.stream(kind, server.new_key(), keepalive=0.05) as answer:
            answer.until(b"\n")
            answer.reset()


def seen_idle(server: RunningServer) -> dict[str, int] | None:
    """What is open in a server without streams; None if it has one."""
    seen = server.inspect()
    return None if seen["streams"] else seen


def _is_as_before(server: RunningServer, before: dict[str, int]) -> bool:
    """Whether what is open is the same, but for the server's own threads and connections, which come and go."""
    seen = server.inspect()
    return not seen["streams"] and all(
        seen[name] <= before[name] + 10 for name in ("threads", "files", "greenlets")
    )
