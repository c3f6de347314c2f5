"""The shapes in which upstreams end their streams, and tell their errors."""

import json
import re
import time

import pytest

from flask_sluice.sse import EventParser
from tests.server.raw_upstream import STREAM_HEAD, RawUpstream, chunk, sends, streams
from tests.server.relayed import DONE, HELLO, STOP, in_stream_error, logged_end
from tests.server.test_relay_endings import CUT, exchange, plays
from tests.support.server import Server
from tests.support.stream import ask, chat, get, post

CHAT = "/v1/chat/completions"


def event(data, name=None):
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


def choice(index=0, finish_reason=None, **fields):
    return {"index": index, "delta": {"content": "a"}, "finish_reason": finish_reason, **fields}


def choices(*them, **fields):
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [*them], **fields})


def response(type_, **fields):
    return event({"type": f"response.{type_}", **fields}, f"response.{type_}")


A, END = choices(choice()), choices(choice(finish_reason="stop"))
USAGE = choices(usage={"total_tokens": 3})
CREATED = response("created", response={"error": None}, sequence_number=0)
DELTA = response("output_text.delta", delta="a", sequence_number=1)
MESSAGE_START = event({"type": "message_start", "message": {}}, "message_start")
MESSAGE_DELTA = event({"type": "content_block_delta", "delta": {}}, "content_block_delta")
MESSAGE_STOP = event({"type": "message_stop"}, "message_stop")

# Path, pieces, further fields of the request.
WHOLE = {
    "n-2-without-done": (CHAT, [choices(choice(0, "stop")), choices(choice(1, "stop"))], {"n": 2}),
    "n-2-in-one-chunk": (CHAT, [A, choices(choice(0, "stop"), choice(1, "length"))], {"n": 2}),
    "each-of-two-prompts": (
        "/v1/completions",
        [choices(choice(0, "stop")), choices(choice(1, "stop"))],
        {"prompt": ["a", "b"]},
    ),
    "one-prompt-of-tokens": ("/v1/completions", [choices(choice(0, "stop"))], {"prompt": [1, 2]}),
    "done-though-a-choice-is-missing": (CHAT, [A, END, "data: [DONE]\n\n"], {"n": 2}),
    "usage-before-and-behind": (CHAT, [USAGE, A, END, USAGE, ": x\n\n", USAGE, USAGE, USAGE], {}),
    "choices-null": (
        CHAT,
        [A, END, event({"object": "chat.completion.chunk", "choices": None})],
        {},
    ),
    "crlf": (CHAT, [A.replace("\n", "\r\n"), "data: [DONE]\r\n\r\n"], {}),
    "cr": (CHAT, [A.replace("\n", "\r"), END.replace("\n", "\r")], {}),
    "several-data-lines": (CHAT, ['data: {"choices":\ndata: [{"finish_reason":"stop"}]}\n\n'], {}),
    "done-with-one-line-end": (CHAT, [A, "data: [DONE]\n"], {}),
    "done-and-a-comment": (CHAT, [A, "data: [DONE]\n\n: bye\n\n"], {}),
    "done-and-a-broken-connection": (CHAT, [A, "data: [DONE]", CUT], {}),
    "chunk-without-blank-line": (CHAT, [A, END.rstrip("\n")], {}),
    "comment-without-blank-line": (CHAT, [A, END, ": bye\n"], {}),
    "error-null": (
        CHAT,
        [choices(choice(), error=None), choices(choice(0, "stop"), error=None)],
        {},
    ),
    "error-in-content": (CHAT, [choices(choice(delta={"content": '{"error": "x"}'})), END], {}),
    "the-token-error": (CHAT, [choices(choice(delta={"content": "error"})), END], {}),
    "finish-reason-in-content": (
        CHAT,
        [choices(choice(delta={"content": '"finish_reason":null'})), END],
        {},
    ),
    "no-index-and-no-null": (CHAT, [event({"choices": [{"delta": {}}]}), END], {}),
    "compact-and-spaced": (CHAT, [HELLO.decode(), A, STOP.decode()], {}),
    "byte-order-mark": (CHAT, ["\ufeff" + END], {}),
    "responses-incomplete": ("/v1/responses", [CREATED, DELTA, response("incomplete")], {}),
    "responses-and-done": (
        "/v1/responses",
        [CREATED, response("completed"), "data: [DONE]\n\n"],
        {},
    ),
    "responses-a-failed-tool": (
        "/v1/responses",
        [CREATED, response("mcp_call.failed"), response("completed")],
        {},
    ),
    "responses-completed-and-broken": ("/v1/responses", [CREATED, response("completed"), CUT], {}),
    "message-stop-without-blank-line": (
        "/v1/messages",
        [MESSAGE_START, MESSAGE_STOP.rstrip("\n")],
        {},
    ),
    "message-stop-and-a-ping": (
        "/v1/messages",
        [MESSAGE_START, MESSAGE_STOP + event({"type": "ping"}, "ping")],
        {},
    ),
    "speech": ("/v1/audio/speech", [event({"type": "speech.audio.done"})], {}),
    "transcript": ("/v1/audio/transcriptions", [event({"type": "transcript.text.done"})], {}),
    "image": (
        "/v1/images/generations",
        [
            event({"type": "image_generation.partial_image"}, "image_generation.partial_image"),
            event({"type": "image_generation.completed"}, "image_generation.completed"),
        ],
        {},
    ),
    "unknown-events": ("/v1/other", [event("a"), event({"type": "x.y"}, "x.y")], {}),
}

