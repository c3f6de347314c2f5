"""The settings of a request: tools, thinking, the form of the answer; checked with the texts of Anthropic's errors."""

import re
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from flask_sluice.gateway.simulator.answers.asked import Tool, ToolChoice
from flask_sluice.gateway.simulator.apis.messages.block_checks import (
    check_cache_control,
    check_choice,
    check_tag,
    refusal,
)
from flask_sluice.gateway.simulator.apis.messages.blocks import MISSING, CacheControl

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_VERSIONED = re.compile(r"[a-z0-9_]+_20\d{6}")
_TOOL_TYPES = (
    *("bash_20250124", "code_execution_20250825", "computer_20250124", "custom", "mcp_toolset"),
    *("memory_20250818", "text_editor_20250728", "web_fetch_20250910", "web_search_20250305"),
)
"""Some, for the message: the simulator takes each type with a date."""
_RUN_BY_CLIENT = {
    "bash": '{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}',
    "computer": '{"type":"object","properties":{"action":{"enum":["screenshot"]}},"required":["action"]}',
    "memory": '{"type":"object","properties":{"command":{"enum":["view"]},"path":{"const":"/memories"}},"required":["command","path"]}',
    "text_editor": '{"type":"object","properties":{"command":{"enum":["view"]},"path":{"const":"/repo"}},"required":["command","path"]}',
}
"""Tools that Anthropic defines and the client runs, by their type without its date, and what they take at least."""
_MAX_SCHEMA_BYTES = 128 * 1024
"""Of each schema: a larger one would take long."""
_MIN_BUDGET_TOKENS = 1024
_THINKING_TOKENS = 24
"""How long the simulator thinks."""


