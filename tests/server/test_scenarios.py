"""A scenario in a running simulator, and the routes by which a test asks it."""

import http.client
import json
import time

import pytest

from tests.support.server import Server, wait_until

TOKEN = "the-token-of-this-test"
QUESTION = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How is the weather?"}]}
SCENARIO = """
[default]
itl_ms = 0

[[rule]]
match = { prompt = "weather", request = 1 }
status = 429
retry_after = 1

[[rule]]
match = { prompt = "weather" }
answer = "It is sunny."
"""


def ask(server, body=QUESTION, *, method="POST", path="/v1/chat/completions", token=None):
    """Sends a request; returns the status, the headers and the JSON of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection.request(method, path, json.dumps(body), headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, response.headers, json.loads(data) if data else None


def text(server, **changes):
    return ask(server, {**QUESTION, **changes})[2]["choices"][0]["message"]["content"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "scenario.toml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope="module")
def server(file):
    with Server(scenario=file, simulator_token=TOKEN) as server:
        yield server


@pytest.fixture(autouse=True)
def begin_anew(server, file):
    file.write_text(SCENARIO)
    assert ask(server, method="DELETE", path="/simulator/requests", token=TOKEN)[0] == 204


def remembered(server):
    return ask(server, method="GET", path="/simulator/requests", token=TOKEN)[2]


def test_a_client_that_asks_again_meets_the_next_rule(server):
    status, headers, body = ask(server)
    assert (status, headers["Retry-After"]) == (429, "1")
    assert body["error"]["type"]
    assert text(server) == "It is sunny."


def test_a_scenario_answers_in_each_api(server):
    anthropic = {**QUESTION, "max_tokens": 50}
    assert ask(server, anthropic, path="/v1/messages")[0] == 429
    message = ask(server, anthropic, path="/v1/messages")[2]
    assert message["content"][0]["text"] == "It is sunny."
    completion = ask(server, {"model": "m", "prompt": "weather"}, path="/v1/completions")[2]
    assert completion["choices"][0]["text"] == "It is sunny."


def test_the_requests_own_options_go_before_the_scenario(server):
    assert text(server, simulator={"text": "own", "fault": None}) == "own"


@pytest.mark.slow
def test_a_changed_file_is_taken_over_and_a_broken_one_is_not(server, file):
    file.write_text('[[rule]]\nanswer = "changed"')
    wait_until(lambda: ask(server)[0] == 200 and text(server) == "changed")
    file.write_text('[[rule]]\nansver = "broken"')
    wait_until(lambda: ask(server) and "did you mean answer?" in server.log)
    assert text(server) == "changed"
    assert server.log.count("did you mean answer?") == 1


def test_the_tokens_come_at_recorded_times(server):
    options = {"text": "a b c", "times": [0.2, 0.1, 0.0], "fault": None}
    began = time.monotonic()
    assert text(server, simulator=options) == "a b c"
    assert 0.3 <= time.monotonic() - began < 5


def test_what_was_sent_is_remembered_without_the_keys(server):
    ask(server, token="sk-secret")
    ask(server, {"model": "x"}, path="/v1/nothing")
    first, second = remembered(server)
    assert first["method"] == "POST"
    assert first["path"] == "/v1/chat/completions"
    assert (first["api"], first["status"], first["outcome"]) == ("chat", 429, "refused")
    assert first["body"] == QUESTION
    assert first["headers"]["authorization"] == "[hidden]"
    assert (second["path"], second["status"], second["api"]) == ("/v1/nothing", 404, "")


def test_a_body_that_is_not_json_is_remembered_as_text(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(
        "POST", "/v1/chat/completions", b'{"model', {"Content-Type": "application/json"}
    )
    assert connection.getresponse().status == 400
    connection.close()
    assert [each["body"] for each in remembered(server)] == ['{"model']


@pytest.mark.slow
def test_only_the_last_thousand_requests_are_remembered(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for _ in range(1003):
        connection.request("GET", "/v1/nothing")
        connection.getresponse().read()
    connection.close()
    numbers = [each["number"] for each in remembered(server)]
    assert numbers == list(range(4, 1004))


def test_only_sixteen_mib_of_bodies_are_remembered(server):
    large = {**QUESTION, "user": "x" * 3_900_000}
    for _ in range(6):
        ask(server, large)
    assert [each["number"] for each in remembered(server)] == [3, 4, 5, 6]


def test_a_rule_goes_before_the_file_until_all_is_forgotten(server):
    rule = {"answer": "at run time"}
    assert ask(server, rule, method="PUT", path="/simulator/rules/a", token=TOKEN)[0] == 204
    assert text(server) == "at run time"
    ask(server, method="DELETE", path="/simulator/requests", token=TOKEN)
    assert ask(server)[0] == 429


def test_a_mistake_at_run_time_is_told(server):
    rule = {"answr": "x"}
    status, _, body = ask(server, rule, method="PUT", path="/simulator/rules/a", token=TOKEN)
    assert (status, body["error"]["code"]) == (400, "invalid_scenario")
    assert "did you mean answer?" in body["error"]["message"]


@pytest.mark.parametrize("token", [None, "wrong"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/simulator/requests"),
        ("DELETE", "/simulator/requests"),
        ("PUT", "/simulator/scenario"),
        ("PUT", "/simulator/rules/a"),
    ],
)
def test_the_routes_are_for_those_with_the_token(server, method, path, token):
    assert ask(server, {}, method=method, path=path, token=token)[0] == 401


def test_the_document_of_the_api_describes_these_routes(server):
    status, _, document = ask(server, method="GET", path="/openapi.json")
    assert status == 200
    assert "/simulator/requests" in document["paths"]


@pytest.mark.slow
def test_nothing_is_remembered_where_there_is_no_token():
    with Server() as server:
        assert ask(server)[0] == 200
        for token in (None, TOKEN):
            assert ask(server, method="GET", path="/simulator/requests", token=token)[0] == 404


@pytest.mark.slow
def test_a_mistake_in_the_file_stops_the_start_with_one_line(tmp_path):
    path = tmp_path / "scenario.toml"
    path.write_text("[[rule]]\nansver = 1\n")
    server = Server(scenario=path)
    try:
        assert server.wait_for_exit() != 0
        line = f"sluice: {path}, line 2: rule 1: unknown field ansver: did you mean answer?"
        assert server.log.strip() == line
    finally:
        server.stop()
