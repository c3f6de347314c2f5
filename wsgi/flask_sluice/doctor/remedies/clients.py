"""What to change where a stream is right by the standard, but some clients stumble over it."""

from flask_sluice.doctor.remedies.remedy import Remedy

BLANK_LINE_AFTER_COMMENT = (
    Remedy("any app: one line end after a comment, no blank line", 'yield ": keep-alive\\n"'),
    Remedy(
        "uvicorn, with sse-starlette, whose ping has a blank line behind",
        'EventSourceResponse(events(), ping_message_factory=lambda: b": keep-alive\\n")',
    ),
)
"""A comment has a blank line behind it."""

BLOCK_WITHOUT_DATA = (
    Remedy(
        "any app: id and retry together with the first event",
        'yield f"retry: 3000\\ndata: {text}\\n\\n"',
    ),
)
"""An id, a retry or an event stands alone before a blank line."""

LONG_LINES = (
    Remedy("Go, in the client: smaller events, or a larger buffer", "scanner.Buffer(nil, 32<<20)"),
)
"""A line is longer than 64 KiB."""

NO_SPACE_AFTER_DATA = (Remedy("any app: a space after `data:`", 'yield f"data: {text}\\n\\n"'),)
"""There is no space after `data:`."""

SEVERAL_DATA_LINES = (Remedy("any app: JSON on one line, without indent", "json.dumps(chunk)"),)
"""A model's chunk has several lines of data."""

SPACES_AROUND_DONE = (Remedy("any app, of the OpenAI kind: exactly", 'yield "data: [DONE]\\n\\n"'),)
"""`[DONE]` has spaces around it."""

DONE_TWICE = (
    Remedy(
        "any app, if it relays a stream of the OpenAI kind: the upstream may have sent it already",
        'if event.data == "[DONE]":\n    return',
    ),
)
"""`[DONE]` comes more than once."""

EVENTS_AFTER_DONE = (
    Remedy(
        "any app, of the OpenAI kind: nothing after it",
        'yield usage_chunk\nyield "data: [DONE]\\n\\n"',
    ),
)
"""Events come after `[DONE]`."""

NO_EVENT_LINE = (
    Remedy(
        "any app, of the Anthropic kind",
        "yield f\"event: {chunk['type']}\\ndata: {json.dumps(chunk)}\\n\\n\"",
    ),
)
"""A chunk has no event line."""
