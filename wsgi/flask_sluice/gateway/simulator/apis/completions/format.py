"""The JSON of OpenAI's text completions, streamed and whole."""

import time
import uuid
from collections.abc import Iterable, Iterator

from flask_sluice.gateway.simulator.answers.answer import Answer
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


class CompletionFormat(Format):
    """Writes ``text_completion``, whose chunks have the same form as the whole.

    wants_usage: whether a stream tells its usage
    """

    malformed = b'data: {"object": "text_completion", "choices": [{"text\n\n'

    def __init__(self, asked: Asked, answer: Answer, *, wants_usage: bool) -> None:
        super().__init__(asked, answer)
        self._wants_usage = wants_usage
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        template = Template(data_event(self._answer([self._choice(number, Template.GAP, None)])))
        return map(template.write, self.answer.choices[number].parts[place].tokens)

    def end_choice(self, number: int) -> Iterable[bytes]:
        finish_reason = self.answer.choices[number].finish_reason
        yield data_event(self._answer([self._choice(number, "", finish_reason)]))

    def closing(self) -> Iterable[bytes]:
        if self._wants_usage:
            yield data_event({**self._answer([]), "usage": usage_of(self.answer)})

    def terminal(self) -> bytes:
        return b"data: [DONE]\n\n"

    def whole(self) -> bytes:
        choices = [
            self._choice(number, "".join(part.text for part in choice.parts), choice.finish_reason)
            for number, choice in enumerate(self.answer.choices)
        ]
        return encode_json({**self._answer(choices), "usage": usage_of(self.answer)})

    def _choice(self, number: int, text: Text, finish_reason: str | None) -> Json:
        return {"index": number, "text": text, "logprobs": None, "finish_reason": finish_reason}

    def _answer(self, choices: list[Json]) -> Json:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self.asked.model,
            "choices": choices,
        }