HALF = {
    "n-2-and-one-seen": (CHAT, [A, END], {"n": 2}),
    "a-choice-that-was-not-asked-for": (CHAT, [A, choices(choice(1)), END], {}),
    "finish-of-one-in-a-chunk-of-two": (
        CHAT,
        [choices(choice(0, "stop"), choice(1)), choices(choice(1))],
        {"n": 2},
    ),
    "one-of-two-prompts": ("/v1/completions", [A, END], {"prompt": ["a", "b"]}),
    "trailing-slash": (CHAT + "/", [A, A], {}),
    "engines": ("/v1/engines/x/completions", [A], {}),
    "deployments": ("/v1/openai/deployments/x/chat/completions", [A], {}),
    "a-finish-reason-in-content": (
        CHAT,
        [choices(choice(delta={"content": '"finish_reason":"stop"'}))],
        {},
    ),
    "finish-reason-empty": (CHAT, [A, choices(choice(0, ""))], {}),
    "finish-reason-and-broken": (CHAT, [A, END, CUT], {}),
    "responses": ("/v1/responses", [CREATED, DELTA], {}),
    "responses-elsewhere": ("/v1/x/responses/", [CREATED, DELTA], {}),
    "responses-half-a-name": ("/v1/responses", [CREATED, "event: response.compl"], {}),
    "messages": ("/v1/messages", [MESSAGE_START, MESSAGE_DELTA], {}),
    "speech": ("/v1/audio/speech", [event({"type": "speech.audio.delta"})], {}),
    "transcript": ("/v1/audio/transcriptions", [event({"type": "transcript.text.delta"})], {}),
    "image": ("/v1/images/generations", [event({"type": "image_generation.partial_image"})], {}),
    "messages-unknown": ("/v1/messages", [event({"type": "x"}, "x")], {}),
    "comments-behind": (CHAT, [A, ": a\n\n", ": b\n\n"], {}),
}

