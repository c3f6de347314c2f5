"""The bodies of Gemini's generateContent and streamGenerateContent."""

from typing import Annotated

import msgspec
from msgspec import Meta

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked, Tool, ToolChoice
from flask_sluice.gateway.simulator.apis.chat.tools import tool_tokens
from flask_sluice.gateway.simulator.apis.gemini.fields import (
    ANY_OBJECT,
    Content,
    Contents,
    GenerationConfig,
    ThinkingConfig,
    ToolConfig,
    ToolGroup,
    contents_of,
    is_given,
    refused,
)
from flask_sluice.gateway.simulator.apis.gemini.format import GeminiArrayFormat, GeminiFormat
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.options import Name, SimulatorOptions

_ROLES = (None, "user", "model", "function")
_MODES = ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED")
_JSON = "application/json"
_MIME_TYPES = (None, "", "text/plain", _JSON, "text/x.enum")
_THINKING_TOKENS = 48
"""Of a model that is left to decide how much it thinks, or may think more."""


class GeminiRequest(ApiRequest, kw_only=True, rename="camel"):
    """A conversation, and how its next turn is to be. The path names the model, and says whether the answer is a stream."""

    model: Name = ""
    contents: Contents | None = None
    system_instruction: Content | None = None
    tools: Annotated[list[ToolGroup], Meta(max_length=128)] | ToolGroup | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None
    cached_content: str | None = None

    format_type = GeminiFormat

    def check(self) -> None:
        """Raise ApiError 400 for what Google's API does not take."""
        contents = contents_of(self.contents)
        if not contents:
            message = "* GenerateContentRequest.contents: contents is not specified\n"
            raise refused(message, "contents")
        for place, content in enumerate(contents):
            if content.role not in _ROLES:
                raise refused("Please use a valid role: user, model.", f"contents[{place}].role")
            if not content.all_parts:
                message = f"* GenerateContentRequest.contents[{place}].parts: contents.parts must not be empty.\n"
                raise refused(message, f"contents[{place}].parts")
        self._chosen_tools()
        self._schema()

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for, to be answered with these options. Raises ApiError 400 as ``check`` does."""
        self.check()
        contents = contents_of(self.contents)
        questions = [place for place, each in enumerate(contents) if each.is_question]
        asked_at = questions[-1] if questions else 0
        system = [self.system_instruction] if self.system_instruction is not None else []
        prompt = "\n".join(content.text for content in [*system, *contents])
        config = self.generation_config or GenerationConfig()
        thinking = config.thinking_config or ThinkingConfig()
        tools, choice = self._chosen_tools()
        media = sum(part.media_tokens for content in contents for part in content.all_parts)
        return Asked(
            model=self.model,
            options=options,
            is_stream=bool(self.stream),
            questions=[contents[asked_at].text],
            prompt_text=prompt,
            prompt_length=len(prompt),
            more_prompt_tokens=media + tool_tokens(tools),
            choice_count=config.candidate_count or 1,
            token_limit=config.max_output_tokens,
            stops=config.stop_sequences or [],
            seed=config.seed or 0,
            tools=tools,
            tool_choice=choice,
            tool_results=[text for content in contents[asked_at:] for text in content.results],
            schema=self._schema(),
            reasoning_tokens=_thinking_tokens(thinking),
            is_reasoning_hidden=not thinking.include_thoughts,
        )

    def format(self, asked: Asked, answer: Answer) -> GeminiFormat:
        """Return what writes the answer."""
        return self.format_type(asked, answer)

    def _chosen_tools(self) -> tuple[list[Tool], ToolChoice]:
        groups = [self.tools] if isinstance(self.tools, ToolGroup) else self.tools or []
        tools = [tool for group in groups for tool in group.tools()]
        config = self.tool_config.function_calling_config if self.tool_config is not None else None
        mode = (config.mode if config is not None else None) or "AUTO"
        if mode not in _MODES:
            message = (
                f"Invalid value at 'tool_config.function_calling_config.mode': \"{mode[:64]}\""
            )
            raise refused(message, "tool_config.function_calling_config.mode")
        allowed = config.allowed_function_names if config is not None else None
        if allowed:
            if mode not in ("ANY", "VALIDATED"):
                message = "Function calling config is set with allowed_function_names, which the mode has to be ANY for."
                raise refused(message, "tool_config.function_calling_config")
            unknown = set(allowed) - {tool.name for tool in tools}
            if unknown:
                message = f"allowed_function_names has names that tools do not declare: {', '.join(sorted(unknown))[:256]}"
                raise refused(message, "tool_config.function_calling_config.allowed_function_names")
            tools = [tool for tool in tools if tool.name in allowed]
        if mode == "ANY" and tools:
            return tools, ToolChoice("required")
        return tools, ToolChoice("none" if mode == "NONE" else "auto")

    def _schema(self) -> msgspec.Raw | None:
        """Return the JSON Schema of the answer, None for prose."""
        config = self.generation_config or GenerationConfig()
        schemas = [
            each for each in (config.response_schema, config.response_json_schema) if is_given(each)
        ]
        mime_type = config.response_mime_type
        if mime_type not in _MIME_TYPES:
            message = (
                f"* GenerateContentRequest.generation_config.response_mime_type: "
                f"allowed mimetypes are `text/plain`, `{_JSON}` and `text/x.enum`.\n"
            )
            raise refused(message, "generation_config.response_mime_type")
        if mime_type in (_JSON, "text/x.enum"):
            return schemas[0] if schemas else ANY_OBJECT
        if schemas:
            message = f"Function calling or a response schema with a response mime type: '{mime_type or 'text/plain'}' is unsupported"
            raise refused(message, "generation_config.response_schema")
        return None


class GeminiArrayRequest(GeminiRequest, kw_only=True, rename="camel"):
    """The same, answered as a list of JSON of which an item comes with each token."""

    format_type = GeminiArrayFormat


def _thinking_tokens(config: ThinkingConfig) -> int:
    budget = config.thinking_budget
    if budget is None or budget < 0:
        thinks = config.include_thoughts or config.thinking_level or budget is not None
        return _THINKING_TOKENS if thinks else 0
    return min(budget, _THINKING_TOKENS)
