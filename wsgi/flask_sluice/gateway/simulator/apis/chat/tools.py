"""The tools of a conversation, and which of them the model may call."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from flask_sluice.gateway.simulator.answers.asked import Tool, ToolChoice
from flask_sluice.gateway.simulator.apis.openai_errors import (
    check_name,
    invalid,
    missing_field,
    unknown_value,
)
from flask_sluice.gateway.simulator.apis.openai_schemas import MAX_SCHEMA_BYTES, check_schema
from flask_sluice.stream.errors import ApiError

MAX_TOOLS = 128
_MODES = ("none", "auto", "required")
_CHARACTERS_PER_TOKEN = 4
_TOKENS_OF_A_TOOL = 8
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')


class Function(Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw | UnsetType = UNSET
    strict: bool | None = None

    @property
    def schema(self) -> msgspec.Raw:
        given = self.parameters
        return _NO_PARAMETERS if given is UNSET or bytes(given) == b"null" else given


class Grammar(Struct):
    syntax: str
    definition: str


class CustomFormat(Struct):
    type: str
    grammar: Grammar | None = None


class Custom(Struct):
    name: str
    description: str | None = None
    format: CustomFormat | None = None

    @property
    def pattern(self) -> str | None:
        """The regular expression of its input; a grammar of Lark's is not obeyed."""
        grammar = None if self.format is None else self.format.grammar
        return grammar.definition if grammar is not None and grammar.syntax == "regex" else None


class ToolDefinition(Struct):
    type: str
    function: Function | None = None
    custom: Custom | None = None

    @property
    def name(self) -> str:
        if self.function is not None:
            return self.function.name
        return self.custom.name if self.custom is not None else ""

    def tool(self) -> Tool:
        if self.function is not None:
            return _function_tool(self.function)
        assert self.custom is not None
        return Tool(self.name, self.custom.description or "", None, self.custom.pattern)


class Named(Struct):
    name: str


class AllowedTool(Struct):
    type: str
    function: Named | None = None
    custom: Named | None = None


class AllowedTools(Struct):
    mode: str
    tools: Annotated[list[AllowedTool], Meta(min_length=1, max_length=MAX_TOOLS)]


class ChosenTool(Struct):
    type: str
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: AllowedTools | None = None


Tools = Annotated[list[ToolDefinition], Meta(min_length=1, max_length=MAX_TOOLS)]
Functions = Annotated[list[Function], Meta(min_length=1, max_length=MAX_TOOLS)]


def check_tools(tools: Sequence[ToolDefinition]) -> None:
    """Raise ApiError 400 for a tool that OpenAI's API does not take."""
    room = MAX_SCHEMA_BYTES
    for place, tool in enumerate(tools):
        path = f"tools[{place}]"
        if tool.type not in ("function", "custom"):
            raise unknown_value(f"{path}.type", tool.type, ("function", "custom"))
        if tool.type == "function":
            if tool.function is None:
                raise missing_field(f"{path}.function")
            room = check_function(f"{path}.function", tool.function, room)
        else:
            if tool.custom is None:
                raise missing_field(f"{path}.custom")
            _check_custom(f"{path}.custom", tool.custom)


def check_function(path: str, function: Function, room: int) -> int:
    """Raise ApiError 400 for a function that OpenAI's API does not take. Returns how many bytes the next may have."""
    check_name(f"{path}.name", function.name)
    room -= len(bytes(function.schema))
    if room < 0:
        text = f"the tools' parameters are larger than {MAX_SCHEMA_BYTES} bytes"
        raise invalid(f"{path}.parameters", text, "schema_too_large")
    check_schema(
        f"{path}.parameters",
        f"function '{function.name}'",
        function.schema,
        is_strict=bool(function.strict),
        code="invalid_function_parameters",
    )
    return room


def check_functions(functions: Sequence[Function]) -> None:
    """Raise ApiError 400 for a function that OpenAI's API does not take, of the deprecated ``functions``."""
    room = MAX_SCHEMA_BYTES
    for place, function in enumerate(functions):
        room = check_function(f"functions[{place}]", function, room)


