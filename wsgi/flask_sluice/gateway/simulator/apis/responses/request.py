"""The body of POST /v1/responses."""

from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis import openai_errors
from flask_sluice.gateway.simulator.apis.chat.tools import tool_tokens
from flask_sluice.gateway.simulator.apis.openai_errors import (
    invalid,
    missing_field,
    too_long,
    unknown_value,
)
from flask_sluice.gateway.simulator.apis.openai_fields import (
    EFFORTS,
    SERVICE_TIERS,
    check_metadata,
)
from flask_sluice.gateway.simulator.apis.openai_models import limits_of
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.apis.responses.format import ResponsesFormat
from flask_sluice.gateway.simulator.apis.responses.items import (
    Input,
    Item,
    check_calls,
    check_items,
    items_of,
    question_of,
    texts_of,
    tool_results,
)
from flask_sluice.gateway.simulator.apis.responses.made import Made
from flask_sluice.gateway.simulator.apis.responses.text import TextOptions
from flask_sluice.gateway.simulator.apis.responses.tools import (
    ChosenTool,
    Tools,
    check_tools,
    chosen_tools,
    told_tools,
)
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.stream.errors import ApiError

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED_REASONING = "reasoning.encrypted_content"
_INCLUDABLE = (
    *("file_search_call.results", "web_search_call.results", "web_search_call.action.sources"),
    *("message.input_image.image_url", "computer_call_output.output.image_url"),
    *("code_interpreter_call.outputs", ENCRYPTED_REASONING, LOGPROBS),
)
_SUMMARIES = ("auto", "concise", "detailed")
_TRUNCATIONS = ("auto", "disabled")
_MAX_IDENTIFIER = 64

Metadata = Annotated[dict[str, str], Meta(max_length=16)]


