"""The bodies of Gemini's embedContent, batchEmbedContents and countTokens, and the JSON of their answers."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.chat.tools import tool_tokens
from flask_sluice.gateway.simulator.apis.documents import DocumentFormat, asked_about
from flask_sluice.gateway.simulator.apis.embeddings.vectors import vector_of
from flask_sluice.gateway.simulator.apis.format import Json, encode_json
from flask_sluice.gateway.simulator.apis.gemini.fields import (
    Content,
    Contents,
    ToolGroup,
    contents_of,
    refused,
)
from flask_sluice.gateway.simulator.apis.gemini.request import GeminiRequest
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.options import Name, SimulatorOptions

_DIMENSIONS = 3072
_MAX_REQUESTS = 2048


class Embedded(Struct, rename="camel"):
    """What becomes one vector."""

    content: Content | None = None
    output_dimensionality: Annotated[int, Meta(ge=1, le=_DIMENSIONS)] | None = None
    task_type: str | None = None
    title: str | None = None

    @property
    def text(self) -> str:
        return "" if self.content is None else self.content.text


class VectorsFormat(DocumentFormat):
    """Writes a vector of each content, which is made when it is to be sent."""

    def __init__(self, asked: Asked, answer: Answer, embedded: list[Embedded]) -> None:
        super().__init__(asked, answer)
        self._embedded = embedded

    def whole_in_pieces(self) -> Iterator[bytes]:
        yield b'{"embeddings":['
        for place, each in enumerate(self._embedded):
            yield (b"," if place else b"") + encode_json(_vector(each))
        yield b"]}"


class VectorFormat(VectorsFormat):
    """Writes the one vector."""

    def whole_in_pieces(self) -> Iterator[bytes]:
        yield encode_json({"embedding": _vector(self._embedded[0])})


class GeminiEmbedRequest(ApiRequest, kw_only=True, rename="camel"):
    """One content that becomes a vector."""

    model: Name = ""
    content: Content | None = None
    output_dimensionality: Annotated[int, Meta(ge=1, le=_DIMENSIONS)] | None = None
    task_type: str | None = None
    title: str | None = None

    format_type = VectorFormat

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for. Raises ApiError 400 for a request without a text."""
        embedded = self._embedded()
        _check(embedded)
        return asked_about(self.model, [each.text for each in embedded])

    def format(self, asked: Asked, answer: Answer) -> VectorFormat:
        """Return what writes the answer."""
        return VectorFormat(asked, answer, self._embedded())

    def _embedded(self) -> list[Embedded]:
        return [Embedded(self.content, self.output_dimensionality)]


class GeminiBatchEmbedRequest(ApiRequest, kw_only=True, rename="camel"):
    """Several contents, of which each becomes a vector."""

    model: Name = ""
    requests: Annotated[list[Embedded], Meta(min_length=1, max_length=_MAX_REQUESTS)]

    format_type = VectorsFormat

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for. Raises ApiError 400 for a request without a text."""
        _check(self.requests)
        return asked_about(self.model, [each.text for each in self.requests])

    def format(self, asked: Asked, answer: Answer) -> VectorsFormat:
        """Return what writes the answer."""
        return VectorsFormat(asked, answer, self.requests)


class CountFormat(DocumentFormat):
    """Writes how many tokens a prompt has."""

    def whole_in_pieces(self) -> Iterator[bytes]:
        count = self.answer.usage.prompt
        details = [{"modality": "TEXT", "tokenCount": count}]
        yield encode_json({"totalTokens": count, "promptTokensDetails": details})


class GeminiCountRequest(ApiRequest, kw_only=True, rename="camel"):
    """A conversation, or a whole request, whose tokens are counted."""

    model: Name = ""
    contents: Contents | None = None
    generate_content_request: GeminiRequest | None = None
    system_instruction: Content | None = None
    tools: Annotated[list[ToolGroup], Meta(max_length=128)] | None = None

    format_type = CountFormat

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for. Raises ApiError 400 for a request without contents."""
        if self.generate_content_request is not None:
            whole = self.generate_content_request.asked(options)
            return asked_about(self.model, [whole.prompt_text], whole.more_prompt_tokens)
        contents = contents_of(self.contents)
        if not contents:
            raise refused("* CountTokensRequest.contents: contents is not specified\n", "contents")
        if self.system_instruction is not None:
            contents = [self.system_instruction, *contents]
        media = sum(part.media_tokens for content in contents for part in content.all_parts)
        tools = [tool for group in self.tools or () for tool in group.tools()]
        return asked_about(
            self.model, [content.text for content in contents], media + tool_tokens(tools)
        )

    def format(self, asked: Asked, answer: Answer) -> CountFormat:
        """Return what writes the answer."""
        return CountFormat(asked, answer)


def _vector(embedded: Embedded) -> Json:
    dimensions = embedded.output_dimensionality or _DIMENSIONS
    return {"values": vector_of(embedded.text, dimensions).tolist()}


def _check(embedded: list[Embedded]) -> None:
    if not all(each.text for each in embedded):
        raise refused("* EmbedContentRequest.content: content is empty\n", "content")
