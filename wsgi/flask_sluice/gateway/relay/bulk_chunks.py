"""Takes many chunks apart at once: those of a chunked body that each hold one event of one line.

So nearly all upstreams send them. A read brings many where the upstream is faster than this, or a network holds
them up; then it is Python that an event costs, and not the kernel.
"""

from flask_sluice.stream.transport.chunk_sizes import CHUNK_STARTS

_STARTS_BY_LINE = CHUNK_STARTS[len("\n\n") :]
"""How the chunk begins whose event has a line of so many bytes."""


def take_one_line_events(data: bytes) -> tuple[bytes, int, bytes]:
    """The events of the chunks that ``data`` begins with, how many they are, and what is behind the last whole chunk.

    None, and all of ``data``, if any of the whole chunks is another: with an event of several lines, or none, of more
    than 4095 bytes, with its size not in the usual form, or with a wrong one.

    All loops are in C: 0.24 us for each of many events of 190 bytes, where going from chunk to chunk takes 0.7 and
    counting the blank lines behind it 0.2.
    """
    # Is the first one such? 0.3 us; where it holds 16 events, to cut it into lines for nothing takes 2.5 us.
    line_end = data.find(b"\n", len("100\r\n"))
    if not data.startswith(b"\n\n\r\n", line_end):
        return b"", 0, data
    # Four lines each: the start, the event's, the blank one, and the CR that ends the chunk.
    lines = data.split(b"\n")
    count = (len(lines) - 1) // 4
    tail = b"\n".join(lines[4 * count :])
    del lines[4 * count :]
    events = lines[1::4]
    try:
        starts = b"".join(map(_STARTS_BY_LINE.__getitem__, map(len, events)))
    except IndexError:
        return b"", 0, data
    is_usual = (
        starts == b"\n".join([*lines[::4], b""])
        and lines[2::4].count(b"") == count
        and lines[3::4].count(b"\r") == count
    )
    if not is_usual:
        return b"", 0, data
    return b"\n\n".join([*events, b""]), count, tail
