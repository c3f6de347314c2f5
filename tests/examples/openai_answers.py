"""Answers of an OpenAI server as it sends them, event by event."""

import json
from typing import Any

TEXT = "Hello, wide world"
REFUSAL = {
    "error": {
        "message": "Rate limit reached.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
}
ERROR = {"message": "Out of memory.", "type": "server_error", "param": None, "code": "oom"}
DONE = b"data: [DONE]\n\n"


def _chunk(choices: list[dict[str, Any]], **fields: Any) -> bytes:
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1764500000,
        "model": "gpt-5",
        "service_tier": "default",
        "system_fingerprint": None,
        "choices": choices,
        "usage": None,
        # Fields that the SDK does not know.
        "obfuscation": "aX3",
        **fields,
    }
    return b"data: %s\n\n" % json.dumps(chunk).encode()


def _choice(delta: dict[str, Any], finish_reason: str | None = None, index: int = 0) -> Any:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


CHAT_BEGINNING = (
    _chunk([_choice({"role": "assistant", "content": "", "refusal": None})]),
    _chunk([_choice({"content": "Hello, "})]),
    _chunk([_choice({"content": "wide world"})]),
)
CHAT = (
    *CHAT_BEGINNING,
    _chunk([_choice({}, "stop")]),
    _chunk([], usage={"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}),
    DONE,
)
ONE_OF_TWO_CHOICES = (
    _chunk([_choice({"content": "Hello"}), _choice({"content": "Hi"}, index=1)]),
    _chunk([_choice({}, "stop")]),
)
CHAT_ERROR = b"data: %s\n\n" % json.dumps({"error": ERROR}).encode()


class _Numbered:
    """Makes events of the Responses API, which are numbered from 0."""

    def __init__(self) -> None:
        self._number = -1

    def __call__(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        data = {"type": kind, "sequence_number": self._number, **fields}
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps(data).encode())


def _response(status: str, output: list[Any]) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1764500000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "gpt-5",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }


def _answer() -> tuple[bytes, ...]:
    event = _Numbered()
    place = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
    part = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant"}
    whole = {**message, "status": "completed", "content": [part]}
    return (
        event("response.created", response=_response("in_progress", [])),
        event("response.in_progress", response=_response("in_progress", [])),
        event(
            "response.output_item.added",
            output_index=0,
            item={**message, "status": "in_progress", "content": []},
        ),
        event("response.content_part.added", **place, part={**part, "text": ""}),
        event("response.output_text.delta", **place, delta="Hello, ", logprobs=[]),
        event("response.output_text.delta", **place, delta="wide world", logprobs=[]),
        event("response.output_text.done", **place, text=TEXT, logprobs=[]),
        event("response.content_part.done", **place, part=part),
        event("response.output_item.done", output_index=0, item=whole),
        event("response.completed", response=_response("completed", [whole])),
    )


RESPONSE = _answer()
RESPONSE_BEGINNING = RESPONSE[:5]


def last_response_event(kind: str) -> bytes:
    """Return the event with which an answer ends whose beginning has been sent; kind: "response.failed", for example."""
    event = _Numbered()
    for _ in RESPONSE_BEGINNING:
        event("response.created")
    if kind == "error":
        return event(kind, code="oom", message="Out of memory.", param=None)
    return event(kind, response=_response(kind.removeprefix("response."), []))


RESPONSE_ERROR = (
    b"event: error\ndata: %s\n\n" % json.dumps({"type": "error", "error": ERROR}).encode()
)
"""The form that the SDKs raise."""
