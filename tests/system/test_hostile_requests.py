"""Requests that no proper client sends: each is answered, or refused in the promised form, and other clients notice nothing."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.observer import Observer
from tests.support.server import Server
from tests.support.stream import Response, ask, chat, get, post
from tests.system.bystanders import Bystanders, check_log

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
QUICK = {"tokens": 2, "itl_ms": 0}
ODD_TEXTS = [
    "a\nb",
    "a\r\nb",
    "\0",
    "\x1b[31m\x9b",
    "\u2028\u2029\x85",
    "\u202e\ufeff",
    "\U0001f30a\U000e0001",
    "data: [DONE]\n\n",
    " outcome=complete",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.system.attacked_app:app", history_seconds=1) as server:
        yield server
        observer = Observer(server)
        observer.until_idle()
        observer.close()
        check_log(server.log)


@pytest.fixture(scope="module")
def others(server: Server) -> Iterator[Bystanders]:
    with Bystanders(server) as others:
        yield others


def refusal(server: Server, request: bytes) -> tuple[int, dict[str, object]]:
    """Return status and error, after checking that the error has the promised form."""
    response, body = ask(server, request)
    assert response.headers["content-type"] == "application/json", body
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert isinstance(error["code"], str)
    return response.status, error


# Heads.

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
HEADS = {
    "10000-headers": HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(10_000)),
    "a-header-of-1-mib": HEAD + b"X: " + b"y" * (1 << 20) + b"\r\n",
    "a-header-name-of-1-mib": HEAD + b"y" * (1 << 20) + b": x\r\n",
    "a-line-of-1-mib": b"GET /" + b"y" * (1 << 20) + b" HTTP/1.1\r\n",
    "a-header-with-nul": HEAD + b"X: a\0b\r\n",
    "a-header-with-a-bare-cr": HEAD + b"X: a\rb\r\n",
    "a-header-with-a-bare-lf": HEAD + b"X: a\nY: b\r\n",
    "a-folded-header": HEAD + b"X: a\r\n b\r\n",
    "a-header-name-with-escapes": HEAD + b"X\x1b[31m: a\r\n",
    "a-header-without-a-name": HEAD + b": a\r\n",
    "a-target-with-escapes": b"GET /\x1b[31m HTTP/1.1\r\n",
    "a-method-with-escapes": b"G\x1b[31mT / HTTP/1.1\r\n",
    "another-version": b"GET / HTTP/9.9\r\n",
    "another-protocol": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n",
    "two-lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n",
    "a-negative-length": HEAD + b"Content-Length: -1\r\n",
    "a-length-beside-chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "an-unknown-encoding": HEAD + b"Transfer-Encoding: g\x1bzip\r\n",
    "chunks-twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n",
    "an-unknown-expectation": HEAD + b"Expect: \xff\r\nContent-Length: 1\r\n",
}


@pytest.mark.parametrize("head", HEADS)
def test_a_malformed_head_is_refused_and_the_connection_closed(server, head):
    with server.connect() as sock:
        received = b""
        try:
            sock.sendall(HEADS[head] + b"\r\n" + HEAD + b"\r\n")
            while data := sock.recv(65536):
                received += data
        except (ConnectionResetError, BrokenPipeError):
            pass  # Unread bytes make the close a reset, which may overtake the answer.
    assert received.count(b"HTTP/1.1 ") <= 1
    assert not received or received.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501")), received


@pytest.mark.parametrize(
    "body",
    [
        b"zz\x1b[31m\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5;a=\rb\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX\x1bY: a\r\n\r\n",
    ],
)
def test_malformed_chunks_are_a_400_and_the_end_of_the_connection(server, body):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with server.connect() as sock:
        sock.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        response = Response(sock)
        assert response.status in (400, 413)
        assert json.loads(response.body())["error"]["code"]
        sock.sendall(HEAD + b"\r\n")
        with pytest.raises((EOFError, ConnectionResetError)):
            response.following()


# JSON.


@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("depth", [100, 900, 980, 1000, 100_000])
@pytest.mark.parametrize(
    "place",
    [
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"simulator":%s,"zz":|}',
        b'{"model":"m","messages":[{"role":"user","content":[{"text":|}]}],"simulator":%s}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],'
        b'"simulator":{"itl_ms":0,"tool_call":{"name":"f","arguments":{"a":|}}}}',
    ],
)
def test_json_of_any_depth_is_answered_or_refused(server, place, depth, open_, close):
    nested = open_ * depth + b"1" * (close == b"}") + close * depth
    body = place.replace(b"%s", json.dumps(QUICK).encode()).replace(b"|", nested)
    response, answer = ask(server, post(CHAT, body))
    assert response.status in (200, 400), answer


NUMBERS = ["1e400", "-1e400", "1" * 400, "1" * 5000, "-0", "0.1e-999", "1e", "NaN", "Infinity"]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "field", ["seed", "n", "max_tokens", "simulator.seed", "simulator.ttft_ms", "other", "stop"]
)
def test_numbers_of_any_size_are_answered_or_refused(server, number, field):
    simulator = f'"{field.partition(".")[2]}":{number}' if "." in field else '"tokens":1'
    other = "" if "." in field else f',"{field}":{number}'
    body = (
        '{"model":"m","messages":[{"role":"user","content":"x"}]'
        f',"simulator":{{{simulator},"itl_ms":0,"text":"a"}}{other}}}'
    )
    response, answer = ask(server, post(CHAT, body.encode()))
    assert response.status in (200, 400), answer


def test_the_last_of_two_fields_with_the_same_name_counts(server):
    body = b'{"model":"a","model":"b","messages":[{"role":"user","content":"x"}],"simulator":%s}'
    response, answer = ask(server, post(CHAT, body % json.dumps(QUICK).encode()))
    assert (response.status, json.loads(answer)["model"]) == (200, "b")


@pytest.mark.parametrize(
    "text", [r'"\ud800"', r'"\udc00\ud800"', '"\xff"', '"\n"', '"\0"', '"\\x"']
)
def test_bytes_that_are_not_text_are_refused(server, text):
    body = '{"model":%s,"messages":[{"role":"user","content":"x"}]}' % text  # noqa: UP031
    status, error = refusal(server, post(CHAT, body.encode("latin-1")))
    assert (status, error["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_text_comes_back_as_it_was_in_whole_events(server, text):
    simulator = {**QUICK, "tokens": None, "text": text}
    body = {**chat(text, simulator=simulator, user=text, stop=["\0" + text]), "model": text}
    response, answer = ask(server, post(CHAT, body, X_Request_Id="odd", traceparent="00-\xff-00"))
    assert response.status == 200
    *events, done, end = answer.decode().split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["model"] for chunk in chunks} == {text}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == text


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_text_in_a_tool_call_comes_back_as_it_was(server, text):
    tool_call = {"name": text, "arguments": {text: text}}
    body = chat(stream=False, simulator={"itl_ms": 0, "tool_call": tool_call})
    _, answer = ask(server, post(CHAT, body))
    (call,) = json.loads(answer)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == text
    assert json.loads(call["function"]["arguments"]) == {text: text}


@pytest.mark.parametrize(
    "given", ["%00", "a%0ab", "%1b[31m", "%ff%fe", "%ed%a0%80", "%", "\\", "x" * 8000]
)
def test_odd_text_in_urls_is_answered_or_refused(server, given):
    for path in (
        f"/stream_chat?name=x&last_event_id={given}",
        f"/v1/streams/{given}",
        f"/v1/streams/{given}?ticket={given}&last_event_id={given}",
        f"/v1/models/{given}",
        f"/static/{given}",
        f"/{given}",
    ):
        response, body = ask(server, get(path))
        assert response.status in (200, 400, 404, 414), (path, body)
    with server.connect() as sock:
        sock.sendall(get(f"/stream_chat?name={given}"))
        response = Response(sock)
        assert response.status == 200
        assert response.until(b"id: 1\n")


# Requests for too much.

MUCH = {
    "100000-prompts": {"prompt": ["x"] * 100_000, "simulator": {"tokens": 0}},
    "prompts-times-choices": {"prompt": ["x"] * 400, "n": 128, "simulator": {"tokens": 0}},
    "long-answers-that-are-stopped": {
        "prompt": ["x"] * 100,
        "stop": "a",
        "simulator": {"tokens": 90_000},
    },
    "a-long-text-that-is-stopped": {
        "prompt": "x",
        "n": 128,
        "stop": "w",
        "simulator": {"text": "w" + "ord " * 120_000, "itl_ms": 0},
    },
    "many-words": {"prompt": "a " * 500_000, "simulator": QUICK},
    "many-token-ids": {"prompt": [[1] * 100] * 3000, "simulator": QUICK},
    "many-empty-parts": {"messages": [{"role": "user", "content": [{}] * 500_000}]},
    "many-messages": {"messages": [{"role": "user"}] * 80_000},
    "many-unknown-fields": {str(number): [{}] for number in range(100_000)},
}


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("much", MUCH)
def test_a_request_for_too_much_delays_no_other_client(server, others, much):
    request = post(COMPLETIONS if "prompt" in MUCH[much] else CHAT, {"model": "m", **MUCH[much]})
    with others.undisturbed():
        response, body = ask(server, request)
        assert response.status in (200, 400), body[:1000]


# Wrong types everywhere.

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 1}},
    "required": ["a"],
    "additionalProperties": False,
}
VALID = {
    CHAT: {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "user", "content": [{"type": "text", "text": "y"}]},
            {
                "role": "user",
                "name": "me",
                "content": [
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "YWJj", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "YWJj", "filename": "a.txt"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "z"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "d",
                    "strict": True,
                    "parameters": SCHEMA,
                },
            },
            {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "auto",
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
        },
        "parallel_tool_calls": True,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "r", "strict": True, "schema": SCHEMA},
        },
        "logprobs": True,
        "top_logprobs": 2,
        "logit_bias": {"5": -1},
        "metadata": {"k": "v"},
        "reasoning_effort": "low",
        "service_tier": "auto",
        "prediction": {"type": "content", "content": "x"},
        "modalities": ["text"],
        "n": 2,
        "max_tokens": 3,
        "max_completion_tokens": 3,
        "stop": ["zz"],
        "seed": 1,
        "temperature": 0.5,
        "simulator": {
            "ttft_ms": 0,
            "ttft_stddev_ms": 0,
            "itl_ms": 0,
            "itl_stddev_ms": 0,
            "tokens": 3,
            "text": "one two three",
            "seed": 5,
            "tool_call": {"name": "f", "arguments": {"a": 1}},
            "fault": {"kind": "error_event", "after": 1},
        },
    },
    COMPLETIONS: {
        "model": "m",
        "stream": False,
        "prompt": ["x", "y"],
        "n": 1,
        "max_tokens": 3,
        "stop": "zz",
        "echo": True,
        "suffix": "s",
        "logprobs": 2,
        "best_of": 2,
        "simulator": {"itl_ms": 0, "tokens": 3, "fault": {"kind": "status", "status": 503}},
    },
}
MAY_TAKE_LONG = {"ttft_ms", "ttft_stddev_ms", "itl_ms", "itl_stddev_ms"}


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in items:
        yield from places(part, (*path, key))


def changed(value, path: tuple[str | int, ...], new: object):
    """Return a copy of ``value`` with another value at ``path``; ``...`` leaves the field out."""
    if not path:
        return new
    copy = value.copy()
    if new is ... and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


VALUES = st.one_of(
    st.just(...),
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=0, max_value=10),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.integers()), max_size=2),
)
MUTATIONS = st.sampled_from([(path, place) for path in VALID for place in places(VALID[path])])


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutations=st.lists(st.tuples(MUTATIONS, VALUES), min_size=1, max_size=2))
def test_a_wrong_type_anywhere_is_answered_or_refused(server, mutations):
    (path, place), new = mutations[0]
    if place == () and new is ...:
        new = []
    body = changed(VALID[path], place, new)
    for (other, second), value in mutations[1:]:
        # The first change may have removed this path.
        if other == path and second and second in places(body):
            body = changed(body, second, value)
    simulator = body.get("simulator") if isinstance(body, dict) else None
    if isinstance(simulator, dict):
        for field in MAY_TAKE_LONG & simulator.keys():
            if isinstance(simulator[field], int | float):
                simulator[field] = min(simulator[field], 1)
    response, answer = ask(server, post(path, body))
    if response.status != 200:
        # A simulated failure may have any status.
        assert b'"simulated"' in answer or response.status in (400, 502), answer
        error = json.loads(answer)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        if error["code"] == "invalid_request" and "answers are more" not in error["message"]:
            assert isinstance(error["param"], str) or not isinstance(body, dict), error
    assert b"internal_error" not in answer
    check_log(server.log[-5000:].partition("\n")[2])
