"""The JSON of OpenAI's chat completions and text completions, streamed and whole."""

import time
import uuid
from typing import Any, Protocol

import msgspec

from flask_sluice.gateway.simulator.annotated import Annotated

Json = dict[str, Any]
Text = str | msgspec.Raw

_encode_json = msgspec.json.Encoder().encode


class ToolCall:
    """A tool call in an answer; ``arguments`` is JSON text."""

    def __init__(self, name: str, arguments: str) -> None:
        self.id = f"call_{uuid.uuid4().hex[:24]}"
        self.name = name
        self.arguments = arguments


class Format(Protocol):
    """Writes one answer; its ``id``, ``created`` and ``model`` are the same in every chunk."""

    def opening(self, index: int, /) -> Json | None:
        """Return the chunk before a choice's first token, None if there is none."""

    def token(self, index: int, text: Text) -> Json: ...

    def closing(self, index: int, finish_reason: str) -> Json: ...

    def usage(self, usage: Json) -> Json: ...

    def whole(self, texts: list[str], finish_reasons: list[str | None], usage: Json) -> Json:
        """Return the answer that is not streamed."""


class TokenTemplate:
    """Makes the events of one choice's tokens, which differ in their text alone, for a third of the cost of encoding each."""

    __slots__ = ("_after", "_before")

    # JSON never contains this byte: in a string it is escaped.
    _GAP = b"\0"

    def __init__(self, format_: Format, index: int) -> None:
        event = Annotated(data=format_.token(index, msgspec.Raw(self._GAP))).encode()
        self._before, self._after = event.split(self._GAP)

    def event(self, text: str) -> bytes:
        return self._before + _encode_json(text) + self._after


class ChatFormat:
    """Writes ``chat.completion`` and its chunks. With ``tool_call`` the tokens are those of its arguments."""

    def __init__(self, model: str, tool_call: ToolCall | None) -> None:
        self._tool_call = tool_call
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model

    def opening(self, index: int, /) -> Json:
        delta: Json = {"role": "assistant", "content": "" if self._tool_call is None else None}
        if self._tool_call is not None:
            delta["tool_calls"] = [self._call(index, "")]
        return self._chunk(index, delta)

    def token(self, index: int, text: Text) -> Json:
        if self._tool_call is None:
            return self._chunk(index, {"content": text})
        return self._chunk(index, {"tool_calls": [{"index": 0, "function": {"arguments": text}}]})

    def closing(self, index: int, finish_reason: str) -> Json:
        return self._chunk(index, {}, finish_reason)

    def usage(self, usage: Json) -> Json:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage}

    def whole(self, texts: list[str], finish_reasons: list[str | None], usage: Json) -> Json:
        choices = [
            {"index": index, "message": self._message(index, text), "finish_reason": finish_reason}
            for index, (text, finish_reason) in enumerate(zip(texts, finish_reasons, strict=True))
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": usage}

    def _message(self, index: int, text: str) -> Json:
        if self._tool_call is None:
            return {"role": "assistant", "content": text, "refusal": None}
        call = self._call(index, text)
        del call["index"]  # Only the chunks of a stream number their calls.
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}

    def _call(self, choice: int, arguments: str) -> Json:
        assert self._tool_call is not None
        function = {"name": self._tool_call.name, "arguments": arguments}
        call_id = f"{self._tool_call.id}{choice}"
        return {"index": 0, "id": call_id, "type": "function", "function": function}

    def _chunk(self, index: int, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, object_: str) -> Json:
        return {
            "id": self._id,
            "object": object_,
            "created": self._created,
            "model": self._model,
        }


class CompletionFormat:
    """Writes ``text_completion``, whose chunks have the same form as the whole."""

    def __init__(self, model: str) -> None:
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model

    def opening(self, _index: int, /) -> None:
        return None

    def token(self, index: int, text: Text) -> Json:
        return self._answer([self._choice(index, text, None)])

    def closing(self, index: int, finish_reason: str) -> Json:
        return self._answer([self._choice(index, "", finish_reason)])

    def usage(self, usage: Json) -> Json:
        return {**self._answer([]), "usage": usage}

    def whole(self, texts: list[str], finish_reasons: list[str | None], usage: Json) -> Json:
        choices = [
            self._choice(index, text, finish_reason)
            for index, (text, finish_reason) in enumerate(zip(texts, finish_reasons, strict=True))
        ]
        return {**self._answer(choices), "usage": usage}

    def _choice(self, index: int, text: Text, finish_reason: str | None) -> Json:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}

    def _answer(self, choices: list[Json]) -> Json:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
