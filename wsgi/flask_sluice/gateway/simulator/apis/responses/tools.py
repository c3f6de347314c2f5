"""The tools of a response, which are flat where those of a chat completion are nested, and which of them may be called."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from flask_sluice.gateway.simulator.answers.asked import Tool, ToolChoice
from flask_sluice.gateway.simulator.apis.chat.tools import MAX_TOOLS, Function, check_function
from flask_sluice.gateway.simulator.apis.openai_errors import (
    check_name,
    invalid,
    missing_field,
    unknown_value,
)
from flask_sluice.gateway.simulator.apis.openai_schemas import MAX_SCHEMA_BYTES

BUILT_IN = (
    *("apply_patch", "code_interpreter", "computer", "computer_use_preview", "file_search"),
    *("image_generation", "local_shell", "mcp", "namespace", "shell", "tool_search"),
    *("web_search", "web_search_2025_08_26", "web_search_preview"),
    "web_search_preview_2025_03_11",
)
"""Accepted, and not called."""
_TYPES = ("function", "custom", *BUILT_IN)
_MODES = ("none", "auto", "required")


class Form(Struct):
    """Of a custom tool's text."""

    type: str
    syntax: str | None = None
    definition: str | None = None


class ToolDefinition(Struct):
    """A function, a custom tool, or a tool that is built in."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw | UnsetType = UNSET
    strict: bool | None = None
    format: Form | None = None

    def function(self) -> Function:
        return Function(self.name or "", self.description, self.parameters, self.strict)

    def tool(self) -> Tool:
        schema = None if self.type == "custom" else self.function().schema
        return Tool(self.name or "", self.description or "", schema)

    def check(self, path: str, room: int) -> int:
        """Raise ApiError 400 for a tool that OpenAI's API does not take. Return how many bytes of schemas are left."""
        if self.type not in _TYPES:
            raise unknown_value(f"{path}.type", self.type, _TYPES)
        if self.type in BUILT_IN:
            return room
        if self.name is None:
            raise missing_field(f"{path}.name")
        if self.type == "function":
            return check_function(path, self.function(), room)
        check_name(f"{path}.name", self.name)
        if self.format is not None and self.format.type not in ("text", "grammar"):
            raise unknown_value(f"{path}.format.type", self.format.type, ("text", "grammar"))
        return room


class Named(Struct, omit_defaults=True):
    """A tool that may be called."""

    type: str
    name: str | None = None


class ChosenTool(Struct, omit_defaults=True):
    """A tool that is to be called, or those that may be."""

    type: str
    name: str | None = None
    mode: str | None = None
    tools: Annotated[list[Named], Meta(min_length=1, max_length=MAX_TOOLS)] | None = None


Tools = Annotated[list[ToolDefinition], Meta(max_length=MAX_TOOLS)]


def check_tools(tools: Sequence[ToolDefinition]) -> None:
    """Raise ApiError 400 for a tool that OpenAI's API does not take."""
    room = MAX_SCHEMA_BYTES
    for place, tool in enumerate(tools):
        room = tool.check(f"tools[{place}]", room)


def chosen_tools(
    definitions: Sequence[ToolDefinition], choice: str | ChosenTool | None
) -> tuple[list[Tool], ToolChoice]:
    """Return the tools that the model may call, and whether it must. Raises ApiError 400 for a choice of what is not there."""
    tools = [each.tool() for each in definitions if each.type not in BUILT_IN]
    if isinstance(choice, ChosenTool):
        return _chosen(definitions, tools, choice)
    if choice not in (None, *_MODES):
        raise unknown_value("tool_choice", choice, _MODES)
    if choice == "required":
        if not definitions:
            text = "Tool choice 'required' must be specified with 'tools' parameter."
            raise invalid("tool_choice", text)
        return tools, ToolChoice("required")
    return tools, ToolChoice("none" if choice == "none" else "auto")


def _chosen(
    definitions: Sequence[ToolDefinition], tools: list[Tool], choice: ChosenTool
) -> tuple[list[Tool], ToolChoice]:
    if choice.type == "allowed_tools":
        if choice.mode not in ("auto", "required"):
            raise unknown_value("tool_choice.mode", choice.mode or "", ("auto", "required"))
        if choice.tools is None:
            raise missing_field("tool_choice.tools")
        for each in choice.tools:
            _check_there(definitions, each.type, each.name)
        names = {each.name for each in choice.tools}
        mode = ToolChoice("auto" if choice.mode == "auto" else "required")
        return [tool for tool in tools if tool.name in names], mode
    if choice.type in ("function", "custom"):
        if choice.name is None:
            raise missing_field("tool_choice.name")
        _check_there(definitions, choice.type, choice.name)
        return tools, ToolChoice("required", choice.name)
    if choice.type not in BUILT_IN:
        raise unknown_value("tool_choice.type", choice.type, ("allowed_tools", *_TYPES))
    _check_there(definitions, choice.type, None)
    return tools, ToolChoice("none")


def _check_there(definitions: Sequence[ToolDefinition], type_: str, name: str | None) -> None:
    is_named = type_ in ("function", "custom")
    if not any(each.type == type_ and (each.name == name or not is_named) for each in definitions):
        raise invalid("tool_choice", f"Tool choice '{type_}' not found in 'tools' parameter.")


def told_tools(definitions: Sequence[ToolDefinition], raw: Sequence[msgspec.Raw]) -> list[Any]:
    """Return the tools as the response repeats them: functions with their defaults.

    raw: the same, undecoded
    """
    return [
        _told_function(definition) if definition.type == "function" else tool
        for definition, tool in zip(definitions, raw, strict=True)
    ]


def _told_function(definition: ToolDefinition) -> dict[str, Any]:
    return {
        "type": "function",
        "name": definition.name,
        "description": definition.description,
        "parameters": definition.function().schema,
        "strict": definition.strict is not False,
    }
