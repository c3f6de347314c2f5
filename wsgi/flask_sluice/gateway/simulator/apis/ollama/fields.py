"""Fields of Ollama's chats and completions alike."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.answers.asked import Tool
from flask_sluice.gateway.simulator.apis.openai_media import image_tokens, is_base64
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.bounds import MAX_PARTS
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.stream.errors import ApiError

NOTHING = msgspec.Raw(b"null")
_ANY_OBJECT = msgspec.Raw(b'{"type":"object"}')
_IMAGE_HEAD_CHARACTERS = 90_000
"""An image's size is in its first bytes."""
_REASONING_TOKENS = {True: 48, False: 0, "low": 24, "medium": 48, "high": 96, "": 0}

Images = Annotated[list[str], Meta(max_length=MAX_PARTS)]


class ModelOptions(Struct):
    """How the model runs. Only what the simulator obeys is named here.

    num_predict: the most tokens of the answer; 0 or less: no limit
    num_ctx: how many tokens of the prompt the model reads
    simulator: as the request's own, for clients that cannot send a field that they do not know
    """

    num_predict: int | None = None
    num_ctx: Annotated[int, Meta(ge=1)] | None = None
    seed: int | None = None
    temperature: float | None = None
    stop: Annotated[list[str], Meta(max_length=64)] | None = None
    simulator: SimulatorOptions | None = None


class ToolFunction(Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.field(default_factory=lambda: NOTHING)


class ToolDefinition(Struct):
    """A function that the model may call."""

    function: ToolFunction
    type: str | None = "function"

    def tool(self) -> Tool:
        function = self.function
        has_parameters = bytes(function.parameters) != b"null"
        parameters = function.parameters if has_parameters else _ANY_OBJECT
        return Tool(function.name, function.description or "", parameters)


class OllamaRequest(ApiRequest, kw_only=True):
    """What both have. The answer is streamed unless ``stream`` is false.

    form: "json", or a JSON Schema
    think: whether the model thinks before it answers, or how much
    """

    stream: bool | None = True
    options: ModelOptions | None = None
    form: msgspec.Raw = msgspec.field(name="format", default_factory=lambda: NOTHING)
    think: bool | str | None = None
    keep_alive: float | str | None = None

    def __post_init__(self) -> None:
        self.stream = self.stream is not False
        if self.simulator is None and self.options is not None:
            self.simulator = self.options.simulator

    @property
    def model_options(self) -> ModelOptions:
        return self.options or ModelOptions()

    @property
    def loads_only(self) -> bool:
        """Whether the request asks nothing, and so only has the model loaded or unloaded."""
        raise NotImplementedError

    @property
    def unloads(self) -> bool:
        return self.keep_alive in (0, "0", "0s", "0m")

    def check(self) -> None:
        """Raise ApiError 400 for what Ollama does not take."""
        if self.think is not None and self.think not in _REASONING_TOKENS:
            raise _refusal(
                f'invalid think value: "{str(self.think)[:64]}" (must be "high", "medium", "low", true, or false)',
                "think",
            )
        self.schema()

    def schema(self) -> msgspec.Raw | None:
        """Return the JSON Schema of the answer, None for prose. Raises ApiError 400 for a format that does not exist."""
        given = bytes(self.form)
        if given in (b"null", b'""'):
            return None
        if given == b'"json"':
            return _ANY_OBJECT
        if given.startswith(b"{"):
            return self.form
        shown = given[:64].decode("utf-8", "replace")
        raise _refusal(f'invalid format: {shown}; expected "json" or a JSON schema', "format")

    def common(self, options: SimulatorOptions) -> dict[str, Any]:
        """Return the fields of ``Asked`` that both fill in the same way."""
        model_options = self.model_options
        limit = model_options.num_predict
        return {
            "model": self.model,
            "options": SimulatorOptions(text="") if self.loads_only else options,
            "is_stream": bool(self.stream),
            "token_limit": limit if limit is not None and limit > 0 else None,
            "stops": model_options.stop or [],
            "seed": model_options.seed or 0,
            "schema": self.schema(),
            "reasoning_tokens": 0 if self.loads_only else _REASONING_TOKENS[self.think or False],
        }


def tokens_of_images(images: list[str] | None) -> int:
    """Return how many tokens the images count. Raises ApiError 400 for one that is not base64."""
    count = 0
    for image in images or ():
        if not is_base64(image):
            raise _refusal("illegal base64 data in images", "images")
        count += image_tokens(f"data:,{image[:_IMAGE_HEAD_CHARACTERS]}", None)
    return count


def _refusal(message: str, field: str) -> ApiError:
    return ApiError(400, "invalid_request", message, param=field)
