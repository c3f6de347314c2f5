"""The JSON of OpenAI's chat completions, streamed and whole."""

import time
import uuid
from collections.abc import Iterable, Iterator

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
from flask_sluice.gateway.simulator.apis.openai_usage import usage_of

_DELTA_FIELDS = {"text": "content", "refusal": "refusal", "reasoning": "reasoning_content"}


class ChatFormat(Format):
    """Writes ``chat.completion`` and its chunks, whose ``id``, ``created`` and ``model`` are the same in all.

    wants_usage: whether a stream tells its usage
    """

    malformed = b'data: {"object": "chat.completion.chunk", "choices": [{"delta\n\n'

    def __init__(self, asked: Asked, answer: Answer, *, wants_usage: bool) -> None:
        super().__init__(asked, answer)
        self._wants_usage = wants_usage
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._call_id = f"call_{uuid.uuid4().hex[:20]}"
        self._created = int(time.time())

    def begin_choice(self, number: int) -> Iterable[bytes]:
        has_text = any(part.kind == "text" for part in self.answer.choices[number].parts)
        yield self._chunk(number, {"role": "assistant", "content": "" if has_text else None})

    def begin_part(self, number: int, place: int) -> Iterable[bytes]:
        if self._part(number, place).kind == "tool_call":
            yield self._chunk(number, {"tool_calls": [self._call(number, place, "")]})

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        part = self._part(number, place)
        template = Template(self._chunk(number, self._delta(number, place, Template.GAP)))
        return map(template.write, part.tokens)

    def end_choice(self, number: int) -> Iterable[bytes]:
        yield self._chunk(number, {}, self.answer.choices[number].finish_reason)

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
                "logprobs": None,
                "finish_reason": choice.finish_reason,
            }
            for number, choice in enumerate(self.answer.choices)
        ]
        head = self._head("chat.completion")
        return encode_json({**head, "choices": choices, "usage": usage_of(self.answer)})

    def _message(self, number: int, choice: Choice) -> Json:
        message: Json = {"role": "assistant", "content": None, "refusal": None}
        for kind, name in _DELTA_FIELDS.items():
            if texts := [part.text for part in choice.parts if part.kind == kind]:
                message[name] = "".join(texts)
        calls = [place for place, part in enumerate(choice.parts) if part.kind == "tool_call"]
        if calls:
            message["tool_calls"] = [
                self._call(number, place, choice.parts[place].text, is_whole=True)
                for place in calls
            ]
        return message

    def _part(self, number: int, place: int) -> Part:
        return self.answer.choices[number].parts[place]

    def _delta(self, number: int, place: int, text: Text) -> Json:
        part = self._part(number, place)
        if part.kind == "tool_call":
            index = self._call_index(number, place)
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
        return {_DELTA_FIELDS[part.kind]: text}

    def _call_index(self, number: int, place: int) -> int:
        parts = self.answer.choices[number].parts[:place]
        return sum(part.kind == "tool_call" for part in parts)

    def _call(self, number: int, place: int, arguments: str, *, is_whole: bool = False) -> Json:
        index = self._call_index(number, place)
        # Only the chunks of a stream number their calls.
        numbered: Json = {} if is_whole else {"index": index}
        return {
            **numbered,
            "id": f"{self._call_id}{number:02}{index:02}",
            "type": "function",
            "function": {"name": self._part(number, place).tool, "arguments": arguments},
        }

    def _chunk(self, number: int, delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": number, "delta": delta, "finish_reason": finish_reason}
        return data_event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _head(self, object_: str) -> Json:
        return {
            "id": self._id,
            "object": object_,
            "created": self._created,
            "model": self.asked.model,
        }
