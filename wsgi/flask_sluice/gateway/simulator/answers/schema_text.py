"""The text that a property gets: of its format, of its pattern, or from the question."""

import random
import re
from typing import Any

from flask_sluice.gateway.simulator.answers.material import Material
from flask_sluice.gateway.simulator.answers.pattern_text import (
    UnsupportedPatternError,
    text_of_pattern,
)

_FORMATS = {
    "date-time": "2026-03-14T15:09:26Z",
    "date": "2026-03-14",
    "time": "15:09:26Z",
    "duration": "PT1H30M",
    "email": "ada@example.com",
    "idn-email": "ada@example.com",
    "hostname": "example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/answer",
    "url": "https://example.com/",
    "uuid": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "byte": "c2x1aWNl",
    "json-pointer": "/answer",
    "regex": "^a+$",
}
"""Addresses and names are those that are kept for examples (RFC 2606, RFC 5737, RFC 3849)."""
_TAKES_ALL = re.compile(
    r"query|question|prompt|text|message|input|content|task|instruction|request|search|thought"
)
_PADDING = "and so on "
_MAX_LENGTH = 100_000


def text_for(schema: dict[str, Any], name: str, material: Material, rng: random.Random) -> str:
    """Return a text for a schema of type string.

    It keeps to ``format``, ``pattern`` (as far as that is understood) and the lengths, in this order.

    name: of the property
    """
    least, most = _length(schema, "minLength", 0), _length(schema, "maxLength", _MAX_LENGTH)
    format_ = schema.get("format")
    if isinstance(format_, str) and format_ in _FORMATS:
        return _FORMATS[format_]
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        try:
            return text_of_pattern(pattern, rng)
        except UnsupportedPatternError:
            pass  # A text from the question is as good as any other.
    text = _example(schema) or _from_question(name, material)
    if len(text) < least:
        text = (text + " " + _PADDING * (least // len(_PADDING) + 1))[: max(least, 1)]
    return text[:most]


def _from_question(name: str, material: Material) -> str:
    if _TAKES_ALL.search(name.lower()):
        return material.topic
    return material.name() or material.topic


def _example(schema: dict[str, Any]) -> str | None:
    examples = schema.get("examples")
    candidates = [schema.get("default"), *(examples if isinstance(examples, list) else [])]
    candidates += [schema.get("example")]
    return next((each for each in candidates if isinstance(each, str) and each), None)


def _length(schema: dict[str, Any], keyword: str, default: int) -> int:
    value = schema.get(keyword)
    if isinstance(value, str) and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return default
    return min(int(value), _MAX_LENGTH)