def _check_custom(path: str, custom: Custom) -> None:
    check_name(f"{path}.name", custom.name)
    if custom.format is None:
        return
    if custom.format.type not in ("text", "grammar"):
        raise unknown_value(f"{path}.format.type", custom.format.type, ("text", "grammar"))
    if custom.format.type == "grammar":
        if custom.format.grammar is None:
            raise missing_field(f"{path}.format.grammar")
        if custom.format.grammar.syntax not in ("lark", "regex"):
            syntax = custom.format.grammar.syntax
            raise unknown_value(f"{path}.format.grammar.syntax", syntax, ("lark", "regex"))


def chosen_tools(
    definitions: Sequence[ToolDefinition], choice: str | ChosenTool | None
) -> tuple[list[Tool], ToolChoice]:
    """Return the tools that the model may call, and whether it must.

    Raises ApiError 400 for a choice of what is not there.
    """
    if not definitions:
        if choice not in (None, "none", "auto"):
            raise _without_tools("tool_choice")
        return [], ToolChoice()
    tools = [definition.tool() for definition in definitions]
    if choice is None or choice == "auto":
        return tools, ToolChoice()
    if choice == "none":
        return tools, ToolChoice("none")
    if choice == "required":
        return tools, ToolChoice("required")
    if isinstance(choice, str):
        raise unknown_value("tool_choice", choice, _MODES)
    names = {definition.name for definition in definitions}
    if choice.type == "allowed_tools":
        return _allowed_tools(tools, names, choice)
    name = _named("tool_choice", choice)
    _check_there(name, names)
    return tools, ToolChoice("required", name)


def tool_tokens(tools: Sequence[Tool]) -> int:
    """Return how many tokens of the prompt describe the tools."""
    characters = sum(
        len(tool.name) + len(tool.description) + len(bytes(tool.parameters or b""))
        for tool in tools
    )
    return characters // _CHARACTERS_PER_TOKEN + _TOKENS_OF_A_TOOL * len(tools)


def check_needs_tools(field: str, has_tools: bool) -> None:
    """Raise ApiError 400 for a field that says something about tools where there are none."""
    if not has_tools:
        raise _without_tools(field)


def chosen_functions(
    functions: Sequence[Function], choice: str | Named | None
) -> tuple[list[Tool], ToolChoice]:
    """Return what ``chosen_tools`` does, for the deprecated ``functions`` and ``function_call``."""
    if not functions and choice is not None:
        text = "'function_call' is only allowed when 'functions' are specified."
        raise invalid("function_call", f"Invalid value for 'function_call': {text}")
    tools = [_function_tool(function) for function in functions]
    if isinstance(choice, Named):
        if choice.name not in {tool.name for tool in tools}:
            text = f"Invalid value for 'function_call': no function named '{choice.name[:256]}' was specified in the 'functions' parameter."
            raise invalid("function_call", text)
        return tools, ToolChoice("required", choice.name)
    if choice not in (None, "none", "auto"):
        raise unknown_value("function_call", choice, ("none", "auto"))
    return tools, ToolChoice("none" if choice == "none" else "auto")


def _function_tool(function: Function) -> Tool:
    return Tool(function.name, function.description or "", function.schema)


def _allowed_tools(
    tools: list[Tool], names: set[str], choice: ChosenTool
) -> tuple[list[Tool], ToolChoice]:
    allowed = choice.allowed_tools
    if allowed is None:
        raise missing_field("tool_choice.allowed_tools")
    if allowed.mode not in ("auto", "required"):
        raise unknown_value("tool_choice.allowed_tools.mode", allowed.mode, ("auto", "required"))
    chosen = set()
    for place, each in enumerate(allowed.tools):
        name = _named(f"tool_choice.allowed_tools.tools[{place}]", each)
        _check_there(name, names)
        chosen.add(name)
    mode = ToolChoice("auto" if allowed.mode == "auto" else "required")
    return [tool for tool in tools if tool.name in chosen], mode


def _named(path: str, choice: ChosenTool | AllowedTool) -> str:
    if choice.type not in ("function", "custom"):
        raise unknown_value(f"{path}.type", choice.type, ("function", "allowed_tools", "custom"))
    named = choice.function if choice.type == "function" else choice.custom
    if named is None:
        raise missing_field(f"{path}.{choice.type}")
    return named.name


def _check_there(name: str, names: set[str]) -> None:
    if name not in names:
        text = f"Tool choice '{name[:256]}' not found in 'tools' parameter."
        raise invalid("tool_choice", text)


def _without_tools(field: str) -> ApiError:
    text = f"'{field}' is only allowed when 'tools' are specified."
    return invalid(field, f"Invalid value for '{field}': {text}")
