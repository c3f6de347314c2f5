"""Checks the blocks of a message one by one, with the texts of Anthropic's errors."""

import re
from collections.abc import Iterable

from msgspec import UNSET

from flask_sluice.gateway.simulator.apis.messages.blocks import (
    MISSING,
    Block,
    CacheControl,
    Source,
)
from flask_sluice.stream.errors import ApiError

_REQUIRED = {
    "text": ("text",),
    "image": ("source",),
    "document": ("source",),
    "search_result": ("source", "title", "content"),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
}
_SERVERS = (
    *("advisor_tool_result", "bash_code_execution_tool_result", "code_execution_tool_result"),
    *("compaction", "container_upload", "mcp_tool_result", "mcp_tool_use", "server_tool_use"),
    *("text_editor_code_execution_tool_result", "tool_search_tool_result"),
    *("web_fetch_tool_result", "web_search_tool_result"),
)
"""What Anthropic's own tools leave in a conversation. The simulator reads their text."""
_BLOCK_TYPES = sorted((*_REQUIRED, *_SERVERS))
_IN_TOOL_RESULT = ("document", "image", "search_result", "text", "tool_reference", "browser_state")
_SOURCES = {
    "image": {"base64": ("media_type", "data"), "file": ("file_id",), "url": ("url",)},
    "document": {
        "base64": ("media_type", "data"),
        "content": ("content",),
        "file": ("file_id",),
        "text": ("media_type", "data"),
        "url": ("url",),
    },
}
_MEDIA_TYPES = {
    ("image", "base64"): ("image/jpeg", "image/png", "image/gif", "image/webp"),
    ("document", "base64"): ("application/pdf",),
    ("document", "text"): ("text/plain",),
}
_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_LOOKED_AT_CHARACTERS = 64 * 1024
"""Of an image, so that it does not take long."""


class Refusal(ApiError):
    """What Anthropic's API does not accept. error_code: by which its clients know what to do; None: there is none"""

    def __init__(self, message: str, error_code: str | None = None) -> None:
        super().__init__(400, "invalid_request", message)
        self.error_code = error_code


def refusal(message: str) -> Refusal:
    """Return the error for a request that Anthropic's API does not accept."""
    return Refusal(message)


def one_of(values: Iterable[str]) -> str:
    """Return a list of values as the texts have it: 'a', 'b' or 'c'."""
    *rest, last = [f"'{value}'" for value in values]
    return f"{', '.join(rest)} or {last}" if rest else last


def check_tag(place: str, tag: str, tags: Iterable[str]) -> None:
    """Raise ApiError for a ``type`` that is not one of ``tags``."""
    tags = list(tags)
    if tag not in tags:
        expected = ", ".join(f"'{each}'" for each in tags)
        raise refusal(
            f"{place}: Input tag '{tag[:100]}' found using 'type' does not match any of the expected tags: {expected}"
        )


def check_choice(place: str, value: str, choices: Iterable[str]) -> None:
    """Raise ApiError for a value that is not one of ``choices``."""
    choices = list(choices)
    if value not in choices:
        raise refusal(f"{place}: Input should be {one_of(choices)}")


def check_cache_control(place: str, cache_control: CacheControl | None) -> None:
    """Raise ApiError for a type or a time that there is not. place: its own"""
    if cache_control is not None:
        check_tag(place, cache_control.type, ("ephemeral",))
        check_choice(f"{place}.ephemeral.ttl", cache_control.ttl, ("5m", "1h"))


def check_block(place: str, block: Block, types: Iterable[str] = _BLOCK_TYPES) -> None:
    """Raise ApiError for a block of another type, or without a field that it needs.

    place: such as ``messages.0.content.1``
    """
    check_tag(place, block.type, types)
    place = f"{place}.{block.type}"
    for name in _REQUIRED.get(block.type, ()):
        if getattr(block, name) in (UNSET, MISSING):
            raise refusal(f"{place}.{name}: Field required")
    check_cache_control(f"{place}.cache_control", block.cache_control)
    if block.type in _SOURCES:
        _check_source(f"{place}.source", block)
    elif block.type == "tool_use":
        if not _TOOL_ID.fullmatch(str(block.id)):
            raise refusal(f"{place}.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if not bytes(block.input).startswith(b"{"):
            raise refusal(f"{place}.input: Input should be an object")
    elif block.type == "tool_result":
        _check_result(place, block)


def _check_result(place: str, block: Block) -> None:
    if not _TOOL_ID.fullmatch(str(block.tool_use_id)):
        raise refusal(f"{place}.tool_use_id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if isinstance(block.content, Block):
        raise refusal(f"{place}.content: Input should be a valid array")
    if isinstance(block.content, list):
        for number, inner in enumerate(block.content):
            check_block(f"{place}.content.{number}", inner, _IN_TOOL_RESULT)


def _check_source(place: str, block: Block) -> None:
    source = block.source
    if not isinstance(source, Source):
        raise refusal(f"{place}: Input should be an object")
    types = _SOURCES[block.type]
    check_tag(place, source.type, types)
    place = f"{place}.{source.type}"
    for name in types[source.type]:
        if getattr(source, name) is UNSET:
            raise refusal(f"{place}.{name}: Field required")
    if media_types := _MEDIA_TYPES.get((block.type, source.type)):
        check_choice(f"{place}.media_type", str(source.media_type), media_types)
    if source.type == "base64":
        data = str(source.data)
        end = min(len(data), _LOOKED_AT_CHARACTERS)
        if not _BASE64.fullmatch(data, 0, end):
            raise refusal(f"{place}: invalid base64 data")
