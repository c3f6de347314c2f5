"""OpenAI's chat completions, completions and responses, and what resembles them."""

import json
from dataclasses import dataclass, replace
from typing import Any

from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.presets.preset import Preset, json_of
from flask_sluice.sse.event import ReceivedEvent

PROMPT = "Count from one to fifty in words, one number per line."
BROKEN_BODY = b'{"model": "", "messages": "none", "stream": true'
"""JSON that is cut off: every server has to refuse it, before it asks a model anything."""
TOKENS = 64
LONG_TOKENS = 512
_ONLY_COMPLETION_TOKENS = ("o1", "o3", "o4", "gpt-5")


@dataclass(frozen=True)
class OpenAIPreset(Preset):
    """A chat completion or a completion, or the user's own body (``--post``).

    model: the model's name; "" to leave the user's body as it is
    """

    model: str = ""

    name = "openai"
    tokens_per_request = TOKENS
    data_is_json = True
    must_end_with = "data: [DONE]"
    token_pace = True

    def request(self) -> HttpRequest:
        return self._ask(TOKENS)

    def long_request(self) -> HttpRequest:
        return self._ask(LONG_TOKENS)

    def broken_request(self) -> HttpRequest | None:
        return replace(self.target, method="POST", body=BROKEN_BODY)

    def is_terminal(self, event: ReceivedEvent) -> bool:
        return event.data.strip() == "[DONE]"

    def is_last_of_content(self, event: ReceivedEvent) -> bool:
        document = json_of(event)
        choices = document.get("choices") if isinstance(document, dict) else None
        return isinstance(choices, list) and any(
            isinstance(choice, dict) and choice.get("finish_reason") for choice in choices
        )

    def _ask(self, max_tokens: int) -> HttpRequest:
        body = self.target.body
        if body is None:
            question = {"model": self.model, "stream": True, **self._question(max_tokens)}
            body = json.dumps(question).encode()
        return replace(self.target, method="POST", body=body)

    def _question(self, max_tokens: int) -> dict[str, Any]:
        if not self.target.parts.path.rstrip("/").endswith("/chat/completions"):
            return {"max_tokens": max_tokens, "prompt": PROMPT}
        is_new = self.model.rpartition("/")[2].startswith(_ONLY_COMPLETION_TOKENS)
        limit = "max_completion_tokens" if is_new else "max_tokens"
        return {limit: max_tokens, "messages": [{"role": "user", "content": PROMPT}]}


@dataclass(frozen=True)
class ResponsesPreset(OpenAIPreset):
    """A response (``/v1/responses``), whose events have types and whose end is no [DONE]."""

    must_end_with = "event: response.completed"

    def is_terminal(self, event: ReceivedEvent) -> bool:
        return self._kind(event) in (
            *("response.completed", "response.incomplete"),
            *("response.failed", "response.cancelled"),
        )

    def error_in(self, event: ReceivedEvent) -> str:
        if self._kind(event) == "response.failed":
            document = json_of(event)
            response = document.get("response") if isinstance(document, dict) else None
            error = response.get("error") if isinstance(response, dict) else None
            return json.dumps(error)[:200] if error else "response.failed"
        return super().error_in(event)

    def _kind(self, event: ReceivedEvent) -> str:
        """The type, which stands in the data, and mostly in the event's name as well."""
        document = json_of(event)
        kind = document.get("type") if isinstance(document, dict) else None
        return kind if isinstance(kind, str) else event.event

    def _question(self, max_tokens: int) -> dict[str, Any]:
        return {"max_output_tokens": max_tokens, "input": PROMPT}
