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


def chunk(data: bytes) -> bytes:
    """As HTTP/1.1 frames a part of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


# All but the time is ready: an event costs the upstream one formatting and one send.
_CHUNK = chunk(_BEFORE + b"%0*d" % (SEND_TIME_DIGITS, 0) + _AFTER).partition(
    b"0" * SEND_TIME_DIGITS
)


def event_chunk(sent_ns: int) -> bytes:
    """A chunk of a chat completion, some 190 bytes, in HTTP's framing. sent_ns: on the monotonic clock."""
    return b"%b%019d%b" % (_CHUNK[0], sent_ns, _CHUNK[2])
