"""A streamed answer with what servers send besides OpenAI's format; each chunk was seen from a real server."""

import json
from typing import Any

DONE = b"data: [DONE]\n\n"
SPOKEN = "Hello wide world"
FINISHED = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"total_tokens": 3}}


def _delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


ODD_DOCUMENTS = (
    {"choices": [], "prompt_filter_results": []},
    {"object": "chat.completion.chunk"},
    {"choices": None, "usage": None},
    _delta(role="assistant", content=None),
    _delta(content=None, reasoning_content="thinking"),
    {"choices": [{"index": 0, "delta": None}]},
    {"choices": [{"index": 0}]},
    {**_delta(content="Hello "), "error": None},
    _delta(
        content=[
            {"type": "thinking", "thinking": [{"type": "text", "text": "thinking"}]},
            {"type": "text", "text": "wide "},
        ]
    ),
    _delta(content="world", refusal=None, tool_calls=None),
    _delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]),
    FINISHED,
    USAGE,
)
ODD_CHUNKS = tuple(b"data: %s\n\n" % json.dumps(document).encode() for document in ODD_DOCUMENTS)
