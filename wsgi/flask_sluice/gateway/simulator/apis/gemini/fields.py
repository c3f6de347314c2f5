"""The fields of a Gemini request: contents, tools, and how the answer is to be."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.answers.asked import Tool
from flask_sluice.gateway.simulator.apis.openai_media import audio_tokens
from flask_sluice.gateway.simulator.bounds import MAX_PARTS
from flask_sluice.stream.errors import ApiError

_IMAGE_TOKENS = 258
"""Of an image, whatever its size (up to a tile), and of each page of a PDF."""
_FILE_TOKENS = 258
ANY_OBJECT = msgspec.Raw(b'{"type":"object"}')


def _nothing() -> msgspec.Raw:
    return msgspec.Raw(b"null")


def is_given(value: msgspec.Raw) -> bool:
    """Return whether a field that is not decoded has a value."""
    return bytes(value) != b"null"


class InlineData(Struct, rename="camel"):
    mime_type: str | None = None
    data: str | None = None


class FileData(Struct, rename="camel"):
    mime_type: str | None = None
    file_uri: str | None = None


class FunctionCall(Struct, rename="camel"):
    name: str
    id: str | None = None
    args: msgspec.Raw = msgspec.field(default_factory=_nothing)


class FunctionResponse(Struct, rename="camel"):
    name: str | None = None
    id: str | None = None
    response: msgspec.Raw = msgspec.field(default_factory=_nothing)


class Part(Struct, rename="camel"):
    """A piece of a content, of one of these kinds."""

    text: str | None = None
    thought: bool | None = None
    inline_data: InlineData | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None

    @property
    def shown_text(self) -> str:
        """What the model reads of it."""
        if self.text is not None:
            return self.text
        if self.function_response is not None:
            return bytes(self.function_response.response).decode()
        return ""

    @property
    def media_tokens(self) -> int:
        if self.file_data is not None:
            return _FILE_TOKENS
        if self.inline_data is None or self.inline_data.data is None:
            return 0
        kind, _, format_ = (self.inline_data.mime_type or "").partition("/")
        if kind == "audio":
            return audio_tokens(self.inline_data.data, format_)
        return _IMAGE_TOKENS


class Content(Struct, rename="camel"):
    """A turn of the conversation. One part may stand without its list, as Google's JSON admits."""

    role: str | None = None
    parts: Annotated[list[Part], Meta(max_length=MAX_PARTS)] | Part | None = None

    @property
    def all_parts(self) -> list[Part]:
        return [self.parts] if isinstance(self.parts, Part) else self.parts or []

    @property
    def text(self) -> str:
        return "\n".join(part.shown_text for part in self.all_parts if part.shown_text)

    @property
    def results(self) -> list[str]:
        """The results of functions in it."""
        return [part.shown_text for part in self.all_parts if part.function_response is not None]

    @property
    def is_question(self) -> bool:
        """Whether the user says something, and does not only give results of functions."""
        is_said = any(part.function_response is None for part in self.all_parts)
        return self.role in (None, "user") and is_said


Contents = Annotated[list[Content], Meta(max_length=MAX_PARTS)] | Content


def contents_of(given: Contents | None) -> list[Content]:
    """Return the contents as a list."""
    return [given] if isinstance(given, Content) else given or []


class FunctionDeclaration(Struct, rename="camel"):
    """A function that the model may call, with a schema in Google's form or a JSON Schema."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.field(default_factory=_nothing)
    parameters_json_schema: msgspec.Raw = msgspec.field(default_factory=_nothing)

    def tool(self) -> Tool:
        schemas = [
            each for each in (self.parameters, self.parameters_json_schema) if is_given(each)
        ]
        if len(schemas) > 1:
            raise refused(
                "parameters and parametersJsonSchema are two forms of one field: set one", "tools"
            )
        return Tool(self.name, self.description or "", schemas[0] if schemas else ANY_OBJECT)


class ToolGroup(Struct, rename="camel"):
    """Functions; Google's own tools, such as its search, are accepted and not used."""

    function_declarations: (
        Annotated[list[FunctionDeclaration], Meta(max_length=512)] | FunctionDeclaration | None
    ) = None

    def tools(self) -> list[Tool]:
        given = self.function_declarations
        declarations = [given] if isinstance(given, FunctionDeclaration) else given or []
        return [declaration.tool() for declaration in declarations]


class FunctionCallingConfig(Struct, rename="camel"):
    mode: str | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(Struct, rename="camel"):
    function_calling_config: FunctionCallingConfig | None = None


class ThinkingConfig(Struct, rename="camel"):
    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(Struct, rename="camel"):
    """How the answer is to be."""

    candidate_count: Annotated[int, Meta(ge=1, le=8)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=5)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: float | None = None
    seed: int | None = None
    response_mime_type: str | None = None
    response_schema: msgspec.Raw = msgspec.field(default_factory=_nothing)
    response_json_schema: msgspec.Raw = msgspec.field(default_factory=_nothing)
    thinking_config: ThinkingConfig | None = None


def refused(message: str, field: str) -> ApiError:
    """Return the refusal of a field's value."""
    return ApiError(400, "invalid_request", message, param=field)
