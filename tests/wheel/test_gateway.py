"""The gateway of the installed wheel: ``sluice serve``."""

import json
import re
import shutil

import pytest

from tests.system.redis_server import RedisServer
from tests.wheel.serving import serve

QUESTION = json.dumps(
    {
        "model": "any",
        "stream": True,
        "messages": [{"role": "user", "content": "Why?"}],
        "simulator": {"tokens": 5, "itl_ms": 0},
    }
)


def content_of(body: str) -> str:
    events = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data:")]
    assert events.pop() == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events)


def test_serve_answers_with_the_page_and_chat_completions(environment, project):
    with serve(environment, project, "sluice", "serve", "--bind", "127.0.0.1:PORT") as gateway:
        page = gateway.request("GET", "/")
        assert page.status == 200
        files = re.findall(r'(?:src|href)="/?(static/[^"?]+)', page.text)
        assert len(files) >= 3
        for file in files:
            assert gateway.request("GET", f"/{file}").status == 200, file
        answer = gateway.request("POST", "/v1/chat/completions", QUESTION)
        assert content_of(answer.text)
        asked = environment.run("sluice", "ask", "--url", gateway.url, "Why?", folder=project)
        assert (asked.returncode, bool(asked.stdout)) == (0, True), asked.stderr
        assert "sluice_" in gateway.request("GET", "/metrics").text


def test_serve_relays_what_simulate_answers(environment, project):
    simulate = ("sluice", "simulate", "--bind", "127.0.0.1:PORT")
    # An upstream that does not answer shows that the simulator ignores the setting.
    with serve(environment, project, *simulate, SLUICE_UPSTREAM="http://127.0.0.1:9") as upstream:
        relay = ("sluice", "serve", "--upstream", f"{upstream.url}/v1", "--bind", "127.0.0.1:PORT")
        with serve(environment, project, *relay) as gateway:
            answer = gateway.request("POST", "/v1/chat/completions", QUESTION)
            assert content_of(answer.text)


def test_serve_with_keys_origins_rate_limits_and_redis(environment, project):
    if shutil.which("redis-server") is None:
        pytest.fail("redis-server is not installed; tests/install-system-packages installs it")
    with RedisServer() as redis:
        settings = {
            "SLUICE_REDIS_URL": redis.url,
            "SLUICE_RATE_LIMIT": "1/hour",
            "SLUICE_CORS_ORIGINS": "https://example.com",
        }
        command = ("sluice", "serve", "--bind", "127.0.0.1:PORT", "--workers", "2")
        with serve(environment, project, *command, **settings) as gateway:
            started = gateway.request("POST", "/v1/streams", QUESTION)
            assert started.status == 201, started.text
            assert started.headers["Vary"]
            stream = gateway.request("GET", started.headers["Location"])
            assert "\nevent: done\n" in stream.text
            assert gateway.request("POST", "/v1/streams", QUESTION).status == 429


def test_a_wrong_argument_is_reported_in_one_line(environment, project):
    result = environment.run("sluice", "serve", "--upstream", "localhost", folder=project)
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("sluice: SLUICE_UPSTREAM: got 'localhost', takes ")
