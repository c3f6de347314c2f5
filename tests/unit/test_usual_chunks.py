"""Chunks of the usual form are taken apart as the parser would, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.gateway.relay.http1_parser import ChunkedBody
from flask_sluice.gateway.relay.usual_chunks import take_one_line_events
from flask_sluice.sse import EventFramer

EVENT = b'data: {"choices":[]}\n\n'


def chunk(data, size=b"%x"):
    return size % len(data) + b"\r\n" + data + b"\r\n"


lines = st.sampled_from([EVENT, b": ping\n\n", b"data: [DONE]\n\n", b"data: \r\n\n"]) | st.builds(
    lambda size: b"data: %b\n\n" % (b"x" * size), st.sampled_from([0, 7, 8, 9, 240, 248, 249, 4086])
)
others = st.sampled_from(
    [
        chunk(b"data: x\n") + chunk(b"\n"),
        chunk(b"data: x\n"),
        chunk(b"event: e\ndata: x\n\n"),
        chunk(EVENT + EVENT),
        chunk(b"data: x\r\n\r\n"),
        chunk(b"data: x\r\r"),
        chunk(b"data: %b\n\n" % (b"x" * 5000)),
        chunk(EVENT, b"00%X"),
        chunk(EVENT, b"%x;a=b"),
        b"16\n" + EVENT + b"\r\n",
        b"\r\n",
        b"-1\r\n",
    ]
)
chunks = st.lists(lines.map(chunk) | lines.map(chunk) | others, max_size=8).map(b"".join)


@given(st.builds(bytes.__add__, chunks, st.sampled_from([b"", b"0\r\n\r\n"])), st.data())
def test_what_is_taken_is_what_the_chunks_hold_and_whole_events(stream, data):
    stream = stream[: data.draw(st.integers(0, len(stream)))]
    if stream:
        place = data.draw(st.integers(0, len(stream) - 1))
        other = data.draw(
            st.sampled_from([stream[place : place + 1], b"", b"\n", b"\r", b"0", b"a"])
        )
        stream = stream[:place] + other + stream[place + 1 :]
    events, count, rest = take_one_line_events(stream)
    assert stream.endswith(rest)
    body, framer = ChunkedBody(), EventFramer()
    assert framer.feed(body.feed(stream[: len(stream) - len(rest)])) == events
    assert body.is_at_chunk
    assert framer.is_at_boundary
    assert count == events.count(b"\n\n")


@given(st.lists(lines), lines, st.data())
def test_all_whole_chunks_are_taken_wherever_a_read_ends(whole, last, data):
    whole.insert(0, EVENT)
    cut = chunk(last)[: data.draw(st.integers(0, len(chunk(last)) - 1))]
    taken = take_one_line_events(b"".join(map(chunk, whole)) + cut)
    assert taken == (b"".join(whole), len(whole), cut)


@pytest.mark.parametrize(
    "other",
    [
        chunk(b"event: e\ndata: x\n\n"),
        chunk(EVENT + EVENT),
        chunk(EVENT, b"00%x"),
        chunk(b"data: %b\n\n" % (b"x" * 4096)),
        b"17\r\n" + EVENT + b"\r\n",
        b"16\r\n" + EVENT + b"\n\n",
        b"16\r\n" + EVENT + b"x\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", chunk(EVENT)])
def test_beside_another_chunk_none_is_taken(before, other):
    stream = before + other + chunk(EVENT)
    assert take_one_line_events(stream) == (b"", 0, stream)
