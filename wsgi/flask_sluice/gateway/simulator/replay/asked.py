"""What of a request decides which recording answers it."""

import hashlib
import json
from typing import Any

import msgspec

from flask_sluice.gateway.relay.recording.lines import body_fields
from flask_sluice.gateway.relay.recording.redaction import Redactor, secrets_of


class Asked(msgspec.Struct, frozen=True):
    """A request in the form in which it is recorded, and so without its secrets.

    body: a digest of the body: of its JSON whatever the order of its fields
    meaning: a digest of what it asks of which model, streamed or not; "" where that cannot be told from its body
    model: "" if it names none
    is_opaque: whether the body is not recorded, so that there is nothing to compare
    """

    method: str
    target: str
    body: str
    meaning: str
    model: str
    is_opaque: bool

    @property
    def route(self) -> str:
        return f"{self.method} {self.target.partition('?')[0]}"

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Asked":
        """Return the request of a recording's first line."""
        value = fields.get("json")
        model = value.get("model") if isinstance(value, dict) else None
        is_opaque = "left_out" in fields
        known = [fields.get(name) for name in ("json", "text", "base64", "body_sha256")]
        return cls(
            fields["method"],
            fields["path"],
            _digest(known),
            _meaning(value),
            model if isinstance(model, str) else "",
            is_opaque,
        )


def fields_of(
    method: str, target: str, headers: dict[str, str], body: bytes, secrets: tuple[str, ...]
) -> dict[str, Any]:
    """Return a request as the first line of its recording would have it."""
    redactor = Redactor([*secrets, *secrets_of(headers, target)])
    content_type = headers.get("content-type", "").lower()
    return {
        "method": method,
        "path": redactor.target(target),
        **body_fields(body, content_type, redactor),
    }


def _meaning(body: Any) -> str:
    """Digest the model, whether it is streamed, the roles of all messages, and the last question."""
    if not isinstance(body, dict):
        return ""
    for name in ("messages", "input", "contents", "prompt"):
        if name in body:
            said = body[name] if isinstance(body[name], list) else [body[name]]
            break
    else:
        return ""
    roles = [each.get("role", each.get("type")) if isinstance(each, dict) else "" for each in said]
    asked = [
        each for each in said if not isinstance(each, dict) or each.get("role", "user") == "user"
    ]
    last = _text(asked[-1]) if asked else ""
    return _digest([body.get("model"), bool(body.get("stream")), name, roles, last])


def _text(message: Any) -> Any:
    """Return what a message says, whether it is one text or several parts."""
    if not isinstance(message, dict):
        return message
    said = message.get("content", message.get("parts", message.get("output")))
    if isinstance(said, list):
        texts = [part.get("text") for part in said if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return said


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
