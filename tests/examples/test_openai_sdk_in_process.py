"""The app in examples/openai-sdk with Flask's test client; the OpenAI that it asks sends what each test says."""

import importlib.util
import json
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_sluice.testing import StreamReader, open_stream, read_events
from tests.examples.openai_answers import (
    CHAT,
    CHAT_BEGINNING,
    CHAT_ERROR,
    DONE,
    ERROR,
    ONE_OF_TWO_CHOICES,
    REFUSAL,
    RESPONSE,
    RESPONSE_BEGINNING,
    RESPONSE_ERROR,
    last_response_event,
)
from tests.server.raw_upstream import (
    STREAM_HEAD,
    RawUpstream,
    breaks_off,
    chunk,
    sends,
    streams,
    whole,
)
from tests.support.odd_answers import ODD_CHUNKS
from tests.support.server import ROOT, wait_until

CHAT_PATH, RESPONSES_PATH = "/v1/chat/completions", "/v1/responses"
ASKED = {
    CHAT_PATH: {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}], "stream": True},
    RESPONSES_PATH: {"model": "gpt-5", "input": "Hi", "stream": True},
}
BEGINNINGS = {CHAT_PATH: CHAT_BEGINNING, RESPONSES_PATH: RESPONSE_BEGINNING}
both_routes = pytest.mark.parametrize("path", ASKED)


@pytest.fixture(scope="module")
def app(raw_upstream: RawUpstream) -> Iterator[Flask]:
    file = ROOT / "examples/openai-sdk/app.py"
    spec = importlib.util.spec_from_file_location("openai_sdk_example", file)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", raw_upstream.url)
        patch.setenv("OPENAI_API_KEY", "a key for tests")
        spec.loader.exec_module(module)
    module.app.testing = True
    with module.client:
        yield module.app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def read(client: FlaskClient, path: str, **arguments: object) -> StreamReader:
    return read_events(client, path, method="POST", json=ASKED[path], **arguments)


def as_events(framed: tuple[bytes, ...]) -> list[tuple[str, object]]:
    """The types and the data of these events."""
    events = []
    for text in framed:
        *named, data = text.decode().strip().split("\n")
        kind = named[0].removeprefix("event: ") if named else "message"
        data = data.removeprefix("data: ")
        events.append((kind, data if data == "[DONE]" else json.loads(data)))
    return events


def seen(stream: StreamReader) -> list[tuple[str, object]]:
    return [
        (event.event, event.data if event.data == "[DONE]" else event.json())
        for event in stream.events
    ]


@pytest.mark.parametrize(
    ("path", "answer"), [(CHAT_PATH, CHAT), (RESPONSES_PATH, RESPONSE)], ids=["chat", "responses"]
)
def test_all_events_are_passed_on_with_all_of_their_fields(client, upstream, path, answer):
    upstream.handler = streams(*answer)
    stream = read(client, path)
    assert seen(stream) == as_events(answer)
    assert stream.outcome == "complete"


@both_routes
def test_an_event_is_passed_on_before_the_next_one_is_there(client, upstream, path):
    first = BEGINNINGS[path][0]
    upstream.handler = sends(STREAM_HEAD, chunk(first))
    with open_stream(client, path, method="POST", json=ASKED[path]) as stream:
        next(stream)
    assert seen(stream) == as_events((first,))


@both_routes
def test_all_fields_of_the_request_are_passed_on_as_its_body_and_none_as_a_header(
    client, upstream, path
):
    upstream.handler = sends(whole(json.dumps(REFUSAL).encode(), "429 Too Many Requests"))
    fields = {"temperature": 0.5, "a_new_field": [1], "extra_headers": {"X-Forged": "1"}}
    client.post(path, json={**ASKED[path], **fields})
    head, _, body = upstream.requests[0].partition(b"\r\n\r\n")
    assert json.loads(body) == {**ASKED[path], **fields}
    assert b"X-Forged" not in head


def test_a_chat_with_a_choice_that_is_not_finished_is_no_whole_answer(client, upstream):
    upstream.handler = streams(*ONE_OF_TWO_CHOICES, DONE)
    stream = read(client, CHAT_PATH)
    assert stream.outcome == "error"
    assert stream.events[-1].json()["error"]["code"] == "upstream_truncated"


def test_chunks_of_servers_that_differ_are_passed_on(client, upstream):
    upstream.handler = streams(*ODD_CHUNKS, DONE)
    stream = read(client, CHAT_PATH)
    assert seen(stream) == as_events((*ODD_CHUNKS, DONE))


@both_routes
def test_an_answer_that_ends_before_its_last_event_is_told_as_an_error(client, upstream, path):
    upstream.handler = streams(*BEGINNINGS[path])
    stream = read(client, path)
    assert seen(stream)[:-1] == as_events(BEGINNINGS[path])
    assert stream.outcome == "error"
    assert stream.events[-1].json()["error"]["code"] == "upstream_truncated"


