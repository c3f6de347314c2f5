"""The body of POST /api/generate, and the JSON of its answer."""

import zlib
from typing import Annotated

from msgspec import Meta

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.answers.texts import first_tokens
from flask_sluice.gateway.simulator.apis.format import Json, Text
from flask_sluice.gateway.simulator.apis.ollama.fields import (
    Images,
    OllamaRequest,
    tokens_of_images,
)
from flask_sluice.gateway.simulator.apis.ollama.format import OllamaFormat
from flask_sluice.gateway.simulator.options import SimulatorOptions

_VOCABULARY = 128_000
_MAX_CONTEXT = 4096
"""As many tokens as Ollama's models keep of a conversation by default."""


class GenerateFormat(OllamaFormat):
    """Writes an answer whose lines have a ``response``."""

    malformed = b'{"model":"simulated","respon\n'
    is_raw = False
    context: tuple[int, ...] = ()
    """Of the request: what was said before."""

    def __init__(
        self,
        asked: Asked,
        answer: Answer,
        *,
        context_tokens: int | None,
        load_reason: str | None,
    ) -> None:
        super().__init__(asked, answer, context_tokens=context_tokens, load_reason=load_reason)
        self._prompt = first_tokens(asked.questions[0], _MAX_CONTEXT)

    def delta(self, kind: str, text: Text) -> Json:
        return {"response": "", "thinking": text} if kind == "reasoning" else {"response": text}

    def calls(self, calls: list[Json]) -> Json:
        return {"response": "", "tool_calls": calls}

    def nothing(self) -> Json:
        return {"response": ""}

    def all_of(self, text: str, thinking: str, calls: list[Json]) -> Json:
        document: Json = {"response": text}
        if thinking:
            document["thinking"] = thinking
        if calls:
            document["tool_calls"] = calls
        return document

    def end(self) -> Json:
        end = super().end()
        if not self.is_raw and "eval_count" in end:
            spoken = [*self._prompt]
            for part in self.answer.choices[0].parts:
                spoken += part.tokens[: _MAX_CONTEXT - len(spoken)]
            numbers = [zlib.crc32(token.encode()) % _VOCABULARY for token in spoken]
            # The counts and times stay behind it, where an end is known by them.
            end = {"context": [*self.context, *numbers][-_MAX_CONTEXT:], **end}
        return end


class OllamaGenerateRequest(OllamaRequest, kw_only=True):
    """A text that is continued, or a question.

    context: the numbers that an earlier answer ended with
    """

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: Annotated[list[int], Meta(max_length=100_000)] | None = None
    raw: bool | None = None
    images: Images | None = None

    format_type = GenerateFormat

    @property
    def loads_only(self) -> bool:
        return not self.prompt

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for, to be answered with these options. Raises ApiError 400 for what Ollama does not take."""
        self.check()
        texts = [text for text in (self.system, self.prompt, self.suffix) if text]
        prompt = "\n".join(texts)
        return Asked(
            **self.common(options),
            questions=[self.prompt or ""],
            prompt_text=prompt,
            prompt_length=len(prompt),
            more_prompt_tokens=len(self.context or ()) + tokens_of_images(self.images),
        )

    def format(self, asked: Asked, answer: Answer) -> GenerateFormat:
        """Return what writes the answer."""
        format_ = GenerateFormat(
            asked,
            answer,
            context_tokens=self.model_options.num_ctx,
            load_reason=("unload" if self.unloads else "load") if self.loads_only else None,
        )
        format_.is_raw = bool(self.raw)
        format_.context = tuple(self.context or ())[-_MAX_CONTEXT:]
        return format_
