"""The JSON of OpenAI's chat completions, streamed and whole."""

import time
import uuid
from collections.abc import Iterable, Iterator

from msgspec import Raw

from flask_sluice.gateway.simulator.answers.answer import Answer, Choice, Part
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.format import (
    Format,
    Json,
    Template,
    Text,
    data_event,
    encode_json,
)
from flask_sluice.gateway.simulator.apis.openai_logprobs import (
    chat_logprob,
    encoded_chat_logprobs,
    telling,
)
from flask_sluice.gateway.simulator.apis.openai_usage import fingerprint_of, usage_of

_DELTA_FIELDS = {"text": "content", "refusal": "refusal", "reasoning": "reasoning_content"}
_LOGPROBS_FIELDS = {"text": "content", "refusal": "refusal"}


class ChatFormat(Format):
    """Writes ``chat.completion`` and its chunks, whose ``id``, ``created`` and ``model`` are the same in all.

    wants_usage: whether a stream tells its usage
    top_logprobs: how many alternatives each token's log probability has; None: no log probabilities
    calls_functions: whether a call is told as the deprecated ``function_call``, of which an answer has one
    service_tier: as the answer tells it
    """

    malformed = b'data: {"object": "chat.completion.chunk", "choices": [{"delta\n\n'

    def __init__(
        self,
        asked: Asked,
        answer: Answer,
        *,
        wants_usage: bool,
        top_logprobs: int | None = None,
        calls_functions: bool = False,
        service_tier: str | None = None,
    ) -> None:
        super().__init__(asked, answer)
        self._wants_usage = wants_usage
        self._top_logprobs = top_logprobs
        self._calls_functions = calls_functions
        self._service_tier = service_tier
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._call_id = f"call_{uuid.uuid4().hex[:20]}"
        self._created = int(time.time())
        self._logprobs_told = (
            None if top_logprobs is None or asked.is_stream else self._told_logprobs(top_logprobs)
        )

    def begin_choice(self, number: int) -> Iterable[bytes]:
        content = _first_content(self.answer.choices[number])
        yield self._chunk(number, {"role": "assistant", "content": content})

    def begin_part(self, number: int, place: int) -> Iterable[bytes]:
        if self._part(number, place).kind == "tool_call":
            yield self._chunk(number, self._call_delta(number, place))

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        part = self._part(number, place)
        field = _LOGPROBS_FIELDS.get(part.kind)
        if self._top_logprobs is not None and field is not None:
            return (self._chunk_with_logprobs(number, place, field, token) for token in part.tokens)
        template = Template(self._chunk(number, self._delta(number, place, Template.GAP)))
        return map(template.write, part.tokens)

    def end_choice(self, number: int) -> Iterable[bytes]:
        yield self._chunk(number, {}, self._finish_reason(self.answer.choices[number]))

    def closing(self) -> Iterable[bytes]:
        if self._wants_usage:
            head = self._head("chat.completion.chunk")
            yield data_event({**head, "choices": [], "usage": usage_of(self.answer)})

    def terminal(self) -> bytes:
        return b"data: [DONE]\n\n"

    def whole(self) -> bytes:
        choices = [
            {
                "index": number,
                "message": self._message(number, choice),
                "logprobs": self._logprobs(number, choice),
                "finish_reason": self._finish_reason(choice),
            }
            for number, choice in enumerate(self.answer.choices)
        ]
        head = self._head("chat.completion")
        return encode_json({**head, "choices": choices, "usage": usage_of(self.answer)})

    def _finish_reason(self, choice: Choice) -> str | None:
        if choice.finish_reason == "tool_calls" and self._calls_functions:
            return "function_call"
        return choice.finish_reason

    def _message(self, number: int, choice: Choice) -> Json:
        content = _first_content(choice)
        message: Json = {
            "role": "assistant",
            "content": content,
            "refusal": None,
            "annotations": [],
        }
        for kind, name in _DELTA_FIELDS.items():
            if texts := [part.text for part in choice.parts if part.kind == kind]:
                message[name] = "".join(texts)
        calls = [place for place, part in enumerate(choice.parts) if part.kind == "tool_call"]
        if calls and self._calls_functions:
            message["function_call"] = self._function(number, calls[0], is_whole=True)
        elif calls:
            message["tool_calls"] = [self._call(number, place, is_whole=True) for place in calls]
        return message

    def _told_logprobs(self, top_logprobs: int) -> list[list[list[Raw]]]:
        """Return the log probabilities of each token of each part of each choice, which a stream tells one by one."""
        choices = self.answer.choices
        with telling(sum(choice.token_count for choice in choices), top_logprobs):
            return [
                [
                    encoded_chat_logprobs(part.tokens, top_logprobs)
                    if part.kind in _LOGPROBS_FIELDS
                    else []
                    for part in choice.parts
                ]
                for choice in choices
            ]

    def _logprobs(self, number: int, choice: Choice) -> Json | None:
        if self._logprobs_told is None:
            return None
        told: Json = {"content": None, "refusal": None}
        # The choice may have been broken off since they were told.
        for part, logprobs in zip(choice.parts, self._logprobs_told[number], strict=False):
            if field := _LOGPROBS_FIELDS.get(part.kind):
                told[field] = logprobs[: len(part.tokens)]
        return told

    def _chunk_with_logprobs(self, number: int, place: int, field: str, token: str) -> bytes:
        told: Json = {"content": None, "refusal": None}
        told[field] = [chat_logprob(token, self._top_logprobs or 0)]
        return self._chunk(number, self._delta(number, place, token), logprobs=told)

    def _part(self, number: int, place: int) -> Part:
        return self.answer.choices[number].parts[place]

    def _delta(self, number: int, place: int, text: Text) -> Json:
        part = self._part(number, place)
        if part.kind != "tool_call":
            return {_DELTA_FIELDS[part.kind]: text}
        if self._calls_functions:
            return {"function_call": {"arguments": text}}
        index = self._call_index(number, place)
        if part.is_free_text:
            return {"tool_calls": [{"index": index, "custom": {"input": text}}]}
        return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}

    def _call_delta(self, number: int, place: int) -> Json:
        if self._calls_functions:
            return {"function_call": self._function(number, place)}
        return {"tool_calls": [self._call(number, place)]}

    def _call_index(self, number: int, place: int) -> int:
        parts = self.answer.choices[number].parts[:place]
        return sum(part.kind == "tool_call" for part in parts)

    def _call(self, number: int, place: int, *, is_whole: bool = False) -> Json:
        index = self._call_index(number, place)
        part = self._part(number, place)
        # Only the chunks of a stream number their calls.
        call: Json = {} if is_whole else {"index": index}
        call["id"] = f"{self._call_id}{number:02}{index:02}"
        if part.is_free_text:
            given = part.text if is_whole else ""
            return {**call, "type": "custom", "custom": {"name": part.tool, "input": given}}
        return {
            **call,
            "type": "function",
            "function": self._function(number, place, is_whole=is_whole),
        }

    def _function(self, number: int, place: int, *, is_whole: bool = False) -> Json:
        part = self._part(number, place)
        return {"name": part.tool, "arguments": part.text if is_whole else ""}

    def _chunk(
        self,
        number: int,
        delta: Json,
        finish_reason: str | None = None,
        logprobs: Json | None = None,
    ) -> bytes:
        choice: Json = {"index": number, "delta": delta, "logprobs": logprobs}
        choice["finish_reason"] = finish_reason
        chunk: Json = {**self._head("chat.completion.chunk"), "choices": [choice]}
        if self._wants_usage:
            chunk["usage"] = None
        return data_event(chunk)

    def _head(self, object_: str) -> Json:
        head = {
            "id": self._id,
            "object": object_,
            "created": self._created,
            "model": self.asked.model,
            "system_fingerprint": fingerprint_of(self.asked.model),
        }
        return head if self._service_tier is None else {**head, "service_tier": self._service_tier}


def _first_content(choice: Choice) -> str | None:
    """Return what the content is before its first token: null in an answer that is not of text."""
    has_other = any(part.kind in ("tool_call", "refusal") for part in choice.parts)
    has_text = any(part.kind == "text" for part in choice.parts)
    return "" if has_text or not has_other else None
