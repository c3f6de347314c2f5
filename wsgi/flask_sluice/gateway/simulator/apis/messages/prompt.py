"""The prompt of a request: what the model would read, in its order, and how much of it is cached."""

from dataclasses import dataclass

from flask_sluice.gateway.simulator.answers.texts import count_tokens
from flask_sluice.gateway.simulator.apis.messages.block_checks import refusal
from flask_sluice.gateway.simulator.apis.messages.blocks import (
    Block,
    CacheControl,
    Message,
    count_media,
    texts_of,
)
from flask_sluice.gateway.simulator.apis.messages.settings import ToolDefinition

_MEDIA_TOKENS = 1500
"""Of an image or a file, which the simulator does not open."""
_MAX_BREAKPOINTS = 4


@dataclass(frozen=True, slots=True)
class CachedTokens:
    """read: found in the cache; written: put there; is_for_an_hour: else for five minutes"""

    read: int
    written: int
    is_for_an_hour: bool


class Prompt:
    """Collects the prompt in the order in which its prefixes are cached: tools, system, messages."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._length = 0
        self._media_count = 0
        self._breakpoints: list[tuple[int, CacheControl]] = []
        """The length of the prompt up to each."""
        self._sent_before = 0
        """The length of what an earlier request of the conversation has sent."""

    def add_tools(self, tools: list[ToolDefinition]) -> None:
        for tool in tools:
            schema = bytes(tool.input_schema).decode("utf-8", "replace")
            self._add(f"{tool.name} {tool.description} {schema}", tool.cache_control)

    def add_blocks(self, blocks: list[Block]) -> None:
        """Add the blocks of the system prompt or of a message."""
        for block in blocks:
            self._add(" ".join(texts_of(block)), block.cache_control)
        self._media_count += count_media(blocks)

    def add_messages(self, messages: list[Message]) -> None:
        """Add the conversation. What is before the assistant's last message has been sent before it was answered."""
        for message in messages:
            if message.role == "assistant":
                self._sent_before = self._length
            self.add_blocks(message.blocks)

    def mark_end(self, cache_control: CacheControl | None) -> None:
        """Take the end of the prompt for one of the places that are cached, if it is."""
        if cache_control is not None:
            self._breakpoints.append((self._length, cache_control))

    @property
    def text(self) -> str:
        return "\n".join(self._texts)

    @property
    def media_tokens(self) -> int:
        return self._media_count * _MEDIA_TOKENS

    def count_tokens(self) -> int:
        """Count all tokens, as the usage of an answer does."""
        return count_tokens(self.text) + self.media_tokens

    def check_breakpoints(self) -> None:
        """Raise ApiError 400 for more cached prefixes than the API takes."""
        if (count := len(self._breakpoints)) > _MAX_BREAKPOINTS:
            raise refusal(
                f"A maximum of {_MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {count}."
            )

    def cached_tokens(self, prompt_tokens: int, found: int) -> CachedTokens:
        """Return what of the prompt is read from a cache, and what is written there.

        A prefix that ends with a breakpoint is written. It is read if the conversation goes on behind it: then an earlier
        request has written it. (The simulator keeps nothing from one request to the next.)

        found: how many tokens the request itself says are found in the cache
        """
        if not self._breakpoints:
            return CachedTokens(found, 0, is_for_an_hour=False)
        end, cache_control = self._breakpoints[-1]
        text = self.text
        written = min(count_tokens(text[:end]), prompt_tokens)
        read = found or min(count_tokens(text[: min(end, self._sent_before)]), written)
        return CachedTokens(read, max(0, written - read), cache_control.ttl == "1h")

    def _add(self, text: str, cache_control: CacheControl | None) -> None:
        self._texts.append(text)
        self._length += len(text) + 1
        self.mark_end(cache_control)
