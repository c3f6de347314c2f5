"""The JSON of Anthropic's Messages, streamed and whole."""

import uuid
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import repeat

import msgspec

from flask_sluice.gateway.simulator.answers.answer import Answer, Choice, Part
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.format import (
    Format,
    Json,
    Template,
    Text,
    encode_json,
    named_event,
)
from flask_sluice.gateway.simulator.apis.messages.errors import error_json
from flask_sluice.gateway.simulator.apis.messages.prompt import CachedTokens

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


class MessagesFormat(Format):
    """Writes a ``message`` and its events.

    cached: tokens of the prompt
    hides_thinking: whether only the signature of the thinking is told
    """

    heartbeat = PING
    keepalive = PING
    malformed = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta\n\n'
    )
    failure_status = 529

    def __init__(
        self, asked: Asked, answer: Answer, cached: CachedTokens, *, hides_thinking: bool
    ) -> None:
        super().__init__(asked, answer)
        self._cached = cached
        self._hides_thinking = hides_thinking
        self._id = f"msg_01{uuid.uuid4().hex[:22]}"
        self._call_id = f"toolu_01{uuid.uuid4().hex[:18]}"

    def opening(self) -> Iterable[bytes]:
        message = {**self._head(), "content": [], **_end(Choice([], None))}
        yield named_event(
            "message_start",
            {"type": "message_start", "message": {**message, "usage": self._usage(is_first=True)}},
        )
        if self.answer.choices[0].parts:
            yield self._start(0)
        yield PING

    def begin_part(self, number: int, place: int) -> Iterable[bytes]:
        if place > 0:  # The first has begun before its first token.
            yield self._start(place)
        if self._part(place).kind == "tool_call":
            yield self._delta(place, "")

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        part = self._part(place)
        if part.kind == "reasoning" and self._hides_thinking:
            return repeat(b"", len(part.tokens))
        return map(Template(self._delta(place, Template.GAP)).write, part.tokens)

    def end_part(self, number: int, place: int) -> Iterable[bytes]:
        part = self._part(place)
        if part.kind == "reasoning":
            delta = {"type": "signature_delta", "signature": _signature(part)}
            yield _block_event("content_block_delta", place, delta=delta)
        yield _block_event("content_block_stop", place)

    def end_choice(self, number: int) -> Iterable[bytes]:
        delta = _end(self.answer.choices[0])
        yield named_event(
            "message_delta",
            {"type": "message_delta", "delta": delta, "usage": self._cumulative_usage()},
        )

    def terminal(self) -> bytes:
        return b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

    @staticmethod
    def is_terminal(event: bytes) -> bool:
        return event.startswith(b"event: message_stop\n")

    def error_event(self, error: Exception) -> bytes:
        return b"event: error\ndata: " + error_json(error) + b"\n\n"

    def whole(self) -> bytes:
        choice = self.answer.choices[0]
        content = [self._block(place) for place in range(len(choice.parts))]
        return encode_json(
            {**self._head(), "content": content, **_end(choice), "usage": self._usage()}
        )

    def _part(self, place: int) -> Part:
        return self.answer.choices[0].parts[place]

    def _head(self) -> Json:
        return {
            "model": self.asked.model,
            "id": self._id,
            "type": "message",
            "role": "assistant",
        }

    def _start(self, place: int) -> bytes:
        part = self._part(place)
        block: Json = {"type": "text", "text": ""}
        if part.kind == "reasoning":
            block = {"type": "thinking", "thinking": "", "signature": ""}
        elif part.kind == "tool_call":
            block = self._call(place, msgspec.Raw(b"{}"))
        return _block_event("content_block_start", place, content_block=block)

    def _block(self, place: int) -> Json:
        part = self._part(place)
        if part.kind == "reasoning":
            thinking = "" if self._hides_thinking else part.text
            return {"type": "thinking", "thinking": thinking, "signature": _signature(part)}
        if part.kind == "tool_call":
            return self._call(place, _object(part.text))
        return {"type": "text", "text": part.text}

    def _call(self, place: int, arguments: msgspec.Raw) -> Json:
        return {
            "type": "tool_use",
            "id": f"{self._call_id}{place:03}",
            "name": self._part(place).tool,
            "input": arguments,
        }

    def _delta(self, place: int, text: Text) -> bytes:
        part = self._part(place)
        delta: Json = {"type": "text_delta", "text": text}
        if part.kind == "reasoning":
            delta = {"type": "thinking_delta", "thinking": text}
        elif part.kind == "tool_call":
            delta = {"type": "input_json_delta", "partial_json": text}
        return _block_event("content_block_delta", place, delta=delta)

    def _usage(self, *, is_first: bool = False) -> Json:
        """Return the usage of a message. is_first: before it has been made"""
        usage = self._cumulative_usage()
        if is_first:
            usage["output_tokens"] = min(1, self.answer.usage.completion)
            del usage["output_tokens_details"]
        written = self._cached.written
        for_an_hour = written if self._cached.is_for_an_hour else 0
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": written - for_an_hour,
            "ephemeral_1h_input_tokens": for_an_hour,
        }
        return {**usage, "service_tier": "standard", "inference_geo": "not_available"}

    def _cumulative_usage(self) -> Json:
        usage, cached = self.answer.usage, self._cached
        return {
            "input_tokens": max(0, usage.prompt - cached.read - cached.written),
            "cache_creation_input_tokens": cached.written,
            "cache_read_input_tokens": cached.read,
            "output_tokens": usage.completion,
            "output_tokens_details": {"thinking_tokens": usage.reasoning},
        }


def _block_event(name: str, place: int, **fields: Json) -> bytes:
    return named_event(name, {"type": name, "index": place, **fields})


def _end(choice: Choice) -> Json:
    """Return why a message ended: null for all if it has not."""
    reason = None if choice.finish_reason is None else _STOP_REASONS[choice.finish_reason]
    refusals = choice.texts("refusal")
    if refusals and reason is not None:
        reason = "refusal"
    elif reason == "end_turn" and choice.stop_sequence is not None:
        reason = "stop_sequence"
    details = None
    if reason == "refusal":
        explanation = "".join(refusals) or None
        details = {"type": "refusal", "category": None, "explanation": explanation}
    stopped_by = choice.stop_sequence if reason == "stop_sequence" else None
    return {"stop_reason": reason, "stop_sequence": stopped_by, "stop_details": details}


def _object(text: str) -> msgspec.Raw:
    """Return the arguments of a call if they are whole."""
    try:
        value = msgspec.json.decode(text.encode(), type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.Raw(b"{}")
    return value if bytes(value).startswith(b"{") else msgspec.Raw(b"{}")


def _signature(part: Part) -> str:
    """Return what stands for the signature of the thinking: the same for the same text."""
    return b64encode(b"sluice" + sha256(part.text.encode("utf-8", "replace")).digest() * 4).decode()
