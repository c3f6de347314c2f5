"""The OpenAI routes as a program sees them: answers, headers, errors."""

import json

import pytest

from tests.support.server import Server
from tests.support.stream import Response, ask, chat, get, post

QUICK = {"itl_ms": 0, "tokens": 5}


def error_of(server: Server, request: bytes) -> tuple[int, dict]:
    response, body = ask(server, request)
    assert response.headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status, error


def test_a_stream_has_the_headers_that_keep_proxies_from_buffering(sluice):
    response, _ = ask(sluice, post("/v1/chat/completions", chat(simulator=QUICK)))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in response.headers
    assert "content-encoding" not in response.headers


def test_a_stream_is_nothing_but_data_lines(sluice):
    _, body = ask(sluice, post("/v1/chat/completions", chat(simulator=QUICK)))
    *events, end = body.split(b"\n\n")
    assert end == b""
    assert all(event.startswith(b"data: ") and b"\n" not in event for event in events)
    assert [event for event in events if event == b"data: [DONE]"] == events[-1:]


def test_an_answer_that_is_not_streamed_is_one_json_document(sluice):
    response, body = ask(sluice, post("/v1/chat/completions", chat(stream=False, simulator=QUICK)))
    assert response.headers["content-type"] == "application/json"
    assert json.loads(body)["usage"]["completion_tokens"] == 5


def test_a_stream_and_its_whole_say_the_same(sluice):
    _, body = ask(sluice, post("/v1/chat/completions", chat("Why?", simulator={"itl_ms": 0})))
    chunks = [json.loads(event[6:]) for event in body.split(b"\n\n")[:-2]]
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    _, body = ask(
        sluice, post("/v1/chat/completions", chat("Why?", stream=False, simulator={"itl_ms": 0}))
    )
    assert streamed == json.loads(body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("given", ["abc", "!" * 128])
def test_the_clients_request_id_is_sent_back(sluice, given):
    request = post("/v1/chat/completions", chat(simulator=QUICK), X_Request_Id=given)
    response, _ = ask(sluice, request)
    assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "é", "x" * 129])
def test_a_request_id_that_could_harm_a_log_is_replaced(sluice, given):
    request = post("/v1/chat/completions", chat(simulator=QUICK), X_Request_Id=given)
    response, _ = ask(sluice, request)
    assert len(response.headers["x-request-id"]) == 32


CHAT = "/v1/chat/completions"
RESULT = {"role": "tool", "tool_call_id": "a", "content": "of a call that was not made"}
ANSWERED = "messages[0].role"


@pytest.mark.parametrize(
    ("request_", "status", "code", "param"),
    [
        (post(CHAT, b"{"), 400, "invalid_json", None),
        (post(CHAT, b'{"x": ' + b"[" * 100_000), 400, "invalid_json", None),
        (post(CHAT, b'{"model": "\xff"}'), 400, "invalid_json", None),
        (post(CHAT, rb'{"model": "\ud800 alone"}'), 400, "invalid_json", None),
        (post(CHAT, b"[]"), 400, "invalid_request", None),
        (post(CHAT, b""), 400, "invalid_json", None),
        (post(CHAT, {"messages": [{"role": "user"}]}), 400, "invalid_request", "model"),
        (post(CHAT, {"model": "m"}), 400, "invalid_request", "messages"),
        (post(CHAT, {"model": "m", "messages": []}), 400, "empty_array", "messages"),
        (post(CHAT, {"model": 5, "messages": []}), 400, "invalid_request", "model"),
        (post(CHAT, chat(n=0)), 400, "integer_below_min_value", "n"),
        (
            post(CHAT, {"model": "m", "messages": [{"role": "user", "content": 1}]}),
            400,
            "invalid_request",
            "messages[0].content",
        ),
        (post(CHAT, chat(simulator={"ttft": 1})), 400, "invalid_request", "simulator.ttft"),
        (
            post(CHAT, chat(simulator={"fault": {"kind": "fire"}})),
            400,
            "invalid_request",
            "simulator.fault.kind",
        ),
        (
            post(CHAT, chat(simulator={"fault": {"kind": "cut", "status": 500}})),
            400,
            "invalid_request",
            "simulator.fault",
        ),
        (post("/v1/completions", {"model": "m"}), 400, "invalid_request", "prompt"),
        (post(CHAT, chat(stop=["a"] * 5)), 400, "array_above_max_length", "stop"),
        (post("/v1/streams", {**chat(), "messages": [RESULT]}), 400, "invalid_value", ANSWERED),
        (post(CHAT, {**chat(), "messages": [RESULT]}), 400, "invalid_value", ANSWERED),
        (post(CHAT, chat(n=100, simulator={"tokens": 2000})), 400, "invalid_request", None),
        (post(CHAT, {**chat(), "model": "m" * 300}), 400, "string_above_max_length", "model"),
        (post(CHAT, chat(), Content_Type="text/plain"), 415, "unsupported_media_type", None),
        (get(CHAT), 405, "method_not_allowed", None),
        (get("/v1/nothing"), 404, "not_found", None),
        (post("/v1/audio/speech", {}), 404, "not_found", None),
        (get("/nothing"), 404, "not_found", None),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(sluice, request_, status, code, param):
    got_status, error = error_of(sluice, request_)
    assert (got_status, error["code"], error["param"]) == (status, code, param)
    assert error["message"]


def test_405_names_the_methods_that_work(sluice):
    response, _ = ask(sluice, get(CHAT))
    assert "POST" in response.headers["allow"]


def test_options_names_the_methods_that_work(sluice):
    response, _ = ask(sluice, get(CHAT).replace(b"GET", b"OPTIONS", 1))
    assert response.status == 200
    assert set(response.headers["allow"].split(", ")) == {"OPTIONS", "POST"}


def test_a_body_over_the_limit_is_refused():
    with Server(max_body_bytes=1000) as server:
        status, error = error_of(server, post(CHAT, chat("x" * 2000)))
        assert (status, error["code"]) == (413, "body_too_large")


def test_over_the_limit_of_streams_is_503_with_retry_after():
    with Server(max_streams=1) as server, server.connect() as first:
        first.sendall(post(CHAT, chat(simulator={"itl_ms": 10, "tokens": 100_000})))
        assert Response(first).chunk()
        response, body = ask(server, post(CHAT, chat(simulator=QUICK)))
        assert response.status == 503
        assert int(response.headers["retry-after"]) >= 1
        assert json.loads(body)["error"]["code"] == "overloaded"
        response, _ = ask(server, get("/healthz"))
        assert response.status == 200


def test_only_the_configured_models_are_accepted():
    with Server(models="a, b/c") as server:
        status, error = error_of(server, post(CHAT, chat()))
        assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
        _, body = ask(server, get("/v1/models"))
        assert [model["id"] for model in json.loads(body)["data"]] == ["a", "b/c"]
        _, body = ask(server, get("/v1/models/b/c"))
        assert json.loads(body)["id"] == "b/c"
        assert error_of(server, get("/v1/models/d"))[0] == 404


def test_health_answers_like_healthz_and_needs_no_key():
    with Server(api_keys="a-key-of-16-chars") as server:
        bodies = [ask(server, get(path)) for path in ("/health", "/healthz")]
        assert [response.status for response, _ in bodies] == [200, 200]
        assert bodies[0][1] == bodies[1][1]
