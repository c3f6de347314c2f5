"""SLUICE_RECORD: what the relay writes of each exchange, and what it never writes."""

import json
import os
import stat
import subprocess
import sys
from itertools import pairwise

import pytest

from tests.server.raw_upstream import LAST_CHUNK, RawUpstream, head, sends, streams, whole
from tests.server.relayed import ANSWER, DONE, HELLO, PATH, STOP
from tests.support.recordings import cuts, paced, recording_of, resets
from tests.support.server import Server, clean_environment, wait_until
from tests.support.stream import Response, ask, chat, get, post

UPSTREAM_KEY = "upstream-key-5f2e"
API_KEY = "gateway-key-0123456789"
KEY = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings") / "made"


@pytest.fixture(scope="module")
def recorder(raw_upstream, folder):
    with Server(
        upstream=raw_upstream.url,
        record=folder,
        upstream_api_key=UPSTREAM_KEY,
        api_keys=API_KEY,
        secret_key="k" * 32,
        idle_timeout_seconds=0.3,
        keepalive_seconds=0.1,
        rate_limit="1000/second",
    ) as server:
        yield server


def ask_and_read(recorder, folder, question, path=PATH):
    ask(recorder, post(path, chat(question), **KEY))
    return recording_of(folder, question)


def test_a_stream_is_written_with_its_request_its_head_its_events_and_its_end(
    upstream, recorder, folder
):
    upstream.handler = paced(0.05, HELLO, STOP, DONE)
    request, head_, *events, end = ask_and_read(recorder, folder, "one stream")
    assert (request["method"], request["path"]) == ("POST", PATH)
    assert request["json"] == chat("one stream")
    assert (head_["status"], head_["upstream"]) == (200, upstream.host)
    assert head_["headers"]["content-type"] == "text/event-stream"
    assert [each["event"].encode() for each in events] == [HELLO, STOP, DONE]
    assert end["end"] == "complete"


def test_each_event_has_the_time_at_which_it_came(upstream, recorder, folder):
    upstream.handler = paced(0.1, HELLO, STOP, DONE)
    _, _, *events, _ = ask_and_read(recorder, folder, "with times")
    times = [each["at_seconds"] for each in events]
    assert times[0] >= 0.1
    assert all(later - earlier > 0.05 for earlier, later in pairwise(times))


def test_events_that_come_together_have_a_line_each(upstream, recorder, folder):
    upstream.handler = streams(ANSWER)
    _, _, *events, _ = ask_and_read(recorder, folder, "all at once")
    assert [each["event"].encode() for each in events] == [HELLO, STOP, DONE]


@pytest.mark.parametrize(("then", "end"), [(cuts, "cut"), (resets, "reset")])
def test_the_end_tells_how_the_upstreams_connection_broke(upstream, recorder, folder, then, end):
    upstream.handler = paced(0.02, HELLO, then=then)
    assert ask_and_read(recorder, folder, f"ends with {end}")[-1]["end"] == end


def test_the_end_tells_that_the_relay_gave_up_a_silent_upstream(upstream, recorder, folder):
    upstream.handler = paced(0.0, HELLO, then=sends())
    *_, event, end = ask_and_read(recorder, folder, "a stall")
    # The comments that keep the client's connection alive are not the upstream's.
    assert event["event"].encode() == HELLO
    assert end["end"] == "given_up"


def test_the_end_tells_that_the_client_left(upstream, recorder, folder):
    upstream.handler = paced(0.0, HELLO, then=sends())
    with recorder.connect() as sock:
        sock.sendall(post(PATH, chat("leaves early"), **KEY))
        Response(sock).until(HELLO)
    assert recording_of(folder, "leaves early")[-1]["end"] == "client_left"


def test_a_client_that_leaves_behind_the_last_event_has_the_whole(upstream, recorder, folder):
    upstream.handler = paced(0.0, ANSWER, then=sends())
    with recorder.connect() as sock:
        sock.sendall(post(PATH, chat("leaves at the end"), **KEY))
        Response(sock).until(DONE)
    assert recording_of(folder, "leaves at the end")[-1]["end"] == "complete"


def test_a_refusal_is_written_with_its_headers_and_its_body(upstream, recorder, folder):
    body = b'{"error":{"message":"slow down"}}'
    upstream.handler = sends(whole(body, "429 Too Many Requests", Retry_After=7))
    _, head_, answer, end = ask_and_read(recorder, folder, "a refusal")
    assert (head_["status"], head_["headers"]["retry-after"]) == (429, "7")
    assert answer["json"] == json.loads(body)
    assert end["end"] == "complete"


