"""Ollama's and Gemini's routes are guarded as those below /v1, and refuse in their own forms."""

import json
from collections.abc import Iterator

import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import ask, get, post

KEY = "sk-right-0123456789"
QUICK = {"itl_ms": 0, "tokens": 2}
OLLAMA = {
    "model": "m",
    "messages": [{"role": "user", "content": "Why?"}],
    "simulator": QUICK,
}
GEMINI = {"contents": [{"parts": [{"text": "Why?"}]}], "simulator": QUICK}
ROUTES = {
    "/api/chat": OLLAMA,
    "/v1beta/models/m:generateContent": GEMINI,
    "/v1beta/models/m:streamGenerateContent": GEMINI,
}


def message_of(path: str, body: bytes) -> str:
    """The message of a refusal in the form of the path's API."""
    error = json.loads(body)["error"]
    if path.startswith("/api/"):
        assert isinstance(error, str)
        return error
    assert set(error) == {"code", "message", "status", "details"}
    return error["message"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(
        api_keys=KEY, rate_limit="3/hour", models="m", arguments=("--access-logfile", "-")
    ) as server:
        yield server


@pytest.mark.parametrize("path", ROUTES)
def test_a_request_needs_a_key(server, path):
    response, body = ask(server, post(path, ROUTES[path]))
    assert response.status == 401
    assert "API key" in message_of(path, body)


@pytest.mark.parametrize("path", ["/api/tags", "/api/ps", "/v1beta/models", "/v1beta/nothing"])
def test_reading_needs_a_key_too(server, path):
    assert ask(server, get(path))[0].status == 401


def test_gemini_takes_its_key_in_its_header_or_in_the_query_and_the_log_has_none(server):
    assert ask(server, get("/v1beta/models", X_Goog_Api_Key=KEY))[0].status == 200
    assert ask(server, get(f"/v1beta/models?key={KEY}"))[0].status == 200
    assert ask(server, get("/v1beta/models?key=sk-wrong-0123456789"))[0].status == 401
    wait_until(lambda: "key=(hidden)" in server.log)
    assert "sk-" not in server.log


@pytest.mark.parametrize("path", ["/v1/models", "/api/tags"])
def test_no_other_api_takes_a_key_in_the_query(server, path):
    assert ask(server, get(f"{path}?key={KEY}"))[0].status == 401


def test_answers_count_towards_one_rate_limit_whatever_their_api(server):
    headers = {"Authorization": f"Bearer {KEY}"}
    statuses = []
    for path in [*ROUTES, *ROUTES]:
        response, body = ask(server, post(path, ROUTES[path], **headers))
        statuses.append(response.status)
        if response.status == 429:
            assert "3 per 1 hour" in message_of(path, body)
    assert statuses == [200, 200, 200, 429, 429, 429]


@pytest.mark.parametrize("path", ROUTES)
def test_a_page_of_another_origin_and_another_host_are_refused(sluice, path):
    request = post(path, ROUTES[path], Origin="https://evil.example")
    response, body = ask(sluice, request)
    assert response.status == 403
    assert "SLUICE_CORS_ORIGINS" in message_of(path, body)
    request = post(path, ROUTES[path]).replace(b"Host: localhost", b"Host: evil.example")
    assert ask(sluice, request)[0].status == 400


@pytest.mark.parametrize("path", ROUTES)
def test_a_listed_origin_may_read_the_answer(path):
    with Server(cors_origins="https://app.example") as server:
        response, _ = ask(server, post(path, ROUTES[path], Origin="https://app.example"))
        assert response.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_that_is_too_large_or_no_json_is_refused(sluice, path):
    response, body = ask(sluice, post(path, b"{" + b" " * 5_000_000 + b"}"))
    assert response.status == 413
    assert message_of(path, body)
    response, body = ask(sluice, post(path, b"{"))
    assert (response.status, "not JSON" in message_of(path, body)) == (400, True)
    assert ask(sluice, post(path, ROUTES[path], Content_Type="text/plain"))[0].status == 415


def test_a_model_that_is_not_served_is_refused_in_the_words_of_the_api():
    with Server(models="llama3.2,m") as server:
        response, body = ask(server, post("/api/chat", {**OLLAMA, "model": "x"}))
        assert (response.status, json.loads(body)) == (404, {"error": "model 'x' not found"})
        tagged = {**OLLAMA, "model": "llama3.2:latest"}
        assert ask(server, post("/api/chat", tagged))[0].status == 200
        response, body = ask(server, post("/v1beta/models/x:generateContent", GEMINI))
        error = json.loads(body)["error"]
        assert (error["code"], error["status"]) == (404, "NOT_FOUND")
        assert error["message"].startswith("models/x is not found for API version v1beta")
