"""What Sluice passes on from llama.cpp's server is what that server sends, and a client's leaving frees its slot."""

import json
import re

import pytest

from tests.engine.engine import KEY, Engine
from tests.server.relayed import logged_end
from tests.support.server import Server, wait_until
from tests.support.stream import Connects, Response, get, post, reset

CHAT = "/v1/chat/completions"
ENDLESS = 15_000
"""More tokens than the engine makes while a test looks at it."""
# What the engine makes anew for every answer: ids, times and how long it took.
CHANGING = re.compile(
    rb'"(id|item_id|call_id)":"[^"]*"|"(created|created_at|completed_at)":\d+|"timings":\{[^}]*\}'
)
FUNCTION = {
    "name": "paint",
    "parameters": {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
        "required": ["colour"],
        "additionalProperties": False,
    },
}
TOOL = {
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": "required",
    # The token that begins a call, and the one that ends the answer as soon as the call is whole.
    "logit_bias": [["<tool_call>\n", 50], [2, 100]],
    "max_tokens": 200,
}


def chat(content: str = "hi", **fields: object) -> dict[str, object]:
    messages = [{"role": "user", "content": content}]
    return {"messages": messages, "max_tokens": 12, "temperature": 0, **fields}


REQUESTS = {
    "chat": (CHAT, chat()),
    "streamed chat": (CHAT, chat(stream=True)),
    "streamed chat with usage": (CHAT, chat(stream=True, stream_options={"include_usage": True})),
    "tool call": (CHAT, chat(**TOOL)),
    "streamed tool call": (CHAT, chat(**TOOL, stream=True)),
    "completion": ("/v1/completions", {"prompt": "hi", "max_tokens": 12, "temperature": 0}),
    "streamed completion": (
        "/v1/completions",
        {"prompt": "hi", "max_tokens": 12, "temperature": 0, "stream": True},
    ),
    "embedding": ("/v1/embeddings", {"input": "hello", "model": "tiny"}),
    "response": ("/v1/responses", {"input": "hi", "max_output_tokens": 12, "temperature": 0}),
    "streamed response": (
        "/v1/responses",
        {"input": "hi", "max_output_tokens": 12, "temperature": 0, "stream": True},
    ),
    "message": ("/v1/messages", chat()),
    "streamed message": ("/v1/messages", chat(stream=True)),
}
REFUSALS = {
    "context too long": (CHAT, chat("x" * 40_000, stream=True), 400),
    "messages of a wrong type": (CHAT, {"messages": "hi"}, 400),
    "unknown path": ("/v1/nothing", {}, 404),
}


def ask(server: Connects, request: bytes) -> tuple[int, str, bytes]:
    """Return status, content type without parameters, and body."""
    with server.connect() as sock:
        sock.sendall(request)
        response = Response(sock)
        content_type = response.headers["content-type"].partition(";")[0]
        return response.status, content_type, response.body()


def comparable(answer: tuple[int, str, bytes]) -> tuple[int, str, bytes]:
    """Leave out what the engine makes anew for every answer."""
    status, content_type, body = answer
    return status, content_type, CHANGING.sub(b"", body)


def with_key(path: str, body: object, key: str = KEY, **headers: str) -> bytes:
    return post(path, body, Authorization=f"Bearer {key}", **headers)


@pytest.mark.parametrize(("path", "body"), REQUESTS.values(), ids=REQUESTS)
def test_an_answer_is_the_engines_own_byte_for_byte(engine, engine_relay, path, body):
    direct = comparable(ask(engine, with_key(path, body)))
    assert direct[0] == 200
    assert comparable(ask(engine_relay, with_key(path, body))) == direct


@pytest.mark.parametrize(("path", "body", "status"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_the_engines_own_byte_for_byte(engine, engine_relay, path, body, status):
    direct = ask(engine, with_key(path, body))
    assert direct[0] == status
    assert ask(engine_relay, with_key(path, body)) == direct


def test_a_wrong_key_is_refused_by_the_engine(engine, engine_relay):
    direct = ask(engine, with_key(CHAT, chat(), key="a wrong key of a client"))
    assert direct[0] == 401
    assert ask(engine_relay, with_key(CHAT, chat(), key="a wrong key of a client")) == direct


def test_the_list_of_models_is_the_engines_own(engine, engine_relay):
    request = get("/v1/models", Authorization=f"Bearer {KEY}")
    assert comparable(ask(engine_relay, request)) == comparable(ask(engine, request))


@pytest.mark.parametrize("name", [name for name in REQUESTS if name.startswith("streamed")])
def test_a_stream_of_every_kind_is_counted_as_complete(engine_relay, name):
    path, body = REQUESTS[name]
    request_id = name.replace(" ", "-")
    ask(engine_relay, with_key(path, body, X_Request_Id=request_id))
    line = logged_end(engine_relay, request_id)
    assert (line["outcome"], line["code"]) == ("complete", None)


def test_two_choices_are_complete_when_both_have_a_finish_reason(engine_relay):
    ask(engine_relay, with_key(CHAT, chat(stream=True, n=2), X_Request_Id="two"))
    assert logged_end(engine_relay, "two")["outcome"] == "complete"


def test_a_resumable_stream_gives_the_same_text_as_the_engine(engine, engine_relay):
    _, _, direct = ask(engine, with_key(CHAT, chat()))
    events = read_resumable(engine_relay, chat())
    assert text_of(events) == json.loads(direct)["choices"][0]["message"]["content"]
    assert b"event: done" in events


def test_a_refusal_on_a_resumable_stream_keeps_the_engines_reason(engine_relay):
    events = read_resumable(engine_relay, chat("x" * 40_000))
    assert b"event: error" in events
    assert b"exceeds the available context size" in events


def read_resumable(relay: Server, body: object) -> bytes:
    _, _, created = ask(relay, with_key("/v1/streams", body))
    _, _, events = ask(relay, get(json.loads(created)["url"]))
    return events


def text_of(events: bytes) -> str:
    chunks = [json.loads(line[6:]) for line in events.split(b"\n") if line.startswith(b"data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", [])]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_a_leaving_client_frees_the_engines_slot(engine: Engine, engine_relay: Server):
    with engine_relay.connect() as sock:
        body = chat(stream=True, max_tokens=ENDLESS)
        sock.sendall(with_key(CHAT, body, X_Request_Id="leaves"))
        Response(sock).until(b'"content":"')
        assert engine.busy_slots() == 1
        reset(sock)
        wait_until(lambda: engine.busy_slots() == 0)
    assert logged_end(engine_relay, "leaves")["outcome"] == "cancelled"


def test_a_killed_engine_is_told_as_truncated_and_a_new_one_serves(engine, engine_relay):
    with engine_relay.connect() as sock:
        body = chat(stream=True, max_tokens=ENDLESS)
        sock.sendall(with_key(CHAT, body, X_Request_Id="killed"))
        response = Response(sock)
        response.until(b'"content":"')
        engine.kill()
        rest = response.body()
    assert b'"code":"upstream_truncated"' in rest.rpartition(b"data: ")[2]
    assert b"[DONE]" not in rest
    line = logged_end(engine_relay, "killed")
    assert (line["outcome"], line["code"]) == ("error", "upstream_truncated")

    status, _, refusal = ask(engine_relay, with_key(CHAT, chat()))
    assert (status, json.loads(refusal)["error"]["code"]) == (502, "upstream_unreachable")

    engine.start()
    status, _, _ = ask(engine_relay, with_key(CHAT, chat()))
    assert status == 200