ERROR = {"message": "boom", "type": "server_error", "code": 500}
ERRORS = {
    "object": event({"error": ERROR}),
    "text": event({"error": "boom"}),
    "anthropic": event(
        {"type": "error", "error": {"type": "api_error", "message": "boom"}}, "error"
    ),
    "named-text": event("boom", "error"),
    "named-object": event({"message": "boom"}, "error"),
    "field": f"error: {json.dumps(ERROR)}\n\n",
    "bare": f"{json.dumps({'error': ERROR})}\n\n",
    "bare-in-many-lines": f"{json.dumps({'error': ERROR}, indent=2)}\n\n",
    "vllm-before": event({"object": "error", "message": "boom", "code": 500}),
    "fastapi": event({"detail": "boom"}),
    "code-and-message": event({"code": 500, "message": "boom"}),
    "text-generation-inference": event({"error": "boom", "error_type": "generation"}),
    "in-a-choice": choices(choice(0, "error", error={"message": "boom"})),
    "beside-choices": choices(choice(0, "error"), error={"message": "boom"}),
    "response-error": event({"type": "error", "code": "x", "message": "boom"}, "error"),
    "response-failed": response("failed", response={"error": {"message": "boom"}}),
    "crlf": event({"error": ERROR}).replace("\n", "\r\n"),
    "behind-a-comment": ": x\n\n: y\n\n" + event({"error": ERROR}),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_that_said_all_is_complete(relay, upstream, name):
    path, pieces, fields = WHOLE[name]
    status, body, line = exchange(relay, upstream, pieces, path, **fields)
    assert (status, line["outcome"], line["code"]) == (200, "complete", None), body
    assert b"upstream_" not in body


@pytest.mark.parametrize("name", HALF)
def test_a_stream_that_lacks_its_end_is_told_truncated(relay, upstream, name):
    path, pieces, fields = HALF[name]
    status, body, line = exchange(relay, upstream, pieces, path, **fields)
    assert (status, line["outcome"], line["code"]) == (200, "error", "upstream_truncated"), body
    assert body.count(b'"code":"upstream_truncated"') >= 1
    assert b"[DONE]" not in body


def seen_by_clients(body: bytes) -> list[str]:
    """Return the data of the events that a client sees: neither a field ``error`` nor JSON without a field is one."""
    return [event.data for event in EventParser().feed(body)]


ENDS = {"at-once": [], "done": ["data: [DONE]\n\n"], "more": [A, END, DONE.decode()], "cut": [CUT]}


@pytest.mark.parametrize(
    ("name", "end"), [*((name, "done") for name in ERRORS), *(("object", end) for end in ENDS)]
)
def test_an_error_in_mid_stream_is_a_failure_with_the_upstreams_reason(relay, upstream, name, end):
    status, body, line = exchange(relay, upstream, [A, ERRORS[name], *ENDS[end]])
    assert (status, line["outcome"], line["code"]) == (200, "error", "upstream_error"), body
    assert "boom" in line["reason"]
    assert [each for each in seen_by_clients(body) if "boom" in each], body
    assert b"upstream_truncated" not in body
    assert body.startswith(A.encode())


@pytest.mark.parametrize("end", [[], [CUT]])
def test_an_error_without_a_line_end_is_read(relay, upstream, end):
    _, body, line = exchange(relay, upstream, [A, json.dumps({"error": ERROR}), *end])
    assert (line["outcome"], line["reason"]) == ("error", "upstream: boom")
    assert [each for each in seen_by_clients(body) if "boom" in each]


@pytest.mark.parametrize("name", ["field", "bare", "bare-in-many-lines"])
def test_an_error_that_clients_do_not_see_is_told_in_an_event_and_ends_the_stream(
    relay, upstream, name
):
    packet = A + ERRORS[name] + END + DONE.decode()
    _, body, line = exchange(relay, upstream, [packet])
    assert body.startswith(A.encode())
    (error,) = seen_by_clients(body)[1:]
    assert json.loads(error)["error"]["message"] == "boom"
    assert (line["outcome"], line["code"]) == ("error", "upstream_error")


def test_an_error_event_without_data_is_a_failure(relay, upstream):
    _, _, line = exchange(relay, upstream, [A, "event: error\n\n", "data: [DONE]\n\n"])
    assert (line["outcome"], line["code"]) == ("error", "upstream_error")


def test_finish_reason_error_alone_is_a_failure(relay, upstream):
    _, _, line = exchange(relay, upstream, [A, choices(choice(0, "error")), "data: [DONE]\n\n"])
    assert (line["outcome"], line["code"]) == ("error", "upstream_error")


def test_a_cancelled_response_is_a_failure(relay, upstream):
    pieces = [CREATED, response("cancelled", response={})]
    _, _, line = exchange(relay, upstream, pieces, "/v1/responses")
    assert (line["outcome"], line["code"]) == ("error", "upstream_error")


def test_an_error_and_done_in_one_packet_are_a_failure(relay, upstream):
    _, _, line = exchange(relay, upstream, [A, event({"error": ERROR}) + "data: [DONE]\n\n"])
    assert (line["outcome"], line["reason"]) == ("error", "upstream: boom")


# The first event.


NO_EVENTS = [": x\n\n", event({"type": "ping"}, "ping"), "retry: 9\n\n"]


@pytest.mark.parametrize(
    ("name", "before"), [*((name, "") for name in ERRORS), *(("field", no) for no in NO_EVENTS)]
)
def test_an_error_of_any_shape_as_the_first_event_becomes_a_status(relay, upstream, name, before):
    status, body, line = exchange(relay, upstream, [*filter(None, [before]), ERRORS[name]])
    assert status >= 500, body
    assert (line["outcome"], line["code"]) == ("error", "upstream_error")
    assert b"boom" in body
    assert json.loads(body)
    assert "boom" in line["reason"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"error": {"message": "x", "code": "rate_limit_exceeded"}}, 429),
        ({"error": {"message": "x", "type": "BadRequestError", "code": 400}}, 400),
        ({"error": "x", "status_code": 429}, 429),
        ({"object": "error", "message": "x", "code": 404}, 404),
        ({"error": {"message": "x", "http_status": 7, "code": "whatever"}}, 502),
    ],
)
def test_the_status_is_the_one_that_the_error_names(relay, upstream, error, status):
    assert exchange(relay, upstream, [event(error)])[0] == status


