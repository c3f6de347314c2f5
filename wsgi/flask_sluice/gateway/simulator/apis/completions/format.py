"""The JSON of OpenAI's text completions, streamed and whole."""

import time
import uuid
from collections.abc import Iterable, Iterator

from flask_sluice.gateway.simulator.answers.answer import Answer, Choice
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
from flask_sluice.gateway.simulator.apis.openai_logprobs import CompletionLogprobs, telling
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
        self._logprobs = logprobs
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        choices = self.answer.choices
        self._prompts = [tokenize(question) for question in asked.questions] if is_echo else []
        self._tellers = [
            CompletionLogprobs(logprobs or 0, begins_with_prompt=is_echo) for _ in choices
        ]
        self._first_texts = [self._first_tokens(number) for number in range(len(choices))]
        self._first_logprobs = self._tell_first()

    def _first_tokens(self, number: int) -> list[str]:
        """Return the tokens of a choice that come at once: its prompt's, and where it is no stream all others."""
        tokens: list[str] = []
        if self._is_echo:
            tokens = self._prompts[number // self.asked.choice_count]
        if not self.asked.is_stream:
            tokens = [*tokens, *_tokens_of(self.answer.choices[number])]
        return tokens

    def _tell_first(self) -> list[Json] | None:
        """Return the log probabilities of those, None where they are not asked for."""
        if self._logprobs is None:
            return None
        with telling(sum(map(len, self._first_texts)), self._logprobs):
            return [
                teller.of(tokens)
                for teller, tokens in zip(self._tellers, self._first_texts, strict=True)
            ]

    def begin_choice(self, number: int) -> Iterable[bytes]:
        if self._is_echo:
            choice = self._choice(number, "".join(self._first_texts[number]), None)
            if self._first_logprobs is not None:
                choice["logprobs"] = self._first_logprobs[number]
            yield data_event(self._answer([choice]))

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        tokens = self.answer.choices[number].parts[place].tokens
        if self._logprobs is not None:
            return (self._event_with_logprobs(number, token) for token in tokens)
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
            prompt = self._prompts[number // self.asked.choice_count] if self._is_echo else []
            # The choice may have been broken off since these tokens were collected.
            count = len(prompt) + choice.token_count
            text = "".join(self._first_texts[number][:count])
            told = self._choice(number, text, choice.finish_reason)
            if self._first_logprobs is not None:
                logprobs = self._first_logprobs[number]
                told["logprobs"] = {name: values[:count] for name, values in logprobs.items()}
            choices.append(told)
        return encode_json({**self._answer(choices), "usage": usage_of(self.answer)})

    def _event_with_logprobs(self, number: int, token: str) -> bytes:
        choice = self._choice(number, token, None)
        choice["logprobs"] = self._tellers[number].of([token])
        return data_event(self._answer([choice]))

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


def _tokens_of(choice: Choice) -> list[str]:
    return [token for part in choice.parts for token in part.tokens]
