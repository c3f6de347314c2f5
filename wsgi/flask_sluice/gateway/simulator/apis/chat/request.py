"""The body of POST /v1/chat/completions."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked, Tool, ToolChoice
from flask_sluice.gateway.simulator.apis.chat.format import ChatFormat
from flask_sluice.gateway.simulator.apis.chat.messages import Message, check_messages
from flask_sluice.gateway.simulator.apis.chat.response_format import ResponseFormat
from flask_sluice.gateway.simulator.apis.chat.tools import (
    ChosenTool,
    Functions,
    Named,
    Tools,
    check_functions,
    check_needs_tools,
    check_tools,
    chosen_functions,
    chosen_tools,
    tool_tokens,
)
from flask_sluice.gateway.simulator.apis.openai_errors import invalid, unknown_value
from flask_sluice.gateway.simulator.apis.openai_fields import OpenAIRequest, reasoning_tokens
from flask_sluice.gateway.simulator.apis.openai_models import limits_of
from flask_sluice.gateway.simulator.bounds import MAX_PARTS
from flask_sluice.gateway.simulator.options import SimulatorOptions

_VERBOSITIES = ("low", "medium", "high")
_MODALITIES = ("text", "audio")


class Prediction(Struct):
    type: str
    content: str | list[msgspec.Raw]


class ChatRequest(OpenAIRequest, kw_only=True):
    """A conversation, and how its next message is to be."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=MAX_PARTS)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Tools | None = None
    tool_choice: str | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    functions: Functions | None = None
    function_call: str | Named | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    modalities: Annotated[list[str], Meta(min_length=1, max_length=MAX_PARTS)] | None = None
    prediction: Prediction | None = None
    store: bool | None = None

    format_type = ChatFormat

    def check(self) -> None:
        """Raise ApiError 400 for fields that do not fit together, and for values that OpenAI's API does not take."""
        super().check()
        self._check_values()
        if self.tools is not None:
            check_tools(self.tools)
        if self.functions is not None:
            check_functions(self.functions)
        if self.parallel_tool_calls is not None:
            check_needs_tools("parallel_tool_calls", has_tools=self.tools is not None)
        self._chosen_tools()
        if self.response_format is not None:
            self.response_format.check()
        check_messages(self.messages)

    def _check_values(self) -> None:
        if self.top_logprobs is not None and not self.logprobs:
            text = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
            raise invalid("top_logprobs", text)
        if self.verbosity is not None and self.verbosity not in _VERBOSITIES:
            raise unknown_value("verbosity", self.verbosity, _VERBOSITIES)
        for modality in self.modalities or ():
            if modality not in _MODALITIES:
                raise unknown_value("modalities", modality, _MODALITIES)
            if modality != "text":
                text = "the simulator answers with text only; leave 'audio' out of 'modalities'"
                raise invalid("modalities", text, "unsupported_value")
        if self.prediction is not None and self.prediction.type != "content":
            raise unknown_value("prediction.type", self.prediction.type, ("content",))
        reasoning_tokens(self.reasoning_effort)
        self._check_model()

    def _check_model(self) -> None:
        """Raise ApiError 400 for what the models of OpenAI's do not take, by the model's name."""
        limits = limits_of(self.model)
        if limits.reasons:
            if self.max_tokens is not None:
                text = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
                raise invalid("max_tokens", text, "unsupported_parameter")
            if self.temperature not in (None, 1) and self.reasoning_effort != "none":
                text = (
                    f"Unsupported value: 'temperature' does not support {self.temperature:g} with this model. "
                    "Only the default (1) value is supported."
                )
                raise invalid("temperature", text, "unsupported_value")
        for field in ("max_tokens", "max_completion_tokens"):
            count = getattr(self, field)
            if limits.output is not None and count is not None and count > limits.output:
                text = (
                    f"{field} is too large: {count}. This model supports at most {limits.output} completion tokens, "
                    f"whereas you provided {count}."
                )
                raise invalid(field, text)

    def _chosen_tools(self) -> tuple[list[Tool], ToolChoice]:
        if self.functions is not None or self.function_call is not None:
            if self.tools is not None:
                text = "'functions' is the deprecated form of 'tools': send one of them"
                raise invalid("functions", text)
            return chosen_functions(self.functions or [], self.function_call)
        return chosen_tools(self.tools or [], self.tool_choice)

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for, to be answered with these options. Raises ApiError 400 as ``check`` does."""
        self.check()
        texts = [message.text() for message in self.messages]
        users = [place for place, each in enumerate(self.messages) if each.role == "user"]
        asked_at = users[-1] if users else -1
        prompt = "\n".join(texts)
        tools, tool_choice = self._chosen_tools()
        effort = self.reasoning_effort
        return Asked(
            model=self.model,
            options=options,
            is_stream=bool(self.stream),
            questions=[texts[asked_at]],
            prompt_text=prompt,
            prompt_length=len(prompt),
            more_prompt_tokens=self._more_prompt_tokens(),
            context_tokens=limits_of(self.model).context,
            choice_count=self.n or 1,
            token_limit=self.max_completion_tokens or self.max_tokens,
            stops=self.stops,
            seed=self.seed or 0,
            tools=tools,
            tool_choice=tool_choice,
            may_call_in_parallel=self.parallel_tool_calls is not False and self.functions is None,
            tool_results=[
                text
                for message, text in zip(self.messages[asked_at:], texts[asked_at:], strict=True)
                if message.role in ("tool", "function")
            ],
            schema=None if self.response_format is None else self.response_format.schema(prompt),
            reasoning_tokens=reasoning_tokens(effort),
            is_reasoning_hidden=True,
        )

    def _more_prompt_tokens(self) -> int:
        tools = [tool.tool() for tool in self.tools or ()]
        media = sum(part.tokens for message in self.messages for part in message.parts)
        return media + tool_tokens(tools)

    def format(self, asked: Asked, answer: Answer) -> ChatFormat:
        """Return what writes the answer."""
        return ChatFormat(
            asked,
            answer,
            wants_usage=self.wants_usage,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            calls_functions=self.functions is not None,
            service_tier=self.told_service_tier,
        )
