"""Anthropic's messages."""

import json
from dataclasses import dataclass, replace
from typing import Any

from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.presets.openai import BROKEN_BODY, LONG_TOKENS, PROMPT, TOKENS
from flask_sluice.doctor.presets.preset import Preset, json_of
from flask_sluice.sse.event import ReceivedEvent

_VERSION = "2023-06-01"


@dataclass(frozen=True)
class AnthropicPreset(Preset):
    """A message, or the user's own body (``--post``)."""

    model: str = ""

    name = "anthropic"
    tokens_per_request = TOKENS
    data_is_json = True
    must_end_with = "event: message_stop"
    token_pace = True

    def request(self) -> HttpRequest:
        return self._ask(TOKENS)

    def long_request(self) -> HttpRequest:
        return self._ask(LONG_TOKENS)

    def broken_request(self) -> HttpRequest | None:
        return replace(with_version(self.target), method="POST", body=BROKEN_BODY)

    def is_terminal(self, event: ReceivedEvent) -> bool:
        document = json_of(event)
        kind = document.get("type") if isinstance(document, dict) else None
        return "message_stop" in (event.event, kind)

    def is_last_of_content(self, event: ReceivedEvent) -> bool:
        document = json_of(event)
        delta = document.get("delta") if isinstance(document, dict) else None
        return isinstance(delta, dict) and bool(delta.get("stop_reason"))

    def _ask(self, max_tokens: int) -> HttpRequest:
        target = replace(with_version(self.target), method="POST")
        if target.body is not None:
            return target
        body: dict[str, Any] = {
            "model": self.model,
            "stream": True,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": PROMPT}],
        }
        return replace(target, body=json.dumps(body).encode())


def with_version(request: HttpRequest) -> HttpRequest:
    """Return the request with the version of the API, which is required, unless the user has given one."""
    given = {name.lower() for name in request.headers}
    version = {} if "anthropic-version" in given else {"anthropic-version": _VERSION}
    return replace(request, headers={**version, **request.headers})
