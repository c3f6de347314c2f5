"""SLUICE_REPLAY: what was recorded comes back, as clients see it."""

import json
import subprocess
import sys
import time

import anthropic
import httpx
import openai
import pytest

from tests.server.raw_upstream import Handler, sends, streams, whole
from tests.server.relayed import ANSWER, DONE, HELLO, PATH, STOP
from tests.support.recordings import cuts, paced, recording_of, resets
from tests.support.server import Server, clean_environment, wait_until
from tests.support.stream import Response, ask, chat, get, post


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def recorder(raw_upstream, folder):
    with Server(upstream=raw_upstream.url, record=folder, idle_timeout_seconds=0.3) as server:
        yield server


@pytest.fixture(scope="module")
def replay(recorder, folder):
    with Server(replay=folder) as server:
        yield server


@pytest.fixture(scope="module")
def quick_replay(recorder, folder):
    with Server(replay=folder, replay_speed="max") as server:
        yield server


@pytest.fixture
def record(upstream, recorder, folder):
    """Records the upstream's answer to a request."""

    def record_answer(handler: Handler, question: str, request: bytes | None = None) -> None:
        before = [path for path in folder.iterdir() if question in path.read_text()]
        upstream.handler = handler
        ask(recorder, request or post(PATH, chat(question)))
        recording_of(folder, question, len(before) + 1)

    return record_answer


def openai_client(server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)


def openai_stream(server, question):
    return openai_client(server).chat.completions.create(**chat(question))


def body_of(server, request: bytes) -> bytes:
    return ask(server, request)[1]


def test_openais_client_gets_the_same_events_with_the_same_gaps(record, replay):
    record(paced(0.2, HELLO, STOP, DONE), "with gaps")
    began_at = time.monotonic()
    came = [
        (time.monotonic() - began_at, chunk.choices[0])
        for chunk in openai_stream(replay, "with gaps")
    ]
    (first_at, first), (second_at, second) = came
    assert (first.delta.content, second.finish_reason) == ("hello", "stop")
    assert first_at >= 0.2
    assert 0.15 < second_at - first_at < 0.4


def test_anthropics_client_gets_the_same_events(record, quick_replay):
    events = [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 1},
            },
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Grüße"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ]
    sent = [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events]
    question = {
        "model": "claude",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "to Claude"}],
    }
    record(paced(0.0, *sent), "to Claude", post("/v1/messages", {**question, "stream": True}))
    client = anthropic.Anthropic(base_url=quick_replay.url, api_key="any", max_retries=0)
    with client.messages.stream(**question) as stream:
        assert "".join(stream.text_stream) == "Grüße"
        assert stream.get_final_message().stop_reason == "end_turn"


@pytest.mark.parametrize("then", [cuts, resets])
def test_openais_client_gets_the_same_break(record, quick_replay, then):
    question = f"breaks by {then.__name__}"
    record(paced(0.02, HELLO, then=then), question)
    stream = openai_stream(quick_replay, question)
    assert next(stream).choices[0].delta.content == "hello"
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError, openai.APIConnectionError)):
        next(stream)


def test_a_reset_is_a_reset(record, quick_replay):
    record(paced(0.02, HELLO, then=resets), "with RST")
    with pytest.raises(ConnectionResetError):
        ask(quick_replay, post(PATH, chat("with RST")))


def test_openais_client_gets_the_same_refusal(record, quick_replay):
    body = b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}'
    record(sends(whole(body, "429 Too Many Requests", Retry_After=7)), "too many")
    with pytest.raises(openai.RateLimitError, match="slow down") as raised:
        openai_stream(quick_replay, "too many")
    assert raised.value.response.headers["retry-after"] == "7"


def test_a_silence_is_a_silence(record, quick_replay):
    record(paced(0.0, HELLO, then=sends()), "silent behind an event")
    with quick_replay.connect() as sock:
        sock.sendall(post(PATH, chat("silent behind an event")))
        response = Response(sock)
        response.until(HELLO)
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            response.chunk()


def test_an_upstream_that_was_not_there_is_told_as_it_was(record, quick_replay):
    record(cuts, "unreachable")
    response, body = ask(quick_replay, post(PATH, chat("unreachable")))
    assert response.status == 502
    assert json.loads(body)["error"]["code"] == "upstream_unreachable"


def test_a_text_and_bytes_come_back_as_they_were(record, quick_replay):
    speech = post("/v1/audio/speech", {"input": "say this", "model": "tts"})
    record(sends(whole(b"\xff\xfb\x00", Content_Type="audio/mpeg")), "say this", speech)
    response, body = ask(quick_replay, speech)
    assert (response.headers["content-type"], body) == ("audio/mpeg", b"\xff\xfb\x00")


def test_embeddings_and_models_come_back(record, quick_replay):
    asked = post("/v1/embeddings", {"model": "small", "input": "embed this"})
    record(sends(whole(b'{"data":[{"embedding":[0.5]}]}')), "embed this", asked)
    record(sends(whole(b'{"data":[{"id":"real"}]}')), "/v1/models?all", get("/v1/models?all"))
    assert body_of(quick_replay, asked) == b'{"data":[{"embedding":[0.5]}]}'
    assert body_of(quick_replay, get("/v1/models?all")) == b'{"data":[{"id":"real"}]}'