@pytest.mark.parametrize("code", [503, 529])
def test_the_next_upstream_is_asked_where_the_first_event_says_so(upstream, code):
    busy = event({"error": {"message": "busy", "code": code}}).encode()
    upstream.handler = streams(b": PROCESSING\n\n", busy)
    with (
        RawUpstream(streams(HELLO, STOP, DONE)) as other,
        Server(upstream=f"{upstream.url},{other.url}") as server,
    ):
        for _ in range(2):
            answer, body = ask(server, post(CHAT, chat()))
            assert (answer.status, body) == (200, HELLO + STOP + DONE)
            line = logged_end(server, answer.headers["x-request-id"])
            assert (line["outcome"], line["reason"]) == ("complete", None)
        _, metrics = ask(server, get("/metrics"))
    assert re.search(rb'sluice_upstream_errors_total{[^}]*"%d"[^}]*} 1' % code, metrics)


def test_an_upstream_that_tells_503_in_its_first_event_is_not_well(upstream):
    upstream.handler = streams(event({"error": {"message": "busy", "code": 503}}).encode())
    with Server(upstream=upstream.url) as server:
        for _ in range(3):
            assert ask(server, post(CHAT, chat()))[0].status == 503
        readyz, _ = ask(server, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert readyz.status == 503


def endless_comments(first):
    def handler(sock, request):
        sock.sendall(STREAM_HEAD + first)
        while True:  # Until the connection is closed.
            sock.sendall(chunk(b": PROCESSING\n\n"))
            time.sleep(0.05)

    return handler


@pytest.fixture(scope="module")
def impatient(raw_upstream):
    timeouts = {"first_event_timeout_seconds": 1, "idle_timeout_seconds": 1}
    with Server(upstream=raw_upstream.url, **timeouts) as server:
        yield server


def test_comments_are_not_the_first_event(impatient, upstream):
    upstream.handler = endless_comments(b"")
    answer, body = ask(impatient, post(CHAT, chat()))
    assert (answer.status, json.loads(body)["error"]["code"]) == (504, "upstream_timeout")


@pytest.mark.slow
def test_comments_do_not_put_the_idle_limit_off(impatient, upstream):
    upstream.handler = endless_comments(chunk(HELLO))
    _, body = ask(impatient, post(CHAT, chat()))
    before, code = in_stream_error(body)
    assert code == "upstream_timeout"
    assert before.startswith(HELLO)


def test_comments_before_the_first_event_come_with_it(relay, upstream):
    upstream.handler = streams(b": a\n\n", HELLO, STOP, DONE)
    assert ask(relay, post(CHAT, chat()))[1] == b": a\n\n" + HELLO + STOP + DONE


def test_comments_alone_are_an_answer_without_an_event(relay, upstream):
    status, _, line = exchange(relay, upstream, [": a\n\n", ": b\n\n"])
    assert (status, line["code"]) == (502, "upstream_truncated")


# An upstream that keeps the connection open.


@pytest.mark.parametrize("done", [DONE, b"data: [DONE]", b"data:[DONE]\n"])
@pytest.mark.parametrize("path", [CHAT, CHAT + "/", "/v1/other"])
def test_done_ends_the_stream_at_once(relay, upstream, done, path):
    upstream.handler = sends(STREAM_HEAD, chunk(HELLO), chunk(done))
    answer, body = ask(relay, post(path, chat()))
    assert body.startswith(HELLO)
    assert body.endswith(b"[DONE]\n\n")
    assert logged_end(relay, answer.headers["x-request-id"])["outcome"] == "complete"


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [([MESSAGE_START, MESSAGE_STOP], "complete"), ([A, event({"error": "boom"})], "error")],
)
def test_a_lingering_upstream_adds_no_error_to_what_has_its_end(
    impatient, upstream, pieces, outcome
):
    upstream.handler = sends(STREAM_HEAD, *(chunk(piece.encode()) for piece in pieces))
    answer, body = ask(impatient, post("/v1/messages", chat()))
    assert body == "".join(pieces).encode()
    assert logged_end(impatient, answer.headers["x-request-id"])["outcome"] == outcome


