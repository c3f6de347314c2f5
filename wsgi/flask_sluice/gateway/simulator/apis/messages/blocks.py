"""The content of a message: blocks of text, images, documents, thinking, calls of tools and their results."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from flask_sluice.gateway.simulator.bounds import MAX_PARTS

MISSING = msgspec.Raw(b"")


class CacheControl(Struct):
    """Marks the end of a prefix of the prompt that is to be cached."""

    type: str
    ttl: str = "5m"


class Source(Struct):
    """Where an image or a document is."""

    type: str
    media_type: str | UnsetType = UNSET
    data: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    file_id: str | UnsetType = UNSET
    content: "Content | UnsetType" = UNSET


class Block(Struct):
    """A block of any type, with the fields of all types; ``block_checks`` tells which ones a type needs."""

    type: str
    text: str | UnsetType = UNSET
    source: Source | str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    input: msgspec.Raw = field(default_factory=msgspec.Raw)
    tool_use_id: str | UnsetType = UNSET
    content: "Content | Block | UnsetType" = UNSET
    is_error: bool | None = None
    thinking: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    data: str | UnsetType = UNSET
    title: str | UnsetType | None = UNSET
    cache_control: CacheControl | None = None


Content = str | Annotated[list[Block], Meta(max_length=MAX_PARTS)]


class Message(Struct):
    """A message of the conversation."""

    role: str
    content: Content

    @property
    def blocks(self) -> list[Block]:
        return blocks_of(self.content)


def blocks_of(content: Content) -> list[Block]:
    """Return the blocks of a content, which may be given as text alone."""
    if isinstance(content, list):
        return content
    return [Block("text", text=content)] if content else []


def texts_of(block: Block) -> Iterator[str]:
    """Yield all that the model would read in a block as text."""
    if block.type in ("thinking", "redacted_thinking"):
        return  # The thinking of earlier turns does not count.
    for text in (block.title, block.text, block.name):
        if isinstance(text, str):
            yield text
    if block.input != MISSING:
        yield bytes(block.input).decode("utf-8", "replace")
    source = block.source
    if isinstance(source, str):
        yield source
    elif isinstance(source, Source):
        if source.type == "text" and isinstance(source.data, str):
            yield source.data
        yield from _texts_in(source.content)
    yield from _texts_in(block.content)


def _texts_in(content: Content | Block | UnsetType) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for block in content:
            yield from texts_of(block)


def count_media(blocks: list[Block]) -> int:
    """Return how many images and files the blocks have, also in the results of tools."""
    count = 0
    for block in blocks:
        source = block.source
        if isinstance(source, Source):
            count += source.type in ("base64", "url", "file")
            count += count_media(source.content) if isinstance(source.content, list) else 0
        if isinstance(block.content, list):
            count += count_media(block.content)
    return count
