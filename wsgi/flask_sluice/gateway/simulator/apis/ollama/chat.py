"""The body of POST /api/chat, and the JSON of its answer."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.chat.tools import tool_tokens
from flask_sluice.gateway.simulator.apis.format import Json, Text
from flask_sluice.gateway.simulator.apis.ollama.fields import (
    Images,
    OllamaRequest,
    ToolDefinition,
    tokens_of_images,
)
from flask_sluice.gateway.simulator.apis.ollama.format import OllamaFormat
from flask_sluice.gateway.simulator.bounds import MAX_PARTS
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.stream.errors import ApiError

_ROLES = ("system", "user", "assistant", "tool")


class Message(Struct):
    """A message of the conversation; one of the role "tool" is the result of a call."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: Images | None = None
    tool_name: str | None = None
    tool_calls: list[msgspec.Raw] | None = None

    @property
    def text(self) -> str:
        return self.content or ""


class ChatFormat(OllamaFormat):
    """Writes an answer whose lines have a ``message``."""

    malformed = b'{"model":"simulated","message":{"role":"assistant","cont\n'

    def delta(self, kind: str, text: Text) -> Json:
        message: Json = {"role": "assistant", "content": ""}
        message["thinking" if kind == "reasoning" else "content"] = text
        return {"message": message}

    def calls(self, calls: list[Json]) -> Json:
        return {"message": {"role": "assistant", "content": "", "tool_calls": calls}}

    def nothing(self) -> Json:
        return {"message": {"role": "assistant", "content": ""}}

    def all_of(self, text: str, thinking: str, calls: list[Json]) -> Json:
        message: Json = {"role": "assistant", "content": text}
        if thinking:
            message["thinking"] = thinking
        if calls:
            message["tool_calls"] = calls
        return {"message": message}


class OllamaChatRequest(OllamaRequest, kw_only=True):
    """A conversation, and how its next message is to be."""

    messages: Annotated[list[Message], Meta(max_length=MAX_PARTS)] | None = None
    tools: Annotated[list[ToolDefinition], Meta(max_length=128)] | None = None

    format_type = ChatFormat

    @property
    def loads_only(self) -> bool:
        return not self.messages

    def check(self) -> None:
        """Raise ApiError 400 for what Ollama does not take."""
        super().check()
        for message in self.messages or ():
            if message.role not in _ROLES:
                raise ApiError(
                    400,
                    "invalid_request",
                    f'invalid role: "{message.role[:64]}", role must be one of ["system", "user", "assistant", "tool"]',
                    param="messages",
                )

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for, to be answered with these options. Raises ApiError 400 as ``check`` does."""
        self.check()
        messages = self.messages or []
        texts = [message.text for message in messages]
        users = [place for place, each in enumerate(messages) if each.role == "user"]
        asked_at = users[-1] if users else -1
        prompt = "\n".join(texts)
        tools = [definition.tool() for definition in self.tools or ()]
        media = sum(tokens_of_images(message.images) for message in messages)
        return Asked(
            **self.common(options),
            questions=[texts[asked_at] if texts else ""],
            prompt_text=prompt,
            prompt_length=len(prompt),
            more_prompt_tokens=media + tool_tokens(tools),
            tools=[] if self.loads_only else tools,
            tool_results=[
                message.text
                for message in (messages[asked_at:] if users else messages)
                if message.role == "tool"
            ],
        )

    def format(self, asked: Asked, answer: Answer) -> ChatFormat:
        """Return what writes the answer."""
        return ChatFormat(
            asked,
            answer,
            context_tokens=self.model_options.num_ctx,
            load_reason=("unload" if self.unloads else "load") if self.loads_only else None,
        )
