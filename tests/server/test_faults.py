"""What each fault of the simulator looks like on the wire."""

import json

import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, post

DONE = b"data: [DONE]\n\n"
AFTER = 2


def open_with_fault(sock, kind: str, **simulator: object) -> Response:
    fault = {"kind": kind, "after": AFTER}
    body = chat(simulator={"itl_ms": 0, "tokens": 10, "fault": fault, **simulator})
    sock.sendall(post("/v1/chat/completions", body))
    return Response(sock)


def tokens(body: bytes) -> int:
    # The opening's content is empty.
    return body.count(b'"content":"') - body.count(b'"content":""')


def test_cut_leaves_the_body_unfinished(sluice):
    with sluice.connect() as sock:
        response = open_with_fault(sock, "cut")
        assert tokens(read_until_cut(response, EOFError)) == AFTER


def test_reset_leaves_the_body_unfinished_with_an_rst(sluice):
    with sluice.connect() as sock:
        read_until_cut(open_with_fault(sock, "reset"), ConnectionResetError)


def read_until_cut(response: Response, error: type[Exception]) -> bytes:
    chunks: list[bytes] = []
    with pytest.raises(error):
        chunks.extend(response.chunks())
    return b"".join(chunks)


def test_stall_is_silence_without_an_end(sluice):
    with sluice.connect() as sock:
        response = open_with_fault(sock, "stall")
        response.until(b'"content":"')
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            read_until_cut(response, EOFError)


def test_error_event_is_one_error_and_a_proper_end_without_done(sluice):
    with sluice.connect() as sock:
        body = open_with_fault(sock, "error_event").body()
    *_, last, end = body.split(b"\n\n")
    assert end == b""
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_error"
    assert tokens(body) == AFTER
    assert body.count(b'"error"') == 1
    assert DONE not in body


def test_truncate_is_a_proper_end_without_finish_reason_or_done(sluice):
    with sluice.connect() as sock:
        body = open_with_fault(sock, "truncate").body()
    assert tokens(body) == AFTER
    assert body.count(b'"finish_reason":null') == body.count(b'"finish_reason"')
    assert DONE not in body


def test_malformed_is_an_event_that_is_not_json(sluice):
    with sluice.connect() as sock:
        *events, _ = open_with_fault(sock, "malformed").body().split(b"\n\n")
    broken = [event for event in events if not is_json(event.removeprefix(b"data: "))]
    assert len(broken) == 2  # and [DONE]


def is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_split_utf8_flushes_half_a_character(sluice):
    with sluice.connect() as sock:
        response = open_with_fault(sock, "split_utf8", text="one two three naïve words")
        chunks = list(response.chunks())
    assert any(cut_inside_character(chunk) for chunk in chunks)
    assert " naïve" in b"".join(chunks).decode()


def cut_inside_character(chunk: bytes) -> bool:
    try:
        chunk.decode()
    except UnicodeDecodeError:
        return True
    return False


def test_json_body_is_a_200_that_is_no_stream(sluice):
    with sluice.connect() as sock:
        sock.sendall(post("/v1/chat/completions", chat(simulator={"fault": {"kind": "json_body"}})))
        response = Response(sock)
        assert response.status == 200
        assert response.headers["content-type"] == "application/json"
        assert set(response.json()) == {"code", "message"}


def test_a_generator_that_raises_sends_one_error_and_logs_the_traceback():
    with Server("tests.server.foreign_app:app") as server, server.connect() as sock:
        sock.sendall(
            b"GET /stream/raises HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: trace-me\r\n\r\n"
        )
        body = Response(sock).body()
        assert body.startswith(b": stream\ndata: first\n\n: the server failed")
        assert body.count(b"event: error\ndata: ") == 1
        assert b"internal_error" in body
        assert b"secret" not in body
        assert "the generator failed request_id=trace-me" in server.log
        assert "ZeroDivisionError: a secret of the server" in server.log
        wait_until(lambda: server.logged("stream ended", request_id="trace-me", outcome="error"))