def test_an_upstream_that_does_not_answer_is_written_as_what_the_client_was_told(
    upstream, recorder, folder
):
    upstream.handler = cuts
    _, end = ask_and_read(recorder, folder, "no answer")
    assert (end["end"], end["status"], end["code"]) == ("failed", 502, "upstream_unreachable")


def test_bytes_that_are_not_text_are_written_in_base64(upstream, recorder, folder):
    upstream.handler = sends(whole(b"\xff\xfb\x90\x00", Content_Type="audio/mpeg"))
    ask(recorder, post("/v1/audio/speech", {"input": "say this", "model": "tts"}, **KEY))
    assert recording_of(folder, "say this")[2]["base64"] == "//uQAA=="


def test_an_uploaded_file_is_not_written_and_the_line_says_so(upstream, recorder, folder):
    upstream.handler = sends(whole(b"{}"))
    body = b'--x\r\nContent-Disposition: form-data; name="api_key"\r\n\r\nform-secret\r\n--x--\r\n'
    request = post("/v1/files", body, Content_Type="multipart/form-data; boundary=x", **KEY)
    ask(recorder, request)
    line = recording_of(folder, "/v1/files")[0]
    assert line["body_bytes"] == len(body)
    assert "files" in line["left_out"]


def test_a_body_of_many_megabytes_is_not_written(upstream, recorder, folder):
    upstream.handler = streams(ANSWER)
    path = f"{PATH}?large"
    ask(recorder, post(path, chat("x" * 3_000_000), **KEY))
    request, *_, end = recording_of(folder, path)
    assert request["body_bytes"] > 3_000_000
    assert "json" not in request
    assert end["end"] == "complete"


def test_a_json_answer_of_several_chunks_is_one_line(upstream, recorder, folder):
    parts = [b'{"data": [1,', b" 2,", b" 3]}"]
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    json_head = head(Content_Type="application/json", Transfer_Encoding="chunked")
    upstream.handler = sends(json_head, *chunks, LAST_CHUNK)
    ask(recorder, get("/v1/models?chunked", **KEY))
    assert recording_of(folder, "chunked")[2]["json"] == {"data": [1, 2, 3]}


def test_a_kept_stream_is_written_as_the_chat_that_it_asks_for(upstream, recorder, folder):
    upstream.handler = streams(ANSWER)
    ask(recorder, post("/v1/streams", chat("a kept stream"), **KEY))
    request, *_, end = recording_of(folder, "a kept stream")
    assert request["path"] == PATH
    assert request["json"]["stream_options"] == {"include_usage": True}
    assert end["end"] == "complete"


def test_names_of_files_sort_by_time_and_tell_the_method_the_route_and_the_model(
    upstream, recorder, folder
):
    upstream.handler = streams(ANSWER)
    for question in ("first of two", "second of two"):
        ask_and_read(recorder, folder, question)
    files = [path for path in sorted(folder.iterdir()) if "of two" in path.read_text()]
    assert ["first" in path.read_text() for path in files] == [True, False]
    assert all("-POST-chat-completions-test-" in path.name for path in files)


def test_the_folder_and_the_files_are_for_their_owner_alone(upstream, recorder, folder):
    upstream.handler = streams(ANSWER)
    ask_and_read(recorder, folder, "whose files")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


SECRETS = {
    "header": "header-secret-1",
    "x-api-key": "anthropic-secret-2",
    "cookie": "cookie-secret-3",
    "query": "query-secret-4",
    "signature": "signature-secret-5",
    "field": "field-secret-6",
    "tool": "tool-secret-7",
    "tool header": "tool-header-secret-8",
    "url": "url-password-9",
    "arguments": "arguments-secret-10",
    "set-cookie": "set-cookie-secret-11",
    "answer": "answer-secret-12",
    "event": "event-secret-13",
    "shape": "sk-proj-abcdefghij0123456789",
    "unknown header": "AbCd0123456789xyz",
}


NOT_SENT_UP = {
    *("header", "x-api-key", "cookie", "unknown header"),
    # The upstream's own.
    *("set-cookie", "answer", "event"),
}