def test_an_upload_gets_the_answer_of_its_route(record, quick_replay):
    """The boundary between its parts is another each time."""

    def upload(boundary: str) -> bytes:
        body = f"--{boundary}\r\n\r\naudio\r\n--{boundary}--\r\n".encode()
        content_type = f"multipart/form-data; boundary={boundary}"
        return post("/v1/audio/transcriptions", body, Content_Type=content_type)

    record(sends(whole(b'{"text":"heard"}')), "audio/transcriptions", upload("one"))
    assert body_of(quick_replay, upload("two")) == b'{"text":"heard"}'


def test_a_kept_stream_comes_back(record, quick_replay):
    record(streams(ANSWER), "a kept one", post("/v1/streams", chat("a kept one")))
    url = json.loads(body_of(quick_replay, post("/v1/streams", chat("a kept one"))))["url"]
    assert b"hello" in body_of(quick_replay, get(url))


def test_the_same_request_gets_its_recordings_in_their_order_and_then_the_last(
    record, quick_replay
):
    for word in (b"first", b"second"):
        record(streams(HELLO.replace(b"hello", word), STOP, DONE), "twice asked")
    words = [
        next(openai_stream(quick_replay, "twice asked")).choices[0].delta.content for _ in range(3)
    ]
    assert words == ["first", "second", "second"]


def test_the_order_of_fields_and_the_key_do_not_matter(record, quick_replay):
    record(streams(ANSWER), "in any order", post(f"{PATH}?key=one-key", chat("in any order")))
    body = dict(reversed(chat("in any order").items()))
    answer = body_of(quick_replay, post(f"{PATH}?key=other-key", body, Authorization="Bearer x"))
    assert answer == ANSWER


def test_the_same_question_with_other_parameters_gets_the_answer(record, quick_replay):
    record(streams(ANSWER), "how warm")
    assert body_of(quick_replay, post(PATH, chat("how warm", temperature=0.5))) == ANSWER


@pytest.mark.parametrize(
    ("fields", "difference"),
    [
        ({"content": "another one"}, "messages[0].content: recorded "),
        ({"content": "the one", "stream": False}, "stream: recorded true, asked false"),
    ],
)
def test_another_question_is_refused_with_what_differs(record, quick_replay, fields, difference):
    record(streams(ANSWER), "the one")
    body = {**chat(**fields), "model": "test"}
    response, answer = ask(quick_replay, post(PATH, body))
    error = json.loads(answer)["error"]
    assert (response.status, error["code"]) == (404, "recording_not_found")
    assert "POST /v1/chat/completions (" in error["message"]
    assert difference in error["message"]


def test_a_route_that_was_not_recorded_is_refused_in_the_shape_of_its_api(quick_replay):
    client = anthropic.Anthropic(base_url=quick_replay.url, api_key="any", max_retries=0)
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.messages.create(
            model="never", max_tokens=1, messages=[{"role": "user", "content": "never asked"}]
        )
    assert raised.value.body["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("left", [b"", b'{"at_seconds": 0.2, "eve'])
def test_a_recording_of_a_process_that_was_killed_is_a_cut(record, quick_replay, folder, left):
    question = f"killed with {len(left)}"
    record(streams(ANSWER), question)
    (path,) = [path for path in folder.iterdir() if question in path.read_text()]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + left)
    with quick_replay.connect() as sock:
        sock.sendall(post(PATH, chat(question)))
        response = Response(sock)
        assert response.until(HELLO)
        with pytest.raises(EOFError):
            response.body()


@pytest.mark.slow
def test_a_speed_divides_the_gaps(record, folder):
    record(paced(0.2, HELLO, STOP, DONE), "slow once")
    with Server(replay=folder, replay_speed=10) as server:
        began_at = time.monotonic()
        assert body_of(server, post(PATH, chat("slow once"))) == ANSWER
        assert 0.06 <= time.monotonic() - began_at < 0.5


@pytest.mark.slow
def test_keys_are_asked_for(folder):
    with Server(replay=folder, api_keys="a" * 20) as server:
        assert ask(server, get("/v1/models"))[0].status == 401


def test_a_file_that_is_no_recording_is_left_out_with_a_line_in_the_log(quick_replay, folder):
    broken = folder / "broken.jsonl"
    broken.write_text('{"sluice_recording":1,"method":"GET","path":"/v1/x"}\nnonsense\n')
    try:
        ask(quick_replay, get("/v1/x"))
        wait_until(lambda: f"line 2 of {broken} is not JSON" in quick_replay.log)
    finally:
        broken.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense\n", "line 1 of {} is not JSON"),
        ('{"a":1}\n', "line 1 of {} is not the first of a recording"),
        ("", "{} is empty"),
        (
            '{"sluice_recording":1,"method":"GET","path":"/v1/x"}\n{"event":"data: a"}\n',
            'line 2 of {} has no number "at_seconds"',
        ),
    ],
)
def test_a_file_that_is_no_recording_stops_the_start(tmp_path, text, told):
    path = tmp_path / "some.jsonl"
    path.write_text(text)
    printed = start(tmp_path)
    assert printed.startswith(f"sluice: SLUICE_REPLAY: {told.format(path)}")
    assert len(printed.splitlines()) == 1


@pytest.mark.slow
def test_a_folder_that_is_not_there_stops_the_start(tmp_path):
    assert (
        start(tmp_path / "none") == f"sluice: SLUICE_REPLAY: there is no folder {tmp_path}/none\n"
    )


def start(folder) -> str:
    """Start a simulator that cannot start, and return what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "flask_sluice", "simulate", "--replay", str(folder)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    ).stderr