@both_routes
def test_an_event_that_is_not_json_is_told_as_an_error(client, upstream, path):
    upstream.handler = streams(*BEGINNINGS[path], b"data: {\n\n")
    stream = read(client, path)
    assert seen(stream)[:-1] == as_events(BEGINNINGS[path])
    assert stream.events[-1].json()["error"]["code"] == "upstream_error"


@both_routes
def test_an_error_that_is_text_alone_is_told(client, upstream, path):
    upstream.handler = streams(*BEGINNINGS[path], b'data: {"error":"Out of memory."}\n\n')
    stream = read(client, path)
    assert stream.events[-1].json()["error"]["message"] == "Out of memory."


@both_routes
def test_a_failure_of_the_app_itself_is_told_without_its_text(client, upstream, path, monkeypatch):
    upstream.handler = streams(*BEGINNINGS[path])
    texts = ["{}"]
    monkeypatch.setattr("openai.BaseModel.to_json", lambda *_, **__: texts.pop())
    stream = read(client, path)
    assert stream.events[-1].json()["error"]["code"] == "internal_error"
    assert "pop from empty list" not in stream.text


@both_routes
def test_a_connection_that_breaks_is_told_as_an_error(client, upstream, path):
    upstream.handler = breaks_off(*BEGINNINGS[path])
    stream = read(client, path)
    assert seen(stream)[:-1] == as_events(BEGINNINGS[path])
    assert stream.outcome == "error"
    assert stream.events[-1].json()["error"]["code"] == "upstream_error"


def test_an_error_in_the_middle_of_a_chat_is_told_as_it_came(client, upstream):
    upstream.handler = streams(*CHAT_BEGINNING, CHAT_ERROR)
    stream = read(client, CHAT_PATH)
    assert seen(stream) == [*as_events(CHAT_BEGINNING), ("message", {"error": ERROR})]
    assert stream.outcome == "error"


def test_an_error_in_the_middle_of_a_response_has_its_number(client, upstream):
    upstream.handler = streams(*RESPONSE_BEGINNING, RESPONSE_ERROR)
    stream = read(client, RESPONSES_PATH)
    told = {"type": "error", "code": "oom", "message": "Out of memory.", "param": None}
    number = {"sequence_number": len(RESPONSE_BEGINNING)}
    assert seen(stream)[-1] == ("error", {**told, **number, "error": ERROR})
    assert stream.outcome == "error"


@pytest.mark.parametrize(
    "kind", ["response.completed", "response.failed", "response.incomplete", "error"]
)
def test_a_response_is_over_with_its_last_event_though_the_connection_stays_open(
    client, upstream, kind
):
    last = last_response_event(kind)
    upstream.handler = sends(STREAM_HEAD, *map(chunk, (*RESPONSE_BEGINNING, last)))
    stream = read(client, RESPONSES_PATH)
    assert seen(stream) == as_events((*RESPONSE_BEGINNING, last))
    assert stream.outcome == "complete"


@both_routes
def test_a_refusal_has_openais_status_and_error_and_says_when_to_come_again(client, upstream, path):
    body = json.dumps(REFUSAL).encode()
    upstream.handler = sends(whole(body, "429 Too Many Requests", Retry_After=7, Set_Cookie="a=b"))
    response = client.post(path, json=ASKED[path])
    assert (response.status_code, response.json) == (429, REFUSAL)
    assert response.headers["Retry-After"] == "7"
    assert "Set-Cookie" not in response.headers
    assert len(upstream.requests) == 1


@both_routes
def test_an_error_that_comes_first_in_a_stream_is_a_refusal(client, upstream, path):
    upstream.handler = streams(CHAT_ERROR)
    response = client.post(path, json=ASKED[path])
    assert (response.status_code, response.json) == (502, {"error": ERROR})


@both_routes
def test_a_stream_without_events_is_a_refusal(client, upstream, path):
    upstream.handler = streams()
    response = client.post(path, json=ASKED[path])
    assert response.status_code == 502
    assert response.json["error"]["code"] == "upstream_truncated"


@both_routes
def test_an_openai_that_hangs_up_is_a_bad_gateway(client, upstream, path):
    upstream.handler = lambda sock, request: sock.close()
    response = client.post(path, json=ASKED[path])
    assert response.status_code == 502
    assert response.json["error"]["code"] == "upstream_error"


@both_routes
@pytest.mark.parametrize("body", [{"stream": False}, {}, [], "Hi"])
def test_a_request_that_asks_for_no_stream_is_refused(client, path, body):
    response = client.post(path, json=body)
    assert (response.status_code, response.json["error"]["code"]) == (400, "invalid_request")


@both_routes
def test_a_reader_that_leaves_ends_the_connection_though_nothing_comes(client, upstream, path):
    upstream.handler = sends(STREAM_HEAD, *map(chunk, BEGINNINGS[path]))
    stream = read(client, path, leave_after=len(BEGINNINGS[path]))
    assert stream.outcome == "left"
    wait_until(lambda: upstream.connections[0].closed_at is not None)
