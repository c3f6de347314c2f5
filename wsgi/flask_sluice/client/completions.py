"""What the chunks of OpenAI's chat and completions say: their text, and which choices are finished.

Servers differ from OpenAI's in each of these fields, so nothing is taken for granted: ``choices`` may be empty, null or
missing, ``delta`` and ``content`` may be null, and ``content`` may be a list of parts.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from flask_sluice.client.event import NOT_JSON, StreamEvent

_ENDS_BY_TYPE = ("message_stop", "response.completed", "response.incomplete")


def text_of(chunk: Any) -> str:
    """Return the text that a chunk adds to the answer, "" if it adds none.

    chunk: decoded JSON: a chunk of a stream, or a whole answer, of chat or completions; any other value has no text

    A refusal is text. Reasoning, tool calls and the thinking parts of Mistral are not.
    """
    return "".join(_text_of_choice(choice) for choice in _choices_of(chunk))


def has_failed_choice(chunk: Any) -> bool:
    """Return whether a choice ended with an error, which OpenRouter and Mistral say so."""
    return any(choice.get("finish_reason") == "error" for choice in _choices_of(chunk))


class ChoiceStates:
    """Which choices of an answer were seen, and which of them are finished.

    wanted: how many choices the request asked for
    """

    def __init__(self, wanted: int) -> None:
        self._seen: set[object] = set()
        self._finished: set[object] = set()
        self._wanted = wanted
        self._has_ended = False

    def add(self, event: StreamEvent) -> None:
        # Events of other APIs are not decoded.
        if '"choices"' not in event.data and '"type"' not in event.data:
            return
        try:
            chunk = msgspec.json.decode(event.data)
        except NOT_JSON:
            return
        if isinstance(chunk, dict) and chunk.get("type") in _ENDS_BY_TYPE:
            self._has_ended = True
        for choice in _choices_of(chunk):
            index = repr(choice.get("index", 0))
            self._seen.add(index)
            if choice.get("finish_reason"):
                self._finished.add(index)

    def are_finished(self, later: Iterable[StreamEvent]) -> bool:
        """Return whether the answer has said that it is whole.

        later: the events that were not added yet
        """
        for event in later:
            self.add(event)
        are_all = self._seen == self._finished and len(self._seen) >= self._wanted
        return self._has_ended or are_all


def _choices_of(chunk: Any) -> list[dict[str, Any]]:
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def _text_of_choice(choice: dict[str, Any]) -> str:
    message = choice.get("delta") or choice.get("message")
    if not isinstance(message, dict):
        return _text(choice.get("text"))
    return _text(message.get("content")) + _text(message.get("refusal"))


def _text(content: Any) -> str:
    """Return the text of a field: a text, a list of parts, or anything else, which has none."""
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))
