"""Fields of OpenAI's chat completions and text completions alike, with their ranges."""

from collections.abc import Callable
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta, Struct, field

from flask_sluice.gateway.simulator.apis import openai_errors
from flask_sluice.gateway.simulator.apis.openai_errors import (
    invalid,
    name_of_type,
    too_long,
    too_many_properties,
    unknown_value,
    wrong_type,
)
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.stream.errors import ApiError

Stop = str | Annotated[list[str], Meta(max_length=4)] | None  # as many as OpenAI takes
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

SERVICE_TIERS = ("auto", "default", "fast", "flex", "scale", "priority")
EFFORTS = {
    "none": 0,
    "minimal": 0,
    "low": 64,
    "medium": 192,
    "high": 448,
    "xhigh": 832,
    "max": 1024,
}
"""How many tokens a model thinks before it answers; OpenAI's count in steps of 64."""
_MAX_BIAS = 100
_MAX_BIASES = 1024
_MAX_METADATA = 16
_MAX_COMMAS = 16_384
"""Of an object that is to have few properties: it is decoded in a few milliseconds."""
_MAX_KEY_CHARACTERS = 64
_MAX_VALUE_CHARACTERS = 512


class StreamOptions(Struct):
    """What a stream is to tell besides its tokens."""

    include_usage: bool | None = False
    include_obfuscation: bool | None = None


class OpenAIRequest(ApiRequest, kw_only=True):
    """What both have."""

    explain: ClassVar[Callable[[bytes, msgspec.ValidationError], ApiError | None]] = staticmethod(
        openai_errors.explain
    )

    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = 1
    stop: Stop = None
    seed: Seed | None = None
    logit_bias: msgspec.Raw = field(default_factory=msgspec.Raw)
    """Undecoded, as ``metadata`` is: an object of many keys takes long."""
    user: str | None = None
    metadata: msgspec.Raw = field(default_factory=msgspec.Raw)
    service_tier: str | None = None

    @property
    def told_service_tier(self) -> str | None:
        """The tier that the answer names: the default one where it was left to the server."""
        return "default" if self.service_tier == "auto" else self.service_tier

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def check(self) -> None:
        """Raise ApiError 400 for fields that do not fit together, and for values that OpenAI's API does not take."""
        if self.stream_options is not None and not self.stream:
            raise invalid(
                "stream_options",
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            )
        if self.service_tier is not None and self.service_tier not in SERVICE_TIERS:
            raise unknown_value("service_tier", self.service_tier, SERVICE_TIERS)
        _check_bias(properties_of("logit_bias", self.logit_bias, _MAX_BIASES))
        check_metadata(properties_of("metadata", self.metadata, _MAX_METADATA))


def reasoning_tokens(effort: str | None) -> int:
    """Return how many tokens a model thinks with this effort. Raises ApiError 400 for an effort that does not exist."""
    if effort is None:
        return 0
    if effort not in EFFORTS:
        raise unknown_value("reasoning_effort", effort, [*EFFORTS])
    return EFFORTS[effort]


def properties_of(path: str, value: msgspec.Raw, limit: int) -> dict[str, msgspec.Raw]:
    """Return the properties of an object with at most so many; none where it is absent or null.

    Raises ApiError 400 for other values.
    """
    text = bytes(value)
    if text in (b"", b"null"):
        return {}
    if not text.startswith(b"{"):
        raise wrong_type(path, "an object", name_of_type(text))
    if text.count(b",") > _MAX_COMMAS:
        raise too_many_properties(path, limit, None)
    properties = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if len(properties) > limit:
        raise too_many_properties(path, limit, len(properties))
    return properties


def check_metadata(metadata: dict[str, msgspec.Raw]) -> None:
    """Raise ApiError 400 for metadata that are not short texts."""
    for key, value in metadata.items():
        if len(key) > _MAX_KEY_CHARACTERS:
            raise invalid(
                "metadata",
                f"Invalid property name in 'metadata': '{key[:3]}...{key[-3:]}' is too long. Expected a string "
                f"with maximum length {_MAX_KEY_CHARACTERS}, but got a string with length {len(key)} instead.",
                "property_name_above_max_length",
            )
        if not bytes(value).startswith(b'"'):
            raise wrong_type(f"metadata.{key}", "a string", name_of_type(bytes(value)))
        length = len(msgspec.json.decode(value, type=str))
        if length > _MAX_VALUE_CHARACTERS:
            raise too_long(f"metadata.{key}", _MAX_VALUE_CHARACTERS, length)


def _check_bias(biases: dict[str, msgspec.Raw]) -> None:
    for key, value in biases.items():
        if not (key.isascii() and key.isdigit()):
            raise invalid(
                "logit_bias",
                f"Invalid key in 'logit_bias': {key[:_MAX_KEY_CHARACTERS]}. "
                "You should only be submitting non-negative integers.",
            )
        try:
            bias = msgspec.json.decode(value, type=float)
        except msgspec.ValidationError:
            got = name_of_type(bytes(value))
            raise wrong_type(f"logit_bias.{key[:_MAX_KEY_CHARACTERS]}", "an integer", got) from None
        if not -_MAX_BIAS <= bias <= _MAX_BIAS:
            raise invalid(
                "logit_bias",
                f"Invalid value for 'logit_bias': {bias:g} is not between -{_MAX_BIAS} and {_MAX_BIAS}.",
            )
