"""Half of an upstream's answer that is not a stream: an error with a status, or a body that is visibly cut."""

import json

import pytest

from tests.server.raw_upstream import (
    LAST_CHUNK,
    chunk,
    head,
    sends,
    sends_and_closes,
    whole,
)
from tests.server.relayed import JSON_ANSWER, PATH, ask_chat
from tests.support.stream import Response, ask, chat, get, post

JSON = {"Content_Type": "application/json"}
SIZED = head(**JSON, Content_Length=len(JSON_ANSWER))
CHUNKED = head(**JSON, Transfer_Encoding="chunked")
UNTIL_CLOSED = head(**JSON, Connection="close")
HTTP_1_0 = head(**JSON).replace(b"1.1", b"1.0")
HALF = JSON_ANSWER[:20]
LARGE = b'{"data":"' + b"x" * 400_000 + b'"}'

CUT = {
    "sized": [SIZED],
    "sized-half": [SIZED, HALF],
    "sized-half-at-once": [SIZED + HALF],
    "chunked": [CHUNKED],
    "chunked-half-a-size": [CHUNKED, b"1"],
    "chunked-half": [CHUNKED, chunk(HALF)],
    "chunked-half-a-chunk": [CHUNKED, chunk(JSON_ANSWER)[:-20]],
    "chunked-without-its-end": [CHUNKED + chunk(JSON_ANSWER)],
    "closed": [UNTIL_CLOSED],
    "closed-half": [UNTIL_CLOSED, HALF],
    "http-1.0": [HTTP_1_0],
    "http-1.0-half": [HTTP_1_0 + HALF],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("answer", CUT)
def test_json_that_is_cut_is_a_502(relay, upstream, answer, stream):
    upstream.handler = sends_and_closes(*CUT[answer])
    response, body = ask_chat(relay, stream=stream)
    assert (response.status, json.loads(body)["error"]["code"]) == (502, "upstream_truncated")


@pytest.mark.parametrize("answer", [name for name in CUT if not name.startswith("chunked-")])
def test_json_that_is_cut_is_a_502_on_other_routes(relay, upstream, answer):
    upstream.handler = sends_and_closes(*CUT[answer])
    response, body = ask(relay, get("/v1/models"))
    assert (response.status, json.loads(body)["error"]["code"]) == (502, "upstream_truncated")


@pytest.mark.parametrize("head_", [UNTIL_CLOSED, HTTP_1_0])
def test_json_that_ends_with_its_connection_is_whole(relay, upstream, head_):
    upstream.handler = sends_and_closes(head_ + JSON_ANSWER[:9], JSON_ANSWER[9:])
    assert ask_chat(relay, stream=False)[1] == JSON_ANSWER


@pytest.mark.parametrize(
    "answer",
    [head(**JSON, Content_Length=0), CHUNKED + LAST_CHUNK],
    ids=["sized", "chunked"],
)
def test_a_completion_without_any_json_is_a_502(relay, upstream, answer):
    upstream.handler = sends(answer)
    assert ask_chat(relay, stream=False)[0].status == 502


@pytest.mark.parametrize("status", [200, 202])
def test_an_empty_answer_passes_on_other_routes(relay, upstream, status):
    upstream.handler = sends(head(f"{status} Gone", **JSON, Content_Length=0))
    request = get("/v1/files/f").replace(b"GET", b"DELETE", 1)
    response, body = ask(relay, request)
    assert (response.status, body) == (status, b"")


@pytest.mark.parametrize("media", ["audio/mpeg", "application/octet-stream", "text/plain"])
@pytest.mark.parametrize("framing", [{"Content_Length": 9}, {"Transfer_Encoding": "chunked"}])
def test_any_answer_that_is_cut_before_its_body_is_a_502(relay, upstream, media, framing):
    upstream.handler = sends_and_closes(head(Content_Type=media, **framing))
    response, _ = ask(relay, post("/v1/audio/speech", {"input": "x"}))
    assert response.status == 502


@pytest.mark.parametrize(
    ("head_", "body"),
    [
        (head(Content_Type="audio/mpeg", Content_Length=9), b"half"),
        (head(Content_Type="audio/mpeg", Transfer_Encoding="chunked"), chunk(b"half")),
        (head(**JSON, Content_Length=len(LARGE)), LARGE[:-1]),
    ],
    ids=["sized", "chunked", "large-json"],
)
def test_what_is_cut_after_its_beginning_was_sent_is_cut_for_the_client(
    relay, upstream, head_, body
):
    upstream.handler = sends_and_closes(head_, body)
    with relay.connect() as sock:
        sock.sendall(post("/v1/audio/speech", {"input": "x"}))
        response = Response(sock)
        assert response.status == 200
        with pytest.raises(EOFError):
            response.body()


def test_large_json_comes_whole(relay, upstream):
    upstream.handler = sends(whole(LARGE))
    assert ask_chat(relay, stream=False)[1] == LARGE


def test_blanks_that_come_before_json_reach_the_client_at_once(relay, upstream):
    upstream.handler = sends(CHUNKED + chunk(b"\n"))
    with relay.connect() as sock:
        sock.sendall(post(PATH, chat(stream=False)))
        response = Response(sock)
        assert response.chunk() == b"\n"
        upstream.connections[0].sock.sendall(chunk(JSON_ANSWER) + LAST_CHUNK)
        assert response.body() == JSON_ANSWER


# Refusals.


@pytest.mark.parametrize(
    "status", ["400 Bad", "404 Not Found", "429 Too Many Requests", "500 Oops", "503 Busy"]
)
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ({"Content_Length": 100}, b""),
        ({"Content_Length": 100}, b'{"error":{"mess'),
        ({"Transfer_Encoding": "chunked"}, b""),
        ({"Transfer_Encoding": "chunked"}, chunk(b'{"error":{"mess')),
    ],
)
def test_a_refusal_that_is_cut_keeps_its_status(relay, upstream, status, framing, body):
    upstream.handler = sends_and_closes(head(status, **JSON, **framing, Retry_After=7) + body)
    response, received = ask_chat(relay)
    error = json.loads(received)["error"]
    assert (response.status, error["code"]) == (int(status[:3]), "upstream_error")
    assert response.headers["retry-after"] == "7"
    assert status[:3] in error["message"]


