"""The simulator calls the tools that it may and must, and answers in text after their results."""

import json
import re

import pytest

from tests.unit.simulated import (
    calling,
    chunks,
    conversation,
    deltas,
    function,
    message_of,
    result,
    user,
    whole,
)

WEATHER, TIME = function("get_weather"), function("get_time")
QUESTION = user("What is the weather and the time in Köln?")


def called(body):
    """The names of the tools that an answer calls."""
    return [call["function"]["name"] for call in message_of(body).get("tool_calls", [])]


def asking(*messages, **fields):
    return conversation(QUESTION, *messages, **{"tools": [WEATHER, TIME], **fields})


def test_tools_are_called_with_arguments_of_their_schema():
    for call in message_of(asking())["tool_calls"]:
        arguments = json.loads(call["function"]["arguments"])
        assert isinstance(arguments["city"], str)
        assert isinstance(arguments["days"], int)


def test_a_call_is_the_same_streamed_and_whole_but_for_its_id():
    body = asking(parallel_tool_calls=False)
    streamed = [entry for delta in deltas(body) for entry in delta.get("tool_calls", [])]
    (call,) = message_of(body)["tool_calls"]
    assert streamed[0]["function"]["name"] == call["function"]["name"]
    assert streamed[0]["type"] == "function"
    arguments = "".join(entry["function"]["arguments"] for entry in streamed)
    assert arguments == call["function"]["arguments"]


def test_calls_are_the_same_for_the_same_request():
    def arguments():
        return [call["function"] for call in message_of(asking(seed=3))["tool_calls"]]

    assert arguments() == arguments()


def test_several_tools_are_called_at_once_unless_it_is_forbidden():
    assert sorted(called(asking())) == ["get_time", "get_weather"]
    assert len(called(asking(parallel_tool_calls=False))) == 1


def test_each_call_has_an_id_and_a_place_of_its_own():
    entries = [entry for delta in deltas(asking()) for entry in delta.get("tool_calls", [])]
    heads = [entry for entry in entries if "id" in entry]
    assert [head["index"] for head in heads] == [0, 1]
    assert len({head["id"] for head in heads}) == 2


def test_no_tool_is_called_where_that_is_the_choice():
    message = message_of(asking(tool_choice="none"))
    assert message["content"]
    assert "tool_calls" not in message


def test_a_named_tool_is_called_and_no_other():
    choice = {"type": "function", "function": {"name": "get_time"}}
    assert called(asking(tool_choice=choice)) == ["get_time"]


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_of_the_allowed_tools_only_those_are_called(mode):
    tools = [{"type": "function", "function": {"name": "get_time"}}]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    assert called(asking(tool_choice=choice)) == ["get_time"]


def test_the_answer_after_the_results_is_text_that_takes_them_up():
    results = [
        calling("get_weather", "get_time"),
        result("get_weather", "17 °C"),
        result("get_time"),
    ]
    (choice,) = whole(asking(*results))["choices"]
    assert "17 °C" in choice["message"]["content"]
    assert "sunny" in choice["message"]["content"]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"


def test_a_new_question_after_the_results_may_call_tools_again():
    results = [
        calling("get_weather"),
        result("get_weather"),
        {"role": "assistant", "content": "Sunny."},
    ]
    assert called(asking(*results, user("And the time?"))) != []


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_a_tool_that_must_be_called_is_called_after_its_result_too(choice):
    results = [calling("get_weather"), result("get_weather")]
    assert "get_weather" in called(asking(*results, tool_choice=choice, tools=[WEATHER]))


def test_a_call_of_the_options_is_made_once():
    body = conversation(QUESTION, simulator={"tool_call": {"name": "get_weather"}})
    assert called(body) == ["get_weather"]
    body["messages"] += [calling("get_weather"), result("get_weather")]
    assert message_of(body)["content"]


