"""The JSON of Gemini's answers: whole, as events, or as a list that comes item by item."""

import re
import uuid
from collections.abc import Iterable, Iterator
from typing import ClassVar

import msgspec

from flask_sluice.gateway.simulator.answers.answer import Answer, Choice, Part
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.format import Format, Json, Template, Text, encode_json
from flask_sluice.stream.headers_and_errors import gemini_error_json

# Of all events only the last ends with the counts.
_LAST = re.compile(rb'"totalTokenCount":\d+\}\}\]?\s*\Z')
_FINISH_REASONS = {
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}


class GeminiFormat(Format):
    """Writes the answer, of which each event is a whole ``GenerateContentResponse`` with a piece of it."""

    # Google's client for Python takes a comment for JSON, and Google sends none.
    keepalive = b""
    malformed = b'data: {"candidates": [{"content": {"par\r\n\r\n'
    before: ClassVar[bytes] = b"data: "
    after: ClassVar[bytes] = b"\r\n\r\n"

    def __init__(self, asked: Asked, answer: Answer) -> None:
        super().__init__(asked, answer)
        self._id = uuid.uuid4().hex[:22]

    def steps(self, number: int) -> Iterator[list[bytes]]:
        events: list[bytes] = []
        for place, part in enumerate(self.answer.choices[number].parts):
            if part.kind == "tool_call":
                # A call comes whole, with the last of its tokens.
                for _ in part.tokens[:-1]:
                    yield events
                    events = []
                if (call := _call(part)) is not None:
                    events = [*events, self._event(self._piece(number, [call]))]
                if part.tokens:
                    yield events
                    events = []
            else:
                for event in self.token_events(number, place):
                    yield [*events, event]
                    events = []
        yield [*events, *self.end_choice(number)]

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        part = self.answer.choices[number].parts[place]
        template = Template(self._event(self._piece(number, [_text(part, Template.GAP)])))
        return map(template.write, part.tokens)

    def end_choice(self, number: int) -> Iterable[bytes]:
        if number < len(self.answer.choices) - 1:
            yield self._event(self._end(number))

    def terminal(self) -> bytes:
        # The counts are the last of it.
        end = self._end(len(self.answer.choices) - 1)
        return self._framed({**end, **self._head(), "usageMetadata": self._usage()})

    @staticmethod
    def is_terminal(event: bytes) -> bool:
        return _LAST.search(event) is not None

    def error_event(self, error: Exception) -> bytes:
        return self.before + gemini_error_json(error) + self.after

    def whole(self) -> bytes:
        candidates = [
            self._candidate(number, choice) for number, choice in enumerate(self.answer.choices)
        ]
        return encode_json(
            {"candidates": candidates, "usageMetadata": self._usage(), **self._head()}
        )

    def _candidate(self, number: int, choice: Choice) -> Json:
        parts: list[Json] = []
        for part in choice.parts:
            if part.kind != "tool_call":
                parts.append(_text(part, part.text))
            elif (call := _call(part)) is not None:
                parts.append(call)
        (candidate,) = self._piece(number, parts)["candidates"]
        if choice.finish_reason is not None:
            candidate["finishReason"] = _finish_reason(choice)
        return candidate  # type: ignore[no-any-return]

    def _end(self, number: int) -> Json:
        piece = self._piece(number, [{"text": ""}])
        piece["candidates"][0]["finishReason"] = _finish_reason(self.answer.choices[number])
        return piece

    def _piece(self, number: int, parts: list[Json]) -> Json:
        content = {"parts": parts, "role": "model"}
        return {"candidates": [{"content": content, "index": number}]}

    def _event(self, piece: Json) -> bytes:
        return self._framed({**piece, "usageMetadata": self._prompt_usage(), **self._head()})

    def _framed(self, data: Json) -> bytes:
        return self.before + encode_json(data) + self.after

    def _head(self) -> Json:
        return {"modelVersion": self.asked.model, "responseId": self._id}

    def _prompt_usage(self) -> Json:
        usage = self.answer.usage
        counts: Json = {"promptTokenCount": usage.prompt, "totalTokenCount": usage.prompt}
        return counts

    def _usage(self) -> Json:
        usage = self.answer.usage
        counts: Json = {
            "promptTokenCount": usage.prompt,
            "candidatesTokenCount": usage.completion - usage.reasoning,
        }
        if usage.cached:
            counts["cachedContentTokenCount"] = usage.cached
        if usage.reasoning:
            counts["thoughtsTokenCount"] = usage.reasoning
        counts["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.prompt}]
        counts["totalTokenCount"] = usage.prompt + usage.completion
        return counts


class GeminiArrayFormat(GeminiFormat):
    """Writes the same pieces as one list, which is open until the last of them."""

    content_type = "application/json"
    tells_errors = True
    heartbeat = b"\n"
    malformed = b',\r\n{"candidates": [{"content": {"par'
    after = b""

    def __init__(self, asked: Asked, answer: Answer) -> None:
        super().__init__(asked, answer)
        self._has_begun = False

    def steps(self, number: int) -> Iterator[list[bytes]]:
        for items in super().steps(number):
            yield [self._separator() + item for item in items]

    def _separator(self) -> bytes:
        has_begun, self._has_begun = self._has_begun, True
        return b"\n,\r\n" if has_begun else b"["

    def terminal(self) -> bytes:
        return self._separator() + super().terminal() + b"]"

    def error_event(self, error: Exception) -> bytes:
        return self._separator() + gemini_error_json(error) + b"]"

    before = b""


def _text(part: Part, text: Text) -> Json:
    return {"text": text, "thought": True} if part.kind == "reasoning" else {"text": text}


def _call(part: Part) -> Json | None:
    """Return a function call; None where a limit has cut its arguments off."""
    try:
        msgspec.json.decode(part.text or "{}", type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return None
    return {"functionCall": {"name": part.tool, "args": msgspec.Raw((part.text or "{}").encode())}}


def _finish_reason(choice: Choice) -> str:
    return _FINISH_REASONS.get(choice.finish_reason or "", "STOP")
