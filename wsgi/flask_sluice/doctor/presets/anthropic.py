"""Anthropic's messages."""

import json
from dataclasses import dataclass, replace
from typing import Any

from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.presets.preset import Preset, json_of
from flask_sluice.sse.event import ReceivedEvent

_PROMPT = "Count from one to fifty in words, one number per line."
_TOKENS = 64
_LONG_TOKENS = 512
_VERSION = "2023-06-01"


@dataclass(frozen=True)
class AnthropicPreset(Preset):
    """A message, or the user's own body (``--post``)."""

    model: str = ""

    name = "anthropic"
    tokens_per_request = _TOKENS
    data_is_json = True
    must_end_with = "event: message_stop"
    token_pace = True

    def request(self) -> HttpRequest:
        return self._ask(_TOKENS)

    def long_request(self) -> HttpRequest:
        return self._ask(_LONG_TOKENS)

    def broken_request(self) -> HttpRequest | None:
        return replace(self._ask(_TOKENS), body=b'{"model": "", "messages": "none", "stream": true')

    def is_terminal(self, event: ReceivedEvent) -> bool:
        return event.event == "message_stop"

    def error_in(self, event: ReceivedEvent) -> str:
        document = json_of(event)
        if isinstance(document, dict) and document.get("type") == "error":
            return json.dumps(document.get("error"))[:200]
        return super().error_in(event)

    def _ask(self, max_tokens: int) -> HttpRequest:
        given = {name.lower() for name in self.target.headers}
        version = {} if "anthropic-version" in given else {"anthropic-version": _VERSION}
        target = replace(self.target, method="POST", headers={**version, **self.target.headers})
        if target.body is not None:
            return target
        body: dict[str, Any] = {
            "model": self.model,
            "stream": True,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": _PROMPT}],
        }
        return replace(target, body=json.dumps(body).encode())