class ToolDefinition(Struct):
    """A tool of the client's, or one of Anthropic's own."""

    name: str | UnsetType = UNSET
    type: str | None = None
    description: str = ""
    input_schema: msgspec.Raw = field(default_factory=msgspec.Raw)
    strict: bool | None = None
    cache_control: CacheControl | None = None

    def check(self, place: str) -> None:
        """Raise ApiError 400 for a tool that the API does not accept. place: such as ``tools.0``"""
        type_ = self.type or "custom"
        if not _VERSIONED.fullmatch(type_):
            check_tag(place, type_, _TOOL_TYPES)
        place = f"{place}.{type_}"
        check_cache_control(f"{place}.cache_control", self.cache_control)
        if type_ != "custom":
            return
        if self.name is UNSET:
            raise refusal(f"{place}.name: Field required")
        if not self.name:
            raise refusal(f"{place}.name: String should have at least 1 character")
        if not _NAME.fullmatch(str(self.name)):
            raise refusal(f"{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if self.input_schema == MISSING:
            raise refusal(f"{place}.input_schema: Field required")
        _check_object(f"{place}.input_schema", self.input_schema)
        type_of_input = bytes(msgspec.json.decode(self.input_schema, type=_SchemaType).type)
        if not type_of_input:
            raise refusal(f"{place}.input_schema.type: Field required")
        if type_of_input != b'"object"':
            raise refusal(f"{place}.input_schema.type: Input should be 'object'")
        if self.strict:
            _check_closed(place, self.input_schema)

    def as_tool(self) -> Tool | None:
        """Return it in the neutral form; None: the model's server runs it."""
        type_ = self.type or "custom"
        parameters: msgspec.Raw | None = self.input_schema
        if type_ != "custom":
            kind = _RUN_BY_CLIENT.get(type_.rpartition("_")[0])
            parameters = None if kind is None else msgspec.Raw(kind.encode())
        return None if parameters is None else Tool(str(self.name), self.description, parameters)


class Choice(Struct):
    """Whether tools are to be called."""

    type: str
    name: str | UnsetType = UNSET
    disable_parallel_tool_use: bool = False

    def check(self, tools: list[ToolDefinition]) -> None:
        """Raise ApiError 400 for a choice among tools that are not there."""
        check_tag("tool_choice", self.type, ("auto", "any", "tool", "none"))
        if self.type == "any" and not tools:
            raise refusal("tool_choice.any may only be specified while providing tools")
        if self.type != "tool":
            return
        if self.name is UNSET:
            raise refusal("tool_choice.tool.name: Field required")
        if all(tool.name != self.name for tool in tools):
            raise refusal(f"Tool '{str(self.name)[:200]}' not found in provided tools")

    @property
    def forces(self) -> bool:
        """Whether a tool must be called."""
        return self.type in ("any", "tool")

    def as_choice(self, tools: list[Tool]) -> ToolChoice:
        """Return it in the neutral form. tools: those that the model can call"""
        if self.type == "tool" and any(tool.name == self.name for tool in tools):
            return ToolChoice("required", str(self.name))
        if self.type == "any" and tools:
            return ToolChoice("required")
        return ToolChoice("none" if self.type == "none" else "auto")


class Thinking(Struct):
    """Whether the model thinks before it answers, and whether the client sees it."""

    type: str
    budget_tokens: int | UnsetType = UNSET
    display: str | None = None

    def check(self, max_tokens: int | None) -> None:
        """Raise ApiError 400 for a budget that the API does not accept. max_tokens: None: there is no answer"""
        check_tag("thinking", self.type, ("adaptive", "between_tools", "disabled", "enabled"))
        if self.display is not None:
            check_choice(f"thinking.{self.type}.display", self.display, ("summarized", "omitted"))
        if self.type != "enabled":
            return
        if isinstance(self.budget_tokens, UnsetType):
            raise refusal("thinking.enabled.budget_tokens: Field required")
        if self.budget_tokens < _MIN_BUDGET_TOKENS:
            raise refusal(
                "thinking.enabled.budget_tokens: Input should be greater than or equal to "
                f"{_MIN_BUDGET_TOKENS}"
            )
        if max_tokens is not None and max_tokens <= self.budget_tokens:
            raise refusal(
                "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
                "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
                "#max-tokens-and-context-window-size"
            )

    @property
    def is_on(self) -> bool:
        return self.type in ("enabled", "adaptive")

    def tokens(self, max_tokens: int | None) -> int:
        """Return how many tokens to think, so that some are left for the answer."""
        return min(_THINKING_TOKENS, (max_tokens or 0) // 2) if self.is_on else 0


class Thread(Struct):
    """The part of the conversation that the server is to hold."""

    type: str


class JsonFormat(Struct):
    """The JSON Schema that the answer follows."""

    type: str
    schema: msgspec.Raw = field(default_factory=msgspec.Raw)

    def check(self, place: str) -> None:
        """Raise ApiError 400 for a schema that the API does not accept."""
        check_choice(f"{place}.type", self.type, ("json_schema",))
        if self.schema == MISSING:
            raise refusal(f"{place}.schema: Field required")
        _check_object(f"{place}.schema", self.schema)
        _check_closed(f"{place}.schema", self.schema)


class OutputConfig(Struct):
    """How the answer is to be."""

    effort: str | None = None
    format: JsonFormat | None = None

    def check(self) -> None:
        """Raise ApiError 400 for an effort or a schema that the API does not accept."""
        if self.effort is not None:
            check_choice(
                "output_config.effort", self.effort, ("low", "medium", "high", "xhigh", "max")
            )
        if self.format is not None:
            self.format.check("output_config.format")


class Metadata(Struct):
    """Of the request, for the operator."""

    user_id: str | None = None


class _SchemaType(Struct):
    type: msgspec.Raw = field(default_factory=msgspec.Raw)


def _check_object(place: str, schema: msgspec.Raw) -> None:
    """Raise ApiError for a schema that is not an object, or is too large."""
    text = bytes(schema)
    if not text.startswith(b"{"):
        raise refusal(f"{place}: Input should be an object")
    if len(text) > _MAX_SCHEMA_BYTES:
        raise refusal(
            f"{place}: the simulator reads at most {_MAX_SCHEMA_BYTES} bytes of a JSON schema"
        )


def _check_closed(place: str, schema: msgspec.Raw) -> None:
    """Raise ApiError for an object in the schema that may have more properties than it names."""
    try:
        left: list[Any] = [msgspec.json.decode(schema)]
    except (msgspec.DecodeError, RecursionError) as error:  # A number may have too many digits.
        raise refusal(f"{place}: JSON schema is invalid: {error}") from None
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(value)
        elif isinstance(value, dict):
            if value.get("type") == "object" and value.get("additionalProperties") is not False:
                raise refusal(
                    f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false"
                )
            left.extend(value.values())