@pytest.mark.parametrize(
    "pieces",
    [
        [b'{"error":{"message":"no"}}'],
        [b'{"error":{"mess', b'age":"no"}}'],
        [],
    ],
    ids=["one-read", "two-reads", "empty"],
)
@pytest.mark.parametrize("framing", ["sized", "chunked", "closed"])
def test_a_refusal_comes_whole(relay, upstream, pieces, framing):
    body = b"".join(pieces)
    if framing == "sized":
        upstream.handler = sends(head("400 Bad", **JSON, Content_Length=len(body)), *pieces)
    elif framing == "chunked":
        answer_head = head("400 Bad", **JSON, Transfer_Encoding="chunked")
        upstream.handler = sends(answer_head, *map(chunk, pieces), LAST_CHUNK)
    else:
        upstream.handler = sends_and_closes(head("400 Bad", **JSON), *pieces)
    response, received = ask_chat(relay)
    assert (response.status, received) == (400, body)


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_the_answer_to_a_head_request_has_no_body_to_wait_for(relay, upstream, status):
    upstream.handler = sends(head(status, **JSON, Content_Length=100))
    with relay.connect() as sock:
        sock.sendall(get("/v1/models").replace(b"GET", b"HEAD", 1))
        response = Response(sock)
    assert (response.status, response.headers["content-length"]) == (int(status[:3]), "100")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_a_body_is_whole_with_its_head(relay, upstream, status):
    upstream.handler = sends(head(status, **JSON))
    with relay.connect() as sock:
        sock.sendall(get("/v1/models"))
        assert Response(sock).status == int(status[:3])