def test_no_secret_reaches_the_disk(upstream, recorder, folder):
    """Wherever it was: also where the upstream sends back what it was sent."""
    sent_up = [SECRETS[place] for place in SECRETS if place not in NOT_SENT_UP]
    shown = json.dumps(" ".join([*sent_up, UPSTREAM_KEY, API_KEY])).encode()
    echo = b'data: {"error_description": %s, "refresh_token": "event-secret-13"}\n\n' % shown
    refusal = (
        b'{"error":{"message":"Incorrect API key provided: upst********5f2e"},'
        b'"client_secret":{"value":"answer-secret-12"},"echo":%s}' % shown
    )
    body = chat(
        f"these secrets; mine is {SECRETS['shape']}",
        api_key=SECRETS["field"],
        tools=[
            {
                "type": "mcp",
                "server_url": f"https://me:{SECRETS['url']}@tools.example/sse",
                "authorization": SECRETS["tool"],
                "headers": {"X-Tool": SECRETS["tool header"]},
                "arguments": json.dumps({"password": SECRETS["arguments"]}),
            }
        ],
    )
    path = f"{PATH}?key={SECRETS['query']}&X-Amz-Signature={SECRETS['signature']}"
    headers = {
        "Api_Key": SECRETS["header"],
        "X_Api_Key": SECRETS["x-api-key"],
        "Cookie": f"session={SECRETS['cookie']}",
        "X_Custom": SECRETS["unknown header"],
        **KEY,
    }
    set_cookie = {"Set_Cookie": f"a={SECRETS['set-cookie']}", "X_Echo": UPSTREAM_KEY}
    for number, handler in enumerate(
        (
            streams(echo, ANSWER),
            sends(whole(refusal, "401 Unauthorized", **set_cookie)),
            sends(whole(shown, Content_Type="text/plain")),
        ),
        start=1,
    ):
        upstream.handler = handler
        ask(recorder, post(path, body, **headers))
        recording_of(folder, "these secrets", number)
    written = "".join(f"{path.name} {path.read_text()}" for path in folder.iterdir())
    assert "these secrets" in written
    found = [
        place
        for place, secret in {**SECRETS, "key": UPSTREAM_KEY, "api key": API_KEY}.items()
        if secret in written
    ]
    assert found == []
    assert "5f2e" not in written


@pytest.mark.slow
def test_what_waits_is_written_before_a_worker_ends(raw_upstream, tmp_path):
    raw_upstream.handler = streams(ANSWER)
    with Server(upstream=raw_upstream.url, record=tmp_path) as server:
        ask(server, post(PATH, chat("the last one")))
    assert recording_of(tmp_path, "the last one")[-1]["end"] == "complete"


@pytest.mark.slow
def test_a_full_disk_costs_a_recording_and_not_the_stream(raw_upstream, tmp_path):
    """A folder that is gone, as a disk that is full, refuses to write."""
    folder = tmp_path / "recordings"
    raw_upstream.handler = streams(ANSWER)
    with Server(upstream=raw_upstream.url, record=folder) as server:
        folder.rmdir()
        for _ in range(3):
            assert ask(server, post(PATH, chat("not written")))[1] == ANSWER
        wait_until(lambda: "exchanges are not recorded" in server.log)
        folder.mkdir()
        ask(server, post(PATH, chat("written again")))
        assert recording_of(folder, "written again")[-1]["end"] == "complete"
        wait_until(lambda: "are recorded in" in server.log)
        assert server.log.count("exchanges are not recorded") == 1


@pytest.mark.slow
def test_workers_write_files_of_their_own(raw_upstream, tmp_path):
    raw_upstream.handler = streams(ANSWER)
    with Server(upstream=raw_upstream.url, record=tmp_path, workers=2) as server:
        for number in range(20):
            ask(server, post(PATH, chat(f"question {number:02d}")))
        for number in range(20):
            recording_of(tmp_path, f"question {number:02d}")
    assert len(list(tmp_path.iterdir())) == 20


@pytest.mark.slow
@pytest.mark.parametrize("is_file", [True, False])
def test_a_folder_that_cannot_be_written_to_stops_the_start(tmp_path, is_file):
    path = tmp_path / "file"
    path.write_text("")
    folder = path if is_file else "/proc/recordings"
    started = start(SLUICE_UPSTREAM="http://127.0.0.1:1/v1", SLUICE_RECORD=str(folder))
    assert f"SLUICE_RECORD: nothing can be written to {folder}: " in started
    assert "Traceback" not in started


def start(**settings: str) -> str:
    """Start a gateway that cannot start, and return what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "flask_sluice", "serve", "--bind", "127.0.0.1:1"],
        env={**clean_environment(), **settings},
        cwd=os.getcwd(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    ).stderr


@pytest.mark.slow
def test_without_upstream_there_is_nothing_to_record(tmp_path):
    assert "SLUICE_RECORD is set, and SLUICE_UPSTREAM is not" in start(SLUICE_RECORD=str(tmp_path))


@pytest.mark.slow
def test_failover_names_the_upstream_that_has_answered(tmp_path):
    refusing, answering = RawUpstream(sends(whole(b"{}", "503 No"))), RawUpstream(streams(ANSWER))
    urls = f"{refusing.url},{answering.url}"
    with refusing, answering, Server(upstream=urls, record=tmp_path) as server:
        for question in ("once", "twice"):
            ask(server, post(PATH, chat(question)))
            assert recording_of(tmp_path, question)[1]["upstream"] == answering.host
