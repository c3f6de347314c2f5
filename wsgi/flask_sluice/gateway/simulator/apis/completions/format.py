"""The JSON of OpenAI's text completions, streamed and whole."""

import time
import uuid
from collections.abc import Iterable, Iterator

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.answers.texts import tokenize
from flask_sluice.gateway.simulator.apis.format import (
    Format,
    Json,
    Template,
    Text,
    data_event,
    encode_json,
)
from flask_sluice.gateway.simulator.apis.openai_logprobs import CompletionLogprobs
from flask_sluice.gateway.simulator.apis.openai_usage import fingerprint_of, usage_of


class CompletionFormat(Format):
    """Writes ``text_completion``, whose chunks have the same form as the whole.

    wants_usage: whether a stream tells its usage
    logprobs: how many alternatives each token's log probability has; None: no log probabilities
    is_echo: whether each text begins with its prompt
    """

    malformed = b'data: {"object": "text_completion", "choices": [{"text\n\n'

    def __init__(
        self,
        asked: Asked,
        answer: Answer,
        *,
        wants_usage: bool,
        logprobs: int | None = None,
        is_echo: bool = False,
    ) -> None:
        super().__init__(asked, answer)
        self._wants_usage = wants_usage
        self._is_echo = is_echo
        self._told_logprobs = (
            None
            if logprobs is None
            else [CompletionLogprobs(logprobs) for _ in self.answer.choices]
        )
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())

    def begin_choice(self, number: int) -> Iterable[bytes]:
        if self._is_echo:
            yield data_event(self._answer([self._text_choice(number, self._echoed(number), None)]))

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        tokens = self.answer.choices[number].parts[place].tokens
        if self._told_logprobs is not None:
            return (
                data_event(self._answer([self._text_choice(number, [token], None)]))
                for token in tokens
            )
        template = Template(data_event(self._answer([self._choice(number, Template.GAP, None)])))
        return map(template.write, tokens)

    def end_choice(self, number: int) -> Iterable[bytes]:
        finish_reason = self.answer.choices[number].finish_reason
        yield data_event(self._answer([self._choice(number, "", finish_reason)]))

    def closing(self) -> Iterable[bytes]:
        if self._wants_usage:
            yield data_event({**self._answer([]), "usage": usage_of(self.answer)})

    def terminal(self) -> bytes:
        return b"data: [DONE]\n\n"

    def whole(self) -> bytes:
        choices = []
        for number, choice in enumerate(self.answer.choices):
            tokens = self._echoed(number) if self._is_echo else []
            for part in choice.parts:
                tokens += part.tokens
            choices.append(self._text_choice(number, tokens, choice.finish_reason))
        return encode_json({**self._answer(choices), "usage": usage_of(self.answer)})

    def _echoed(self, number: int) -> list[str]:
        """Return the tokens of the prompt that a choice continues."""
        return tokenize(self.asked.questions[number // self.asked.choice_count])

    def _text_choice(self, number: int, tokens: list[str], finish_reason: str | None) -> Json:
        choice = self._choice(number, "".join(tokens), finish_reason)
        if self._told_logprobs is not None:
            choice["logprobs"] = self._told_logprobs[number].of(
                tokens, begins_with_prompt=self._is_echo
            )
        return choice

    def _choice(self, number: int, text: Text, finish_reason: str | None) -> Json:
        return {"index": number, "text": text, "logprobs": None, "finish_reason": finish_reason}

    def _answer(self, choices: list[Json]) -> Json:
        answer: Json = {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self.asked.model,
            "system_fingerprint": fingerprint_of(self.asked.model),
            "choices": choices,
        }
        if self._wants_usage and choices:
            answer["usage"] = None
        return answer
