"""A refusal that comes after the client's 200 says what the upstream said: on resumable streams that is every one."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest

from tests.server.raw_upstream import LAST_CHUNK, Handler, RawUpstream, chunk, head, sends, whole
from tests.server.raw_upstream import sends_and_closes as closes
from tests.server.relayed import PATH
from tests.support.metrics import Metrics
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, get, post

ERROR = {
    "message": "maximum context length is 4096 tokens",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
BODY = json.dumps({"error": ERROR}).encode()
JSON = {"Content_Type": "application/json"}

Tell = Callable[[Handler], dict[str, object]]


@pytest.fixture(scope="module")
def server(raw_upstream: RawUpstream) -> Iterator[Server]:
    with Server(upstream=raw_upstream.url, commit_seconds=0.02) as server:
        yield server


def told_on_chat(server: Server, upstream: RawUpstream, answer: Handler) -> dict[str, object]:
    """Return the error of a chat whose upstream answers after the client has its 200 and a keep-alive."""
    is_committed = threading.Event()

    def handler(sock, request):
        assert is_committed.wait(30)
        answer(sock, request)

    upstream.handler = handler
    with server.connect() as sock:
        sock.sendall(post(PATH, chat()))
        response = Response(sock)
        assert response.chunk().startswith(b":")
        is_committed.set()
        return error_in(response.body())


def told_on_streams(server: Server, upstream: RawUpstream, answer: Handler) -> dict[str, object]:
    """Return the error of a resumable stream."""
    upstream.handler = answer
    response, body = ask(server, post("/v1/streams", chat()))
    assert response.status == 201
    return error_in(ask(server, get(json.loads(body)["url"]))[1])


def error_in(body: bytes) -> dict[str, object]:
    (line,) = [line for line in body.splitlines() if line.startswith(b'data: {"error"')]
    return json.loads(line[6:])["error"]


@pytest.fixture(params=[told_on_chat, told_on_streams])
def tell(request, server, upstream) -> Tell:
    return lambda answer: request.param(server, upstream, answer)


FRAMINGS = {
    "one-read": sends(whole(BODY, "400 Bad Request")),
    "head-then-body": sends(head("400 Bad", **JSON, Content_Length=len(BODY)), BODY),
    "several-reads": sends(
        head("400 Bad", **JSON, Content_Length=len(BODY)), BODY[:9], BODY[9:30], BODY[30:]
    ),
    "chunked-one-read": sends(
        head("400 Bad", **JSON, Transfer_Encoding="chunked") + chunk(BODY) + LAST_CHUNK
    ),
    "chunked": sends(
        *(head("400 Bad", **JSON, Transfer_Encoding="chunked"), b"%x\r\n" % len(BODY)),
        *(BODY[:5], BODY[5:] + b"\r\n", LAST_CHUNK),
    ),
    "until-closed": closes(head("400 Bad", **JSON), BODY[:9], BODY[9:]),
    "until-closed-one-read": closes(head("400 Bad", **JSON) + BODY),
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_error_is_the_upstreams_however_its_bytes_come(tell, framing):
    assert tell(FRAMINGS[framing]) == ERROR


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        ("401 Unauthorized", "authentication_error"),
        ("404 Not Found", "invalid_request_error"),
        ("500 Oops", "server_error"),
    ],
)
def test_fields_that_the_upstream_leaves_out_are_filled_in(tell, status, type_):
    assert tell(sends(whole(b'{"error":{"message":"no","code":null}}', status))) == {
        "message": "no",
        "type": type_,
        "param": None,
        "code": "upstream_error",
    }


FASTAPI = {
    "detail": [
        {"loc": ["body", "messages", 0, "role"], "msg": "Field required", "type": "missing"},
        {"loc": ["body", "n"], "msg": "Input should be at least 1", "type": "greater_than_equal"},
    ]
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": "model 'x' not found"}, {"message": "model 'x' not found"}),
        ({"error": "no", "code": 404}, {"message": "no", "code": 404}),
        (
            {"object": "error", "message": "no", "type": "NotFoundError", "code": 404},
            {"message": "no", "type": "NotFoundError", "code": 404},
        ),
        ({"message": "no", "request_id": "x"}, {"message": "no"}),
        ({"detail": "Not Found"}, {"message": "Not Found"}),
        (
            FASTAPI,
            {
                "message": "messages.0.role: Field required; n: Input should be at least 1",
                "param": "messages.0.role",
            },
        ),
        (
            {"type": "error", "error": {"type": "not_found_error", "message": "model: x"}},
            {"message": "model: x", "type": "not_found_error"},
        ),
        ([{"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}}], {"message": "no"}),
        ({"errors": [{"message": "no", "code": 7003}]}, {"message": "no", "code": 7003}),
        ({"error": {"message": "half \ud800"}}, {"message": "half ?"}),
        ("no such model", {"message": "no such model"}),
    ],
)
def test_the_message_is_found_in_the_shapes_that_servers_use(tell, body, expected):
    told = tell(sends(whole(json.dumps(body).encode(), "404 Not Found")))
    assert expected.items() <= told.items()


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"", "application/json"),
        (b"", "text/plain"),
        (b"<html><h1>404 Not Found</h1>", "text/html"),
        (b"<html>", "application/json"),
        (b"{}", "application/json"),
        (b'{"error":{}}', "application/json"),
        (b'{"error":null}', "application/json"),
        (b'{"detail":[{"loc":5,"msg":7}]}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"error":' * 900 + b"1" + b"}" * 900, "application/json"),
    ],
)
def test_without_a_message_for_people_the_status_is_told(tell, body, media):
    told = tell(sends(whole(body, "404 Not Found", Content_Type=media)))
    assert told["message"] == "the upstream answered with status 404 and no stream"


def test_plain_text_is_the_message(tell):
    answer = whole(b"no such model\n", "404 Not Found", Content_Type="text/plain; charset=utf-8")
    assert tell(sends(answer))["message"] == "no such model"


@pytest.mark.parametrize(
    "cut",
    [
        closes(head("404 Not Found", **JSON, Content_Length=100), BODY[:20]),
        closes(head("404 Not Found", **JSON, Transfer_Encoding="chunked"), chunk(BODY[:20])),
    ],
)
def test_a_refusal_that_is_cut_tells_its_status(tell, cut):
    assert "status 404" in tell(cut)["message"]


def test_the_seconds_of_retry_after_are_told(tell):
    assert tell(sends(whole(BODY, "429 Slow", Retry_After="7"))) == {**ERROR, "retry_after": 7}


def test_a_date_in_retry_after_is_told_in_seconds(tell):
    date = formatdate(time.time() + 100, usegmt=True)
    assert tell(sends(whole(BODY, "503 Busy", Retry_After=date)))["retry_after"] in range(60, 102)


@pytest.mark.parametrize("value", ["soon", "-1", "9" * 400, "Fri, 31 Dec 99999 23:59:59 GMT", ""])
def test_a_retry_after_that_says_nothing_is_left_out(tell, value):
    assert tell(sends(whole(BODY, "429 Slow", Retry_After=value))) == ERROR


def test_the_log_and_the_metrics_count_it_by_a_code_of_ours(server, upstream):
    code = "made-up-by-the-upstream"
    body = json.dumps({"error": {**ERROR, "code": code}}).encode()
    assert told_on_chat(server, upstream, sends(whole(body, "400 Bad")))["code"] == code
    fields = {"code": "upstream_error", "reason": ERROR["message"], "upstream_status": 400}
    wait_until(lambda: server.logged("stream ended", **fields))
    assert code not in Metrics(server).label_values("stream_errors_total", "code")
