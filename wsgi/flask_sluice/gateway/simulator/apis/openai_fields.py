"""Fields of OpenAI's chat completions and text completions alike."""

from typing import Annotated

from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.apis.request import ApiRequest

Stop = str | Annotated[list[str], Meta(max_length=4)] | None  # as many as OpenAI takes


class StreamOptions(Struct):
    """What a stream is to tell besides its tokens."""

    include_usage: bool = False


class OpenAIRequest(ApiRequest, kw_only=True):
    """What both have."""

    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = 1
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: Stop = None
    seed: int | None = None

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage
