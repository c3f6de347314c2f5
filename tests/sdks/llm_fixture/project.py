"""The tests of somebody else's project, as they stand in its folder: ``{"conftest.py": …, "tests/test_….py": …}``."""

CONFTEST = """\
pytest_plugins = ["flask_sluice.testing"]
"""

WITH_OPENAI = """\
import openai
import pytest

QUESTION = [{"role": "user", "content": "How is the weather?"}]


@pytest.fixture
def client(llm):
    return openai.OpenAI(base_url=llm.openai_url, api_key="sk-secret", max_retries=2)


def test_the_client_asks_again_after_retry_after(llm, client):
    llm.refuse(429, retry_after=1).then_answer("It is sunny.")
    answer = client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert answer.choices[0].message.content == "It is sunny."
    first, second = llm.requests
    assert (first.status, first.outcome, first.waited_seconds) == (429, "refused", None)
    assert second.outcome == "complete"
    assert 0.9 < second.waited_seconds < 5
    assert (second.api, second.model, second.messages) == ("chat", "gpt-4o", QUESTION)
    assert second.prompt == "How is the weather?"
    assert "sk-secret" not in str(llm.requests)


def test_the_next_test_begins_anew(llm, client):
    assert llm.requests == []
    answer = client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert answer.choices[0].message.content != "It is sunny."
    assert [request.number for request in llm.requests] == [1]


def test_a_client_that_leaves_is_noticed(llm, client):
    llm.answer("one two three four five six seven eight", itl_ms=100)
    stream = client.chat.completions.create(model="m", messages=QUESTION, stream=True)
    next(iter(stream))
    stream.close()
    request, = llm.wait_for_requests(1, ended=True)
    assert request.left_early
    assert request.stream
    assert 1 <= request.event_count < 8
    assert request.byte_count > 0


def test_a_cut_is_an_error_for_the_client(llm, client):
    llm.fail("cut", after=2, text="one two three four")
    with pytest.raises(Exception):
        for _ in client.chat.completions.create(model="m", messages=QUESTION, stream=True):
            pass
    request, = llm.wait_for_requests(1, ended=True)
    assert request.outcome == "error"


def test_a_tool_is_called_and_its_result_answered(llm, client):
    llm.answer("It is sunny.", role="tool")
    llm.answer(tool_calls=[{"name": "get_weather", "arguments": {"city": "Paris"}}], role="user")
    answer = client.chat.completions.create(model="m", messages=QUESTION)
    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages = [*QUESTION, answer.choices[0].message.model_dump(), result]
    answer = client.chat.completions.create(model="m", messages=messages)
    assert answer.choices[0].message.content == "It is sunny."


def test_the_rule_given_last_goes_first(llm, client):
    llm.answer("general")
    llm.answer("special", prompt="weather")
    answer = client.chat.completions.create(model="m", messages=QUESTION)
    assert answer.choices[0].message.content == "special"


def test_a_mistake_names_the_nearest_option(llm):
    with pytest.raises(ValueError, match="did you mean tokens"):
        llm.answer(tokns=3)
    with pytest.raises(ValueError, match="it takes status"):
        llm.fail("cutt")


def test_a_request_that_does_not_come_is_told(llm):
    with pytest.raises(TimeoutError, match="0 requests came"):
        llm.wait_for_requests(1, timeout_seconds=0.05)


def test_scenario_of_a_file_and_of_a_dict(llm, client, tmp_path):
    path = tmp_path / "weather.toml"
    path.write_text('[[rule]]\\nanswer = "from a file"')
    llm.scenario(path)
    answer = client.chat.completions.create(model="m", messages=QUESTION)
    assert answer.choices[0].message.content == "from a file"
    llm.scenario({"rule": [{"answer": "from a dict"}]})
    answer = client.chat.completions.create(model="m", messages=QUESTION)
    assert answer.choices[0].message.content == "from a dict"
"""

WITH_ANTHROPIC = """\
import asyncio

import anthropic
import pytest

QUESTION = [{"role": "user", "content": "How is the weather?"}]


def test_the_environment_leads_the_client_here(llm, monkeypatch):
    for name, value in llm.environment.items():
        monkeypatch.setenv(name, value)
    llm.answer("It is sunny.", api="messages")
    client = anthropic.Anthropic()
    message = client.messages.create(model="claude", max_tokens=50, messages=QUESTION)
    assert message.content[0].text == "It is sunny."


def test_an_async_client_asks_again(llm):
    llm.refuse(529).then_refuse(503, retry_after=1).then_answer("It is sunny.")

    async def ask():
        async with anthropic.AsyncAnthropic(base_url=llm.url, api_key="x") as client:
            return await client.messages.create(model="claude", max_tokens=50, messages=QUESTION)

    assert asyncio.run(ask()).content[0].text == "It is sunny."
    requests = llm.requests
    assert [request.status for request in requests] == [529, 503, 200]
    assert requests[2].waited_seconds >= 0.9


def test_a_client_that_leaves_is_noticed(llm):
    llm.answer("one two three four five six seven eight", itl_ms=100)
    client = anthropic.Anthropic(base_url=llm.url, api_key="x")
    with client.messages.stream(model="claude", max_tokens=50, messages=QUESTION) as stream:
        next(iter(stream.text_stream))
    assert llm.wait_for_requests(1, ended=True)[0].left_early
"""

FILES = {
    "conftest.py": CONFTEST,
    "tests/test_openai.py": WITH_OPENAI,
    "tests/test_anthropic.py": WITH_ANTHROPIC,
    # The modules of the project must not be taken for those that the simulator needs.
    "limits.py": "raise RuntimeError('imported by the simulator')\n",
    "gevent.py": "raise RuntimeError('imported by the simulator')\n",
}
