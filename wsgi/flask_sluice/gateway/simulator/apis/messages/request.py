"""The body of POST /v1/messages, and that of POST /v1/messages/count_tokens."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.messages.block_checks import (
    Refusal,
    check_block,
    check_cache_control,
    check_choice,
    refusal,
)
from flask_sluice.gateway.simulator.apis.messages.blocks import (
    CacheControl,
    Content,
    Message,
    blocks_of,
    texts_of,
)
from flask_sluice.gateway.simulator.apis.messages.conversation import check_conversation
from flask_sluice.gateway.simulator.apis.messages.format import MessagesFormat
from flask_sluice.gateway.simulator.apis.messages.models import Limits, limits_of
from flask_sluice.gateway.simulator.apis.messages.prompt import Prompt
from flask_sluice.gateway.simulator.apis.messages.settings import (
    Choice,
    JsonFormat,
    Metadata,
    OutputConfig,
    Thinking,
    Thread,
    ToolDefinition,
)
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.bounds import MAX_PARTS
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.stream.loop.give_way import heavy_work

_MANY_BLOCKS = 500
_LEAST_TOP_P = 0.95
"""With thinking."""


@dataclass(slots=True, kw_only=True)
class AskedMessages(Asked):
    """prompt: what there is to cache"""

    prompt: Prompt


class Conversation(ApiRequest, kw_only=True):
    """What a request for an answer and one for a count of its tokens have in common."""

    stream: bool = False
    messages: Annotated[list[Message], Meta(max_length=MAX_PARTS)]
    system: Content = ""
    tools: Annotated[list[ToolDefinition], Meta(max_length=MAX_PARTS)] = field(default_factory=list)
    tool_choice: Choice | UnsetType = UNSET
    thinking: Thinking | UnsetType = UNSET
    output_config: OutputConfig | UnsetType = UNSET
    output_format: JsonFormat | None = None
    cache_control: CacheControl | None = None

    def count_tokens(self) -> int:
        """Return the tokens of the prompt. Raises ApiError 400 for fields that do not fit together."""
        with heavy_work() if self._is_large() else nullcontext():
            self._check(None)
            return self._prompt().count_tokens()

    def _is_large(self) -> bool:
        blocks = sum(
            len(message.content) if isinstance(message.content, list) else 1
            for message in self.messages
        )
        return blocks + len(self.tools) > _MANY_BLOCKS

    @property
    def _limits(self) -> Limits:
        return limits_of(self.model)

    @property
    def _must_think(self) -> bool:
        return isinstance(self.thinking, Thinking) and self.thinking.type == "enabled"

    def _check(self, max_tokens: int | None) -> None:
        for number, tool in enumerate(self.tools):
            tool.check(f"tools.{number}")
        names = [tool.name for tool in self.tools if tool.name is not UNSET]
        if len(set(names)) < len(names):
            raise refusal("tools: Tool names must be unique.")
        if isinstance(self.tool_choice, Choice):
            self.tool_choice.check(self.tools)
        for number, block in enumerate(blocks_of(self.system)):
            check_block(f"system.{number}", block, ("text",))
            if not str(block.text).strip():
                raise refusal("system: text content blocks must be non-empty")
        check_cache_control("cache_control", self.cache_control)
        if isinstance(self.thinking, Thinking):
            self.thinking.check(max_tokens)
            forces = isinstance(self.tool_choice, Choice) and self.tool_choice.forces
            if self.thinking.is_on and forces:
                raise refusal("Thinking may not be enabled when tool_choice forces tool use.")
        if isinstance(self.output_config, OutputConfig):
            self.output_config.check()
        if self.output_format is not None:
            self.output_format.check("output_format")
        check_conversation(
            self.messages, may_prefill=self._limits.may_prefill, must_think=self._must_think
        )
        has_calls = any(
            block.type in ("tool_use", "tool_result")
            for message in self.messages
            for block in message.blocks
        )
        if has_calls and not self.tools:
            raise refusal(
                "Requests which include `tool_use` or `tool_result` blocks must define tools."
            )

    def _prompt(self) -> Prompt:
        prompt = Prompt()
        prompt.add_tools(self.tools)
        prompt.add_blocks(blocks_of(self.system))
        prompt.add_messages(self.messages)
        prompt.mark_end(self.cache_control)
        prompt.check_breakpoints()
        return prompt


class MessagesRequest(Conversation, kw_only=True):
    """A conversation, and how its next message is to be."""

    max_tokens: int
    metadata: Metadata | UnsetType = UNSET
    stop_sequences: Annotated[list[str], Meta(max_length=100)] = field(default_factory=list)
    temperature: float = 1
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    service_tier: str = "auto"
    thread: Thread | None = None

    format_type = MessagesFormat

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for, to be answered with these options. Raises ApiError 400 for fields that do not fit together."""
        with heavy_work() if self._is_large() else nullcontext():
            self._check_settings()
            self._check(self.max_tokens)
            prompt = self._prompt()
            text = prompt.text
            self._check_length(text, prompt)
        question, results = self._question()
        tools = [tool for each in self.tools if (tool := each.as_tool()) is not None]
        choice = self.tool_choice if isinstance(self.tool_choice, Choice) else Choice("auto")
        thinking = self.thinking if isinstance(self.thinking, Thinking) else Thinking("disabled")
        return AskedMessages(
            prompt=prompt,
            model=self.model,
            options=options,
            is_stream=self.stream,
            questions=[question],
            prompt_text=text,
            prompt_length=len(text),
            more_prompt_tokens=prompt.media_tokens,
            token_limit=self.max_tokens,
            stops=self.stop_sequences,
            tools=tools,
            tool_choice=choice.as_choice(tools),
            may_call_in_parallel=not choice.disable_parallel_tool_use,
            tool_results=results,
            schema=self._schema(),
            reasoning_tokens=thinking.tokens(self.max_tokens),
        )

    def format(self, asked: Asked, answer: Answer) -> MessagesFormat:
        """Return what writes the answer."""
        assert isinstance(asked, AskedMessages)
        usage = answer.usage
        cached = asked.prompt.cached_tokens(usage.prompt, usage.cached)
        is_hidden = isinstance(self.thinking, Thinking) and self.thinking.display == "omitted"
        return MessagesFormat(asked, answer, cached, hides_thinking=is_hidden)

    def _schema(self) -> msgspec.Raw | None:
        config = self.output_config if isinstance(self.output_config, OutputConfig) else None
        format_ = (config and config.format) or self.output_format
        return None if format_ is None else format_.schema

    def _check_settings(self) -> None:
        if self.thread is not None:
            # Anthropic's clients then send the whole conversation.
            raise Refusal(
                "the simulator keeps no threads: send the whole conversation, without `thread`",
                "thread_unsupported_request",
            )
        if self.max_tokens < 0:
            raise refusal("max_tokens: must be greater than or equal to 0")
        most = self._limits.max_tokens
        if self.max_tokens > most:
            raise refusal(
                f"max_tokens: {self.max_tokens} > {most}, which is the maximum allowed number of output tokens "
                f"for {self.model}"
            )
        if not all(stop.strip() for stop in self.stop_sequences):
            raise refusal("stop_sequences: each stop sequence must contain non-whitespace")
        for name in ("temperature", "top_p"):
            value = getattr(self, name)
            if value is not UNSET and not 0 <= value <= 1:
                raise refusal(f"{name}: range: 0..1")
        if isinstance(self.top_k, int) and self.top_k < 0:
            raise refusal("top_k: Input should be greater than or equal to 0")
        check_choice("service_tier", self.service_tier, ("auto", "standard_only"))
        if isinstance(self.thinking, Thinking) and self.thinking.is_on:
            self._check_sampling()

    def _check_sampling(self) -> None:
        """Raise ApiError 400 for settings that the API does not accept with thinking."""
        if self.temperature != 1:
            raise refusal(
                "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. Please consult our "
                "documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
                "#important-considerations-when-using-extended-thinking"
            )
        if isinstance(self.top_p, float) and self.top_p < _LEAST_TOP_P:
            raise refusal(
                f"`top_p` must be greater than or equal to {_LEAST_TOP_P} or unset when thinking is enabled."
            )
        if self.top_k is not UNSET:
            raise refusal("`top_k` must be unset when thinking is enabled.")

    def _check_length(self, text: str, prompt: Prompt) -> None:
        most = self._limits.context_tokens
        # A token has a character at least.
        if len(text) + prompt.media_tokens <= most:
            return
        count = prompt.count_tokens()
        if count > most:
            raise refusal(f"prompt is too long: {count} tokens > {most} maximum")

    def _question(self) -> tuple[str, list[str]]:
        """Return the last text of the user, and the results of tools that came with it or after it."""
        results: list[str] = []
        for message in reversed(self.messages):
            if message.role != "user":
                continue
            blocks = message.blocks
            results += [" ".join(texts_of(each)) for each in blocks if each.type == "tool_result"]
            texts = [str(each.text) for each in blocks if each.type == "text"]
            if texts:
                return " ".join(texts), results
        return "", results


class CountRequest(Conversation, kw_only=True):
    """A conversation whose tokens are to be counted."""