def test_a_loop_of_calls_and_results_ends():
    body = asking()
    for _ in range(3):
        message = message_of(body)
        if "tool_calls" not in message:
            break
        body["messages"].append(message)
        body["messages"] += [result(call["id"]) for call in message["tool_calls"]]
    assert message_of(body)["content"]
    assert len(body["messages"]) == 4


def test_a_limit_within_a_call_cuts_it():
    body = asking(tools=[WEATHER], max_tokens=3)
    (choice,) = whole(body)["choices"]
    assert choice["finish_reason"] == "length"
    (call,) = choice["message"]["tool_calls"]
    with pytest.raises(json.JSONDecodeError):
        json.loads(call["function"]["arguments"])


def test_a_function_without_parameters_is_called_with_an_empty_object():
    tool = {"type": "function", "function": {"name": "now"}}
    (call,) = message_of(conversation(tools=[tool]))["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {}


class TestCustomTool:
    BODY = conversation(tools=[{"type": "custom", "custom": {"name": "run_code"}}])

    def test_is_called_with_free_text(self):
        (call,) = message_of(self.BODY)["tool_calls"]
        assert call.keys() == {"id", "type", "custom"}
        assert call["type"] == "custom"
        assert call["custom"]["name"] == "run_code"
        assert call["custom"]["input"]

    def test_streams_its_input(self):
        entries = [entry for delta in deltas(self.BODY) for entry in delta.get("tool_calls", [])]
        assert entries[0]["custom"] == {"name": "run_code", "input": ""}
        pieces = [entry["custom"]["input"] for entry in entries]
        (call,) = message_of(self.BODY)["tool_calls"]
        assert "".join(pieces) == call["custom"]["input"]

    def test_is_called_with_text_of_its_grammar(self):
        grammar = {"syntax": "regex", "definition": r"^[a-c]{3}-\d{2}$"}
        custom = {"name": "code", "format": {"type": "grammar", "grammar": grammar}}
        body = conversation(tools=[{"type": "custom", "custom": custom}])
        (call,) = message_of(body)["tool_calls"]
        assert re.fullmatch(r"[a-c]{3}-\d{2}", call["custom"]["input"])

    def test_can_be_the_one_that_must_be_called(self):
        choice = {"type": "custom", "custom": {"name": "run_code"}}
        body = {**self.BODY, "tools": [*self.BODY["tools"], WEATHER], "tool_choice": choice}
        (call,) = message_of(body)["tool_calls"]
        assert call["type"] == "custom"


class TestDeprecatedFunctions:
    FUNCTIONS = (WEATHER["function"], TIME["function"])

    def test_are_called_one_at_a_time(self):
        (choice,) = whole(conversation(QUESTION, functions=self.FUNCTIONS))["choices"]
        assert choice["finish_reason"] == "function_call"
        assert choice["message"]["content"] is None
        call = choice["message"]["function_call"]
        assert call["name"] in ("get_weather", "get_time")
        assert json.loads(call["arguments"])

    def test_stream_their_call(self):
        body = conversation(QUESTION, functions=self.FUNCTIONS)
        calls = [delta["function_call"] for delta in deltas(body) if "function_call" in delta]
        assert calls[0]["name"]
        assert all(call.keys() == {"arguments"} for call in calls[1:])
        assert json.loads("".join(call["arguments"] for call in calls))
        assert chunks(body)[-1]["choices"][0]["finish_reason"] == "function_call"

    def test_are_called_or_not_as_it_is_chosen(self):
        body = conversation(QUESTION, functions=self.FUNCTIONS)
        named = message_of({**body, "function_call": {"name": "get_time"}})
        assert named["function_call"]["name"] == "get_time"
        assert message_of({**body, "function_call": "none"})["content"]

    def test_are_not_called_after_their_result(self):
        call = {"role": "assistant", "function_call": {"name": "get_time", "arguments": "{}"}}
        answer = {"role": "function", "name": "get_time", "content": "noon"}
        message = message_of(conversation(QUESTION, call, answer, functions=self.FUNCTIONS))
        assert "noon" in message["content"]
