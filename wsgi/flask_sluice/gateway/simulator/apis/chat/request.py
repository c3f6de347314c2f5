"""The body of POST /v1/chat/completions."""

from typing import Annotated

from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.chat.format import ChatFormat
from flask_sluice.gateway.simulator.apis.openai_fields import OpenAIRequest
from flask_sluice.gateway.simulator.bounds import MAX_PARTS
from flask_sluice.gateway.simulator.options import SimulatorOptions


class ContentPart(Struct, gc=False):
    text: str | None = None


class Message(Struct):
    role: str
    content: str | Annotated[list[ContentPart], Meta(max_length=MAX_PARTS)] | None = None

    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return " ".join(part.text or "" for part in self.content or [])


class ChatRequest(OpenAIRequest, kw_only=True):
    """A conversation, and how its next message is to be."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=MAX_PARTS)]
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None

    format_type = ChatFormat

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for, to be answered with these options. Raises ApiError 400 for fields that do not fit together."""
        texts = [message.text() for message in self.messages]
        users = [place for place, each in enumerate(self.messages) if each.role == "user"]
        asked_at = users[-1] if users else -1
        prompt = "\n".join(texts)
        return Asked(
            model=self.model,
            options=options,
            is_stream=bool(self.stream),
            questions=[texts[asked_at]],
            prompt_text=prompt,
            prompt_length=len(prompt),
            choice_count=self.n or 1,
            token_limit=self.max_completion_tokens or self.max_tokens,
            stops=self.stops,
            seed=self.seed or 0,
            tool_results=[
                text
                for message, text in zip(self.messages[asked_at:], texts[asked_at:], strict=True)
                if message.role == "tool"
            ],
        )

    def format(self, asked: Asked, answer: Answer) -> ChatFormat:
        """Return what writes the answer."""
        return ChatFormat(asked, answer, wants_usage=self.wants_usage)