# The errors that the gateway adds.


def test_a_refusal_on_the_messages_route_is_of_anthropics_shape(relay, upstream):
    upstream.handler = sends(b"SSH-2.0\r\n")
    answer, body = ask(relay, post("/v1/messages", chat()))
    error = json.loads(body)
    assert (answer.status, error["type"], error["error"]["type"]) == (502, "error", "api_error")
    assert error["error"]["code"] == "upstream_invalid"


def last_event(body):
    lines = body.rstrip(b"\n").rpartition(b"\n\n")[2].split(b"\n")
    fields = dict(line.split(b": ", 1) for line in lines)
    return fields.get(b"event"), json.loads(fields[b"data"])


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/other"])
def test_an_error_in_responses_is_a_response_error_event(relay, upstream, path):
    name, data = last_event(exchange(relay, upstream, [CREATED, DELTA], path)[1])
    assert name == b"error"
    assert data["type"] == "error"
    assert data["sequence_number"] == 2
    assert (data["code"], data["param"]) == ("upstream_truncated", None)
    assert data["message"] == data["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/other"])
def test_an_error_in_messages_is_of_anthropics_shape(relay, upstream, path):
    name, data = last_event(exchange(relay, upstream, [MESSAGE_START], path)[1])
    assert (name, data["type"]) == (b"error", "error")
    assert data["error"]["type"] == "api_error"
    assert data["error"]["message"]


def test_an_error_in_chunks_on_any_path_is_openais(relay, upstream):
    name, data = last_event(exchange(relay, upstream, [A], "/v1/other")[1])
    assert name is None
    assert set(data) == {"error"}


@pytest.mark.slow
def test_before_the_first_event_the_route_decides_the_shape(upstream):
    with Server(
        upstream=upstream.url, commit_seconds=0.05, first_event_timeout_seconds=0.5
    ) as server:
        for path, field in [("/v1/responses", "sequence_number"), ("/v1/messages", "error")]:
            name, data = last_event(ask(server, post(path, chat()))[1])
            assert (name, data["type"]) == (b"error", "error")
            assert field in data


# Resumable streams.


def kept_stream(relay, upstream, pieces, **fields):
    """Return what a reader of a resumable stream gets."""
    upstream.handler = plays(pieces)
    _, created = ask(relay, post("/v1/streams", chat(**fields)))
    url = json.loads(created)["url"]
    return ask(relay, f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())[1]


@pytest.mark.parametrize("behind", [[], [USAGE, ": x\n\n", USAGE, ": y\n\n", USAGE, USAGE]])
def test_a_kept_stream_is_whole_with_a_finish_reason_and_no_done(relay, upstream, behind):
    body = kept_stream(relay, upstream, [A, END, *behind])
    name, data = last_event(body)
    assert name == b"done"
    assert data == {"finish_reason": "stop", "usage": {"total_tokens": 3} if behind else None}


def test_a_kept_stream_with_a_choice_that_is_cut_is_not_whole(relay, upstream):
    body = kept_stream(relay, upstream, [A, END], n=2)
    assert b"event: error\n" in body
    assert b'"code":"upstream_truncated"' in body


@pytest.mark.parametrize("name", ERRORS)
def test_a_kept_stream_tells_the_upstreams_reason(relay, upstream, name):
    body = kept_stream(relay, upstream, [A, ERRORS[name]])
    assert b"event: error\n" in body
    assert b"boom" in body
    assert b'"code":"upstream_error"' in body


@pytest.mark.slow
def test_comments_do_not_put_the_idle_limit_of_a_kept_stream_off(impatient, upstream):
    upstream.handler = endless_comments(chunk(HELLO))
    _, created = ask(impatient, post("/v1/streams", chat()))
    url = json.loads(created)["url"]
    _, body = ask(impatient, f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert b'"code":"upstream_timeout"' in body
