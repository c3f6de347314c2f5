"""The body of POST /v1/embeddings."""

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, cast

import msgspec
from msgspec import Meta

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.answers.texts import count_tokens
from flask_sluice.gateway.simulator.apis import openai_errors
from flask_sluice.gateway.simulator.apis.documents import asked_about
from flask_sluice.gateway.simulator.apis.embeddings.format import EmbeddingsFormat
from flask_sluice.gateway.simulator.apis.embeddings.models import embedding_model
from flask_sluice.gateway.simulator.apis.openai_errors import invalid, unknown_value
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.give_way import give_way, heavy_work

_MAX_ITEMS = 2048
_MAX_TOKENS_OF_AN_ITEM = 8192
_MAX_TOKENS = 300_000
_ENCODINGS = ("float", "base64")
TokenId = Annotated[int, Meta(ge=0)]


class EmbeddingsRequest(ApiRequest, kw_only=True):
    """One or more texts, or token ids, of which each becomes a vector."""

    input: (
        str | Annotated[list[str | TokenId | list[TokenId]], Meta(min_length=1, max_length=100_000)]
    )
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: str | None = None
    user: str | None = None

    format_type = EmbeddingsFormat
    explain: ClassVar[Callable[[bytes, msgspec.ValidationError], ApiError | None]] = staticmethod(
        openai_errors.explain
    )

    def __post_init__(self) -> None:
        # The answer is a document, whatever the request says.
        self.stream = False

    def check(self) -> None:
        """Raise ApiError 400 for what OpenAI's API does not take."""
        if self.encoding_format is not None and self.encoding_format not in _ENCODINGS:
            raise unknown_value("encoding_format", self.encoding_format, _ENCODINGS)
        self._check_dimensions()
        self._check_items()

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for. Raises ApiError 400 as ``check`` does."""
        self.check()
        items = self.items()
        texts = [item for item in items if isinstance(item, str)]
        ids = sum(len(item) for item in items if not isinstance(item, str))
        return asked_about(self.model, texts, ids)

    def format(self, asked: Asked, answer: Answer) -> EmbeddingsFormat:
        """Return what writes the answer. Raises ApiError 400 for texts that are too long."""
        if answer.usage.prompt > _MAX_TOKENS:
            message = f"Invalid 'input': maximum request size is {_MAX_TOKENS} tokens per request."
            raise invalid("input", message, "max_tokens_per_request")
        items = self.items()
        _check_lengths(items)
        return EmbeddingsFormat(
            asked,
            answer,
            items=items,
            dimensions=self.dimensions or embedding_model(self.model).dimensions,
            is_base64=self.encoding_format == "base64",
        )

    def items(self) -> list[str | list[int]]:
        """Return what the vectors are of, one each."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [cast("list[int]", self.input)]
        return cast("list[str | list[int]]", self.input)

    def _check_dimensions(self) -> None:
        if self.dimensions is None:
            return
        model = embedding_model(self.model)
        if not model.can_shorten:
            raise invalid("dimensions", "This model does not support specifying dimensions.")
        if self.dimensions > model.dimensions:
            raise invalid(
                "dimensions",
                f"Invalid value for 'dimensions' = {self.dimensions}. Must be less than or equal to {model.dimensions}.",
            )

    def _check_items(self) -> None:
        if not isinstance(self.input, str) and len({type(item) for item in self.input}) > 1:
            text = "'$.input' is invalid: it takes texts or token ids, not both."
            raise invalid("input", text)
        items = self.items()
        if len(items) > _MAX_ITEMS:
            text = (
                f"Invalid 'input': array too long. Expected an array with maximum length {_MAX_ITEMS}, "
                f"but got an array with length {len(items)} instead."
            )
            raise invalid("input", text, "array_above_max_length")
        for item in items:
            if not item:
                noun = "an empty string" if isinstance(item, str) else "an empty array"
                raise invalid("input", f"Invalid 'input': input cannot be {noun}.")


def _check_lengths(items: Sequence[str | list[int]]) -> None:
    # A token has at least one character.
    long = [item for item in items if len(item) > _MAX_TOKENS_OF_AN_ITEM]
    if not long:
        return
    with heavy_work():
        for item in long:
            count = count_tokens(item) if isinstance(item, str) else len(item)
            if count > _MAX_TOKENS_OF_AN_ITEM:
                raise invalid("input", _too_long(count), "context_length_exceeded")
            give_way()


def _too_long(count: int) -> str:
    return (
        f"This model's maximum context length is {_MAX_TOKENS_OF_AN_ITEM} tokens, however you requested {count} tokens "
        f"({count} in your prompt; 0 for the completion). Please reduce your prompt; or completion length."
    )