class Reasoning(Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None

    @property
    def wanted_summary(self) -> str | None:
        return self.summary or self.generate_summary

    def check(self) -> None:
        if self.effort is not None and self.effort not in EFFORTS:
            raise unknown_value("reasoning.effort", self.effort, [*EFFORTS])
        if self.wanted_summary is not None and self.wanted_summary not in _SUMMARIES:
            raise unknown_value("reasoning.summary", self.wanted_summary, _SUMMARIES)


class ResponsesStreamOptions(Struct):
    include_obfuscation: bool | None = None


class ConversationReference(Struct):
    id: str


class ResponsesRequest(ApiRequest, kw_only=True, dict=True):
    """What a response is to answer, and how."""

    explain: ClassVar[Callable[[bytes, msgspec.ValidationError], ApiError | None]] = staticmethod(
        openai_errors.explain
    )
    format_type = ResponsesFormat

    input: Input = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationReference | None = None
    tools: Tools | None = None
    tool_choice: str | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    truncation: str | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    background: bool | None = None
    stream_options: ResponsesStreamOptions | None = None
    include: Annotated[list[str], Meta(max_length=100)] | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @cached_property
    def made(self) -> Made:
        """The response that answers it, as far as the request does not say it."""
        return Made()

    @property
    def items(self) -> list[Item]:
        """Those of its own input."""
        return items_of(self.input)

    @property
    def is_stored(self) -> bool:
        return self.store is not False

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.top_logprobs) or LOGPROBS in (self.include or ())

    @property
    def shows_summary(self) -> bool:
        return self.reasoning is not None and self.reasoning.wanted_summary is not None

    def check(self) -> None:
        """Raise ApiError 400 for fields that do not fit together, and for values that OpenAI's API does not take."""
        if self.input is None and self.previous_response_id is None:
            raise missing_field("input")
        self._check_fits()
        self._check_values()
        check_tools(self.tools or ())
        chosen_tools(self.tools or (), self.tool_choice)
        if self.text is not None:
            self.text.check()
        if self.metadata:
            raw = {
                key: msgspec.Raw(msgspec.json.encode(each)) for key, each in self.metadata.items()
            }
            check_metadata(raw)
        if isinstance(self.input, list):
            check_items(self.input)

    def _check_fits(self) -> None:
        if self.stream_options is not None and not self.stream:
            text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise invalid("stream_options", text)
        if self.background and not self.is_stored:
            text = "A response in the background has to be stored: leave out 'store', or set it to true."
            raise invalid("background", text)
        if self.conversation is not None:
            if self.previous_response_id is not None:
                text = "Mutually exclusive parameters: send one of 'previous_response_id' and 'conversation'."
                raise invalid("previous_response_id", text, "mutually_exclusive_parameters")
            given = self.conversation
            conversation_id = given if isinstance(given, str) else given.id
            text = f"Conversation with id '{conversation_id[:256]}' not found."
            raise ApiError(404, "not_found", text, param="conversation")

    def _check_values(self) -> None:
        for place, value in enumerate(self.include or ()):
            if value not in _INCLUDABLE:
                raise unknown_value(f"include[{place}]", value, _INCLUDABLE)
        if self.truncation is not None and self.truncation not in _TRUNCATIONS:
            raise unknown_value("truncation", self.truncation, _TRUNCATIONS)
        if self.service_tier is not None and self.service_tier not in SERVICE_TIERS:
            raise unknown_value("service_tier", self.service_tier, SERVICE_TIERS)
        for field in ("safety_identifier", "prompt_cache_key"):
            value = getattr(self, field)
            if value is not None and len(value) > _MAX_IDENTIFIER:
                raise too_long(field, _MAX_IDENTIFIER, len(value))
        if self.reasoning is not None:
            self.reasoning.check()
        if limits_of(self.model).reasons:
            for field in ("temperature", "top_p"):
                if getattr(self, field) not in (None, 1):
                    text = f"Unsupported parameter: '{field}' is not supported with this model."
                    raise invalid(field, text, "unsupported_parameter")

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for, to be answered with these options. Raises ApiError 400 as ``check`` does."""
        self.check()
        items = [*self.made.history, *self.items]
        check_calls(items)
        texts = [] if self.instructions is None else [self.instructions]
        prompt = "\n".join([*texts, *texts_of(items)])
        tools, tool_choice = chosen_tools(self.tools or (), self.tool_choice)
        media = sum(part.tokens for item in items for part in item.parts)
        effort = None if self.reasoning is None else self.reasoning.effort
        limits = limits_of(self.model)
        return Asked(
            model=self.model,
            options=options,
            is_stream=bool(self.stream),
            questions=[question_of(items)],
            prompt_text=prompt,
            prompt_length=len(prompt),
            more_prompt_tokens=media + tool_tokens(tools),
            context_tokens=None if self.truncation == "auto" else limits.context,
            prompt_field="input",
            token_limit=self.max_output_tokens,
            tools=tools,
            tool_choice=tool_choice,
            may_call_in_parallel=self.parallel_tool_calls is not False,
            tool_results=tool_results(items),
            schema=None if self.text is None else self.text.schema(prompt),
            reasoning_tokens=EFFORTS.get(effort or "none", 0),
            is_reasoning_hidden=not self.shows_summary,
        )

    def format(self, asked: Asked, answer: Answer) -> ResponsesFormat:
        """Return what writes the answer."""
        options = self.stream_options
        is_padded = options is None or options.include_obfuscation is not False
        return ResponsesFormat(
            asked,
            answer,
            made=self.made,
            told=self.told(),
            is_background=bool(self.background),
            shows_summary=self.shows_summary,
            top_logprobs=(self.top_logprobs or 0) if self.wants_logprobs else None,
            is_padded=is_padded,
            encrypts_reasoning=ENCRYPTED_REASONING in (self.include or ()),
        )

    def told(self) -> dict[str, Any]:
        """Return what the response repeats of the request, with the API's defaults, and what it does not know at its beginning."""
        reasoning = self.reasoning or Reasoning()
        reasons = limits_of(self.model).reasons
        return {
            "background": bool(self.background),
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": self.max_tool_calls,
            "model": self.model,
            "output": [],
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "previous_response_id": self.previous_response_id,
            "prompt_cache_key": self.prompt_cache_key,
            "reasoning": {
                "effort": reasoning.effort or ("medium" if reasons else None),
                "summary": reasoning.wanted_summary,
            },
            "safety_identifier": self.safety_identifier,
            "service_tier": "default"
            if self.service_tier == "auto"
            else self.service_tier or "default",
            "store": self.is_stored,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "text": (self.text or TextOptions()).told(),
            "tool_choice": self._told_tool_choice(),
            "tools": told_tools(self.tools or (), self.made.tools or self._encoded_tools()),
            "top_logprobs": self.top_logprobs or 0,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "truncation": self.truncation or "disabled",
            "usage": None,
            "user": self.user,
            "metadata": self.metadata or {},
        }

    def _encoded_tools(self) -> list[msgspec.Raw]:
        return [msgspec.Raw(msgspec.json.encode(tool)) for tool in self.tools or ()]

    def _told_tool_choice(self) -> Any:
        choice = self.tool_choice
        return msgspec.to_builtins(choice) if isinstance(choice, ChosenTool) else choice or "auto"
