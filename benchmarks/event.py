"""The events that are relayed: of the size that servers send, each with the time of its sending."""

SEND_TIME_MARK = b'"content":"'
SEND_TIME_DIGITS = 19
EVENT_MARK = b"["
"""Once in every chunk of a chat completion and in ``[DONE]``, nowhere else: one byte is never cut in two by a read."""

DONE = b"data: [DONE]\n\n"
_BEFORE = (
    b'data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"benchmark","choices":[{"index":0,"delta":{' + SEND_TIME_MARK
)
_AFTER = b'"},"finish_reason":null}]}\n\n'


def event(sent_ns: int) -> bytes:
    """A chunk of a chat completion, some 190 bytes. sent_ns: when, on the monotonic clock"""
    return b"%b%0*d%b" % (_BEFORE, SEND_TIME_DIGITS, sent_ns, _AFTER)


def chunk(data: bytes) -> bytes:
    """As HTTP/1.1 frames a part of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event_chunk(sent_ns: int) -> bytes:
    return b"%b%0*d%b" % (_CHUNK_BEFORE, SEND_TIME_DIGITS, sent_ns, _CHUNK_AFTER)


# All but the time is ready: an event costs the upstream one formatting and one send.
_CHUNK_BEFORE, _, _CHUNK_AFTER = chunk(event(0)).partition(b"0" * SEND_TIME_DIGITS)
