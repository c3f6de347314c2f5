"""The items of a response's output, and the fields in which each kind of part has its text."""

from typing import Any

from msgspec import Raw

from flask_sluice.gateway.simulator.answers.answer import Part

Json = dict[str, Any]


class OutputItem:
    """One item of the output.

    item_id: of a reasoning item, message or call
    part: None: reasoning that is not shown
    is_whole: whether the answer does not break off in it
    logprobs: what is told of each token of its text, encoded; None: it was not asked for
    """

    def __init__(
        self,
        token: str,
        index: int,
        part: Part | None,
        *,
        is_whole: bool,
        shows_summary: bool,
        logprobs: list[Raw] | None,
        encrypted_content: str | None,
    ) -> None:
        kind = "reasoning" if part is None else part.kind
        prefix = {"reasoning": "rs", "tool_call": "fc"}.get(kind, "msg")
        if part is not None and part.is_free_text:
            prefix = "ctc"
        self.id = f"{prefix}_{token}{index:02x}"
        self.index = index
        self.kind = kind
        self.part = part
        self._call_id = f"call_{token[:22]}{index:02x}"
        self._is_whole = is_whole
        self._shows_summary = shows_summary
        self.logprobs = logprobs
        self._encrypted_content = encrypted_content

    @property
    def name(self) -> str:
        """The kind of its text, as the types of its events have it."""
        if self.kind == "reasoning":
            return "reasoning_summary_text" if self._shows_summary else "reasoning_text"
        if self.kind == "tool_call":
            return "custom_tool_call_input" if self.is_custom else "function_call_arguments"
        return "output_text" if self.kind == "text" else "refusal"

    @property
    def is_custom(self) -> bool:
        return self.part is not None and self.part.is_free_text

    @property
    def place(self) -> Json:
        """The fields that say where the text of an event belongs."""
        place: Json = {"item_id": self.id, "output_index": self.index}
        if self.kind == "reasoning" and self._shows_summary:
            place["summary_index"] = 0
        elif self.kind != "tool_call":
            place["content_index"] = 0
        return place

    def content(self, text: str) -> Json:
        """Return the part of a message, of the reasoning or of its summary that has this text."""
        if self.kind == "reasoning":
            return {
                "type": "summary_text" if self._shows_summary else "reasoning_text",
                "text": text,
            }
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        logprobs = self.logprobs if text else None
        return {"type": "output_text", "annotations": [], "logprobs": logprobs or [], "text": text}

    def begun(self) -> Json:
        """Return the item as it is before its text."""
        return self._item(None, "in_progress")

    def done(self) -> Json:
        """Return the whole item."""
        text = "" if self.part is None else self.part.text
        return self._item(text, "completed" if self._is_whole else "incomplete")

    def _item(self, text: str | None, status: str) -> Json:
        if self.kind == "reasoning":
            return self._reasoning(text)
        if self.kind == "tool_call":
            return self._call(text or "", status)
        content = [] if text is None else [self.content(text)]
        return {
            "id": self.id,
            "type": "message",
            "status": status,
            "content": content,
            "role": "assistant",
        }

    def _reasoning(self, text: str | None) -> Json:
        item: Json = {"id": self.id, "type": "reasoning", "summary": []}
        if self.part is not None and not self._shows_summary:
            item["content"] = []
        if text:
            item["summary" if self._shows_summary else "content"] = [self.content(text)]
        if self._encrypted_content is not None:
            item["encrypted_content"] = self._encrypted_content
        return item

    def _call(self, text: str, status: str) -> Json:
        assert self.part is not None
        return {
            "id": self.id,
            "type": "custom_tool_call" if self.is_custom else "function_call",
            "status": status,
            "input" if self.is_custom else "arguments": text,
            "call_id": self._call_id,
            "name": self.part.tool,
        }
