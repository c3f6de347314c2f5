"""Streams that are not event streams: Ollama's lines of JSON and Gemini's open list."""

import json

import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, post

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
CONTENTS = {"contents": {"parts": {"text": "Why?"}}}
LIST = "/v1beta/models/m:streamGenerateContent"


def test_each_line_is_json_and_the_last_is_done(sluice):
    body = {**CHAT, "simulator": {"itl_ms": 0, "tokens": 3}}
    response, data = ask(sluice, post("/api/chat", body))
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in data.splitlines()]
    assert [line["done"] for line in lines] == [False, False, False, True]
    assert all(line["model"] == "m" and line["created_at"].endswith("Z") for line in lines)


def test_an_error_in_mid_stream_is_the_last_line_and_the_outcome_is_logged():
    with Server() as server:
        body = {**CHAT, "simulator": {"itl_ms": 0, "fault": {"kind": "error_event"}}}
        response, data = ask(server, post("/api/chat", body, X_Request_Id="told"))
        *lines, last = [json.loads(line) for line in data.splitlines()]
        assert len(lines) == 3
        assert list(last) == ["error"]
        assert response.status == 200
        wait_until(lambda: server.logged("stream ended", request_id="told", outcome="error"))


def test_an_error_before_the_first_line_keeps_its_status(sluice):
    fault = {"kind": "error_event", "after": 0}
    response, data = ask(sluice, post("/api/chat", {**CHAT, "simulator": {"fault": fault}}))
    assert response.status == 502
    assert list(json.loads(data)) == ["error"]


@pytest.mark.parametrize(
    ("path", "body"), [("/api/chat", CHAT), (LIST, CONTENTS), (f"{LIST}?alt=sse", CONTENTS)]
)
def test_no_comment_keeps_such_a_stream_alive_and_a_deadline_cuts_what_is_no_event_stream(
    path, body
):
    with (
        Server(keepalive_seconds=0.05, commit_seconds=0.1, stream_timeout_seconds=0.5) as server,
        server.connect() as sock,
    ):
        sock.sendall(post(path, {**body, "simulator": {"itl_ms": 60_000, "tokens": 5}}))
        response = Response(sock)
        first = response.chunk()
        assert not first.startswith(b":")
        if path.endswith("sse"):
            assert response.body().startswith(b'data: {"error"')
        else:
            with pytest.raises(EOFError):
                response.body()


def test_geminis_list_is_one_document_whose_last_item_has_the_reason_of_the_end(sluice):
    body = {**CONTENTS, "simulator": {"itl_ms": 0, "tokens": 3}}
    response, data = ask(sluice, post(LIST, body))
    assert response.headers["content-type"] == "application/json"
    items = json.loads(data)
    assert len(items) == 4
    assert ["finishReason" in item["candidates"][0] for item in items] == [False] * 3 + [True]


def test_an_error_closes_geminis_list(sluice):
    body = {**CONTENTS, "simulator": {"itl_ms": 0, "fault": {"kind": "error_event"}}}
    *items, last = json.loads(ask(sluice, post(LIST, body))[1])
    assert len(items) == 3
    assert last["error"]["status"] == "INTERNAL"


def test_gemini_reads_names_in_snake_case_and_leaves_the_programs_own_as_they_are(sluice):
    schema = {"type": "OBJECT", "properties": {"mime_type": {"type": "STRING"}}}
    body = {
        "contents": [{"role": "user", "parts": [{"text": "Call it"}]}],
        "system_instruction": {"parts": {"text": "Be brief."}},
        "tools": [{"function_declarations": [{"name": "f", "parameters": schema}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY"}},
        "generation_config": {"candidate_count": 2},
        "simulator": {"itl_ms": 0},
    }
    _, data = ask(sluice, post("/v1beta/models/m:generateContent", body))
    candidates = json.loads(data)["candidates"]
    assert len(candidates) == 2
    call = candidates[0]["content"]["parts"][0]["functionCall"]
    assert set(call["args"]) <= {"mime_type"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"contents": []}, "contents"),
        ({"contents": [{"role": "robot", "parts": [{"text": "x"}]}]}, "contents[0].role"),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generationConfig": {"candidateCount": 9}}, "generationConfig.candidateCount"),
        ({"generationConfig": {"responseMimeType": "image/png"}}, "generation_config"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}, "tool_config"),
    ],
)
def test_a_wrong_gemini_request_names_the_field(sluice, fields, field):
    response, data = ask(sluice, post("/v1beta/models/m:generateContent", {**CONTENTS, **fields}))
    error = json.loads(data)["error"]
    assert (response.status, error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["details"][0]["fieldViolations"][0]["field"].startswith(field)
