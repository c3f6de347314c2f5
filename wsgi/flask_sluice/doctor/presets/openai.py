"""OpenAI's chat completions, and what resembles them."""

import json
from dataclasses import dataclass, replace
from typing import Any

from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.presets.preset import Preset, json_of
from flask_sluice.sse.event import ReceivedEvent

_PROMPT = "Count from one to fifty in words, one number per line."
_TOKENS = 64
_LONG_TOKENS = 512


@dataclass(frozen=True)
class OpenAIPreset(Preset):
    """A chat completion, or the user's own body (``--post``).

    model: the model's name; "" to leave the user's body as it is
    """

    model: str = ""

    name = "openai"
    tokens_per_request = _TOKENS
    data_is_json = True
    must_end_with = "data: [DONE]"
    token_pace = True

    def request(self) -> HttpRequest:
        return self._ask(_TOKENS)

    def long_request(self) -> HttpRequest:
        return self._ask(_LONG_TOKENS)

    def broken_request(self) -> HttpRequest | None:
        return replace(
            self.target, method="POST", body=b'{"model": "", "messages": "none", "stream": true'
        )

    def is_terminal(self, event: ReceivedEvent) -> bool:
        return event.data.strip() == "[DONE]" or event.event.startswith("response.completed")

    def error_in(self, event: ReceivedEvent) -> str:
        document = json_of(event)
        if isinstance(document, dict) and document.get("error"):
            return json.dumps(document["error"])[:200]
        return super().error_in(event)

    def _ask(self, max_tokens: int) -> HttpRequest:
        if self.target.body is not None:
            return replace(self.target, method="POST")
        body: dict[str, Any] = {
            "model": self.model,
            "stream": True,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": _PROMPT}],
        }
        return replace(self.target, method="POST", body=json.dumps(body).encode())
