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


LLM_TEST = """
from urllib.request import Request, urlopen

pytest_plugins = ["flask_sluice.testing"]


def test_what_was_sent_is_known(llm):
    llm.answer("It is sunny.", api="chat")
    body = b'{"model": "m", "messages": [{"role": "user", "content": "How is the weather?"}]}'
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"{llm.openai_url}/chat/completions", body, headers)) as answer:
        assert b"It is sunny." in answer.read()
    assert [request.prompt for request in llm.requests] == ["How is the weather?"]


def test_a_scenario_is_read(llm, tmp_path):
    path = tmp_path / "scenario.toml"
    path.write_text('[[rule]]\\nanswer = "x"\\nmatch = { prompt = "/a+b/" }')
    llm.scenario(path)
    assert llm.requests == []
"""


def test_the_fixture_of_a_simulated_model_works(environment, tmp_path):
    (tmp_path / "test_llm.py").write_text(LLM_TEST)
    tests = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_llm.py")
    ran = environment.run(*tests, folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
