"""Anthropic's Messages over HTTP: headers, refusals, keys, pings, models."""

import json
from collections.abc import Iterator

import pytest

from tests.support.messages import body, user
from tests.support.server import Server
from tests.support.stream import Response, ask, get, post

PATH = "/v1/messages"
VERSION = {"Anthropic_Version": "2023-06-01"}
QUICK = {"itl_ms": 0, "text": "Well."}
KEY, OTHER_KEY = "key-0123456789abcdef", "other-key-0123456789"
LIMIT = 30


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server with a key, two models, a rate limit, and little patience with silence."""
    with Server(
        api_keys=f"{KEY},{OTHER_KEY}",
        models="claude-a,claude-b,claude-c",
        rate_limit=f"{LIMIT}/day",
        keepalive_seconds=0.2,
    ) as server:
        yield server


def test_a_message_names_its_request_as_anthropic_does(sluice):
    for stream in (True, False):
        request = post(PATH, body(stream=stream, simulator=QUICK), X_Request_Id="abc")
        response, _ = ask(sluice, request)
        assert (response.headers["request-id"], response.headers["x-request-id"]) == (
            "req_abc",
            "abc",
        )


def test_a_message_is_json_or_an_event_stream(sluice):
    response, whole = ask(sluice, post(PATH, body(simulator=QUICK)))
    assert response.headers["content-type"] == "application/json"
    assert json.loads(whole)["content"] == [{"type": "text", "text": "Well."}]
    response, events = ask(sluice, post(PATH, body(stream=True, simulator=QUICK)))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert events.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (b"{", "The request body is not valid JSON: Input data was truncated"),
        ([], "Input should be an object"),
        ({}, "model: Field required"),
        ({"model": 7}, "model: Input should be a valid string"),
        ({"model": "m", "messages": []}, "max_tokens: Field required"),
        ({"model": "m", "messages": "x"}, "messages: Input should be a valid array"),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        (
            {"model": "m", "messages": [user(None)]},
            "messages.0.content: Input should be a valid array",
        ),
        (
            {"model": "m", "messages": [user([7])]},
            "messages.0.content.0: Input should be an object",
        ),
        ({"model": "m", "messages": [user([{}])]}, "messages.0.content.0.type: Field required"),
        (
            {"model": "m", "messages": [user([{"type": "text", "text": 7}])]},
            "messages.0.content.0.text.text: Input should be a valid string",
        ),
        (body(max_tokens="9"), "max_tokens: Input should be a valid integer"),
        (body(temperature="hot"), "temperature: Input should be a valid number"),
        (body(temperature=None), "temperature: Input should be a valid number"),
        (body(stream="yes"), "stream: Input should be a valid boolean"),
        (body(stop_sequences="x"), "stop_sequences: Input should be a valid array"),
        (body(stop_sequences=[1]), "stop_sequences.0: Input should be a valid string"),
        (body(tool_choice="auto"), "tool_choice: Input should be an object"),
        (body(tools=[{"name": 7}]), "tools.0.custom.name: Input should be a valid string"),
        (body(system=7), "system: Input should be a valid array"),
        (
            body(thinking={"type": "enabled", "budget_tokens": "x"}),
            "thinking.enabled.budget_tokens: Input should be a valid integer",
        ),
        (body(metadata={"user_id": 7}), "metadata.user_id: Input should be a valid string"),
        (body(simulator={"itl_ms": -1}), "simulator.itl_ms: Expected `float` >= 0.0"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_in_anthropics_form(sluice, given, text):
    response, refusal = ask(sluice, post(PATH, given))
    assert response.status == 400
    assert json.loads(refusal) == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": text},
        "request_id": response.headers["request-id"],
    }


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_a_status_has_anthropics_type_of_error(sluice, status, type_):
    fault = {"kind": "status", "status": status, "retry_after": 7}
    for path in (PATH, f"{PATH}/count_tokens"):
        response, refusal = ask(sluice, post(path, body(simulator={"fault": fault})))
        assert (response.status, response.headers["retry-after"]) == (status, "7")
        assert json.loads(refusal)["error"]["type"] == type_


def test_an_unknown_field_and_a_beta_are_accepted(sluice):
    request = post(
        f"{PATH}?beta=true", body(simulator=QUICK, new_field={}), Anthropic_Beta="x-2026-01-01"
    )
    assert ask(sluice, request)[0].status == 200


def test_tokens_are_counted_without_a_limit_for_the_answer(sluice):
    asked = {"model": "m", "messages": [user("One two three.")]}
    response, count = ask(sluice, post(f"{PATH}/count_tokens", asked))
    assert (response.status, json.loads(count)) == (200, {"input_tokens": 4})


@pytest.mark.parametrize("path", [f"{PATH}/batches", f"{PATH}/batches/x/results"])
def test_batches_are_not_there(sluice, path):
    response, refusal = ask(sluice, post(path, {"requests": []}))
    error = json.loads(refusal)["error"]
    assert (response.status, error["type"]) == (404, "not_found_error")
    assert error["message"] == f"there is no {path} here"


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"X_Api_Key": KEY}, 200), ({"Authorization": f"Bearer {KEY}"}, 200), ({}, 401)],
)
def test_a_key_is_needed_as_for_all_routes(guarded, headers, status):
    request = post(PATH, body(model="claude-a", simulator=QUICK), **headers)
    response, answer = ask(guarded, request)
    assert response.status == status
    if status == 401:
        assert json.loads(answer)["error"]["type"] == "authentication_error"


def test_a_message_counts_for_the_rate_limit(guarded):
    request = post(PATH, body(model="claude-a", simulator=QUICK), X_Api_Key=OTHER_KEY)
    assert [ask(guarded, request)[0].status for _ in range(LIMIT)] == [200] * LIMIT
    response, refusal = ask(guarded, request)
    assert (response.status, "retry-after" in response.headers) == (429, True)
    assert json.loads(refusal)["error"]["type"] == "rate_limit_error"


def test_only_the_models_of_the_setting_answer(guarded):
    for path in (PATH, f"{PATH}/count_tokens"):
        request = post(path, body(model="claude-x"), X_Api_Key=KEY)
        response, refusal = ask(guarded, request)
        assert response.status == 404
        assert json.loads(refusal)["error"]["type"] == "not_found_error"


def test_a_body_that_is_too_large_is_refused_in_anthropics_form(sluice):
    response, refusal = ask(sluice, post(PATH, b'"' + b"x" * 4 * 1024 * 1024 + b'"'))
    assert response.status == 413
    assert json.loads(refusal)["error"]["type"] == "request_too_large"


def test_pings_come_while_the_model_reads_a_long_prompt(guarded):
    slow = body(model="claude-a", stream=True, simulator={"ttft_ms": 60_000})
    with guarded.connect() as sock:
        sock.sendall(post(PATH, slow, X_Api_Key=KEY))
        response = Response(sock)
        beginning = response.until(b"event: ping")
        silence = response.until(b'event: ping\ndata: {"type": "ping"}\n\n')
    assert beginning.startswith(b"event: message_start")
    assert b": keep-alive" not in beginning + silence


def models(server: Server, query: str = "") -> dict[str, object]:
    response, page = ask(server, get(f"/v1/models{query}", X_Api_Key=KEY, **VERSION))
    assert response.status == 200
    return json.loads(page)


def test_the_models_have_the_form_of_the_api_that_is_asked_for(guarded):
    page = models(guarded)
    assert [model["type"] for model in page["data"]] == ["model"] * 3
    assert (page["first_id"], page["last_id"]) == ("claude-a", "claude-c")
    assert page["has_more"] is False
    _, openais = ask(guarded, get("/v1/models", X_Api_Key=KEY))
    assert json.loads(openais)["object"] == "list"


@pytest.mark.parametrize(
    ("query", "names", "has_more"),
    [
        ("?limit=2", ["claude-a", "claude-b"], True),
        ("?limit=2&after_id=claude-b", ["claude-c"], False),
        ("?limit=1&before_id=claude-c", ["claude-b"], True),
        ("?before_id=claude-b", ["claude-a"], False),
        ("?after_id=claude-c", [], False),
    ],
)
def test_the_models_come_in_pages(guarded, query, names, has_more):
    page = models(guarded, query)
    assert [model["id"] for model in page["data"]] == names
    assert page["has_more"] is has_more


@pytest.mark.parametrize("limit", ["0", "x", "1001", "%D9%A3"])
def test_a_page_of_models_has_a_size(sluice, limit):
    response, refusal = ask(sluice, get(f"/v1/models?limit={limit}", **VERSION))
    assert (response.status, json.loads(refusal)["type"]) == (400, "error")


def test_a_model_is_described_in_anthropics_form(guarded):
    _, info = ask(guarded, get("/v1/models/claude-b", X_Api_Key=KEY, **VERSION))
    assert json.loads(info)["display_name"] == "claude-b"
    response, refusal = ask(guarded, get("/v1/models/other", X_Api_Key=KEY, **VERSION))
    assert response.status == 404
    assert json.loads(refusal)["error"]["type"] == "not_found_error"
