"""Which tools an answer calls, with what arguments, and what it says of their results."""

import msgspec

from flask_sluice.gateway.simulator.answers.answer import Part
from flask_sluice.gateway.simulator.answers.asked import Asked, Tool
from flask_sluice.gateway.simulator.answers.json_from_schema import json_from_schema
from flask_sluice.gateway.simulator.answers.merged_schema import SchemaError
from flask_sluice.gateway.simulator.answers.picking import pick_calls
from flask_sluice.gateway.simulator.answers.texts import Question, shortened, tokenize
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.give_way import give_way

_MAX_RESULTS = 4
_FREE_TEXT_TOKENS = 12
_RESULTS = "The tools returned: {results}.\n\n"
_RESULT = "The tool returned: {results}.\n\n"


def tool_calls(asked: Asked, question: Question, seed: int) -> list[Part]:
    """Return the calls with which the model answers, none where it answers with text.

    Where it is free to choose, it calls tools before it has seen their results, and none afterwards: so a program that runs
    tools until there are no more calls comes to an end.
    """
    choice = asked.tool_choice
    if choice.mode == "none" or (choice.mode == "auto" and asked.tool_results):
        return []
    tools = [tool for tool in asked.tools if choice.name in (None, tool.name)]
    if not tools:
        return []
    picked = pick_calls(tools, question.topic, may_pick_several=asked.may_call_in_parallel)
    return [_call(tool, topic, question, seed) for tool, topic in picked]


def json_tokens(schema: msgspec.Raw, field: str, question: Question, seed: int) -> list[str]:
    """Return the tokens of a JSON text of this schema. A large one takes some milliseconds, so others have their turn.

    field: of the request, for a refusal
    """
    try:
        text = json_from_schema(schema, question.topic, seed)
    except SchemaError as error:
        problem = f"Invalid schema for the answer: {error}"
        raise ApiError(400, "invalid_json_schema", problem, param=field) from None
    give_way()
    return tokenize(text)


def tokens_about(tool_results: list[str]) -> list[str]:
    """Return the tokens of a sentence that takes up the results of tools; none without results."""
    if not tool_results:
        return []
    shown = ", ".join(f"“{shortened(result)}”" for result in tool_results[:_MAX_RESULTS])
    sentence = _RESULT if len(tool_results) == 1 else _RESULTS
    return tokenize(sentence.replace("{results}", shown))


def _call(tool: Tool, topic: str, question: Question, seed: int) -> Part:
    if tool.parameters is None and tool.pattern is None:
        tokens = question.answer(seed, _FREE_TEXT_TOKENS)
        return Part("tool_call", tokens, tool.name, is_free_text=True)
    schema = tool.parameters
    if schema is None:
        text_schema = {"type": "string", "pattern": tool.pattern}
        schema = msgspec.Raw(msgspec.json.encode(text_schema))
    try:
        arguments = json_from_schema(schema, topic, seed)
    except SchemaError as error:
        text = f"Invalid schema for function '{tool.name}': {error}"
        raise ApiError(400, "invalid_function_parameters", text) from None
    give_way()
    if tool.parameters is None:
        text = msgspec.json.decode(arguments, type=str)
        return Part("tool_call", tokenize(text), tool.name, is_free_text=True)
    return Part("tool_call", tokenize(arguments), tool.name)
