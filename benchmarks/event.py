"""The events that are relayed: of the size that servers send."""

DONE = b"data: [DONE]\n\n"


def event(number: int) -> bytes:
    """A chunk of a chat completion, some 170 bytes."""
    return (
        b'data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,'
        b'"model":"benchmark","choices":[{"index":0,"delta":{"content":"token%d "},'
        b'"finish_reason":null}]}\n\n' % number
    )
