"""An upstream's response gives the same events however its bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.gateway.relay.held_bytes import MAX_EVENT_BYTES, HeldBytes
from flask_sluice.gateway.relay.http1_parser import body_of, parse_head
from flask_sluice.gateway.relay.response import UpstreamResponse
from tests.unit.test_parser import cut
from tests.unit.test_sse_speed import pieces
from tests.unit.test_usual_chunks import EVENT, chunk, chunks, lines

# Behind [DONE] nothing is read any more.
streams = chunks.filter(lambda stream: b"[DONE]" not in stream)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
LAST_CHUNK = b"0\r\n\r\n"


class FakeUpstream:
    """A connection and its pool in one; each read returns the next of the given pieces."""

    def __init__(self, reads):
        self._reads = iter(reads)
        self.is_closed = False
        self.is_released = False

    def receive_now(self, size):
        return next(self._reads, b"")

    def close(self):
        self.is_closed = True

    def put(self, connection):
        self.is_released = True


def take_all(reads, has_known_end=False):
    """Return the response at its end, and all events that it gave."""
    head = parse_head(HEAD)
    upstream = FakeUpstream(reads)
    response = UpstreamResponse(
        *(head, body_of(head, "POST"), upstream, upstream, HeldBytes(MAX_EVENT_BYTES)),
        has_known_end=has_known_end,
        on_failure=pytest.fail,
    )
    taken = []
    while not response.is_finished:
        taken.append(response.take())
    return response, b"".join(taken)


@given(streams, st.sampled_from([b"", LAST_CHUNK, b"nonsense\r\n"]), st.data())
def test_events_and_the_end_are_the_same_however_the_bytes_are_cut(stream, end, data):
    stream += end
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=4))
    reads = [read for read in cut(stream, places) if read]
    response, events = take_all(reads)
    slowly, events_slowly = take_all(pieces(stream, 1))
    assert events == events_slowly
    assert (response.error and response.error.code) == (slowly.error and slowly.error.code)


@given(st.lists(lines.filter(lambda line: b"[DONE]" not in line), min_size=1), st.data())
def test_events_are_counted_however_the_bytes_are_cut(events, data):
    stream = b"".join(map(chunk, events)) + LAST_CHUNK
    places = data.draw(st.lists(st.integers(1, len(stream) - 1), unique=True))
    response, taken = take_all(cut(stream, places))
    assert taken == b"".join(events)
    assert response.event_count == len(events)


# A full read ends anywhere, and behind the chunk that it has cut there are many.
@pytest.mark.parametrize("size", [7, 3000, 65536])
def test_a_long_answer_comes_whole_whatever_a_read_holds(size):
    events = EVENT * 5_000 + b"data: [DONE]\n\n"
    stream = chunk(EVENT) * 5_000 + chunk(b"data: [DONE]\n\n") + LAST_CHUNK
    response, taken = take_all(pieces(stream, size), has_known_end=True)
    assert taken == events
    assert response.event_count == 5_001
    assert response.error is None
    assert response.connection.is_released


@pytest.mark.parametrize("before", [0, 1, 100])
@pytest.mark.parametrize("behind", [0, 100])
@pytest.mark.parametrize(
    "wrong", [b"17\r\n" + EVENT + b"\r\n", b"15\r\n" + EVENT + b"\r\n", b"x\r\n" + EVENT + b"\r\n"]
)
@pytest.mark.parametrize("rest_of_chunk", [0, 1, 10])
def test_a_wrong_size_among_many_is_an_error_behind_what_was_right(
    before, behind, wrong, rest_of_chunk
):
    right = chunk(EVENT) * (before + 1)
    stream = right + wrong + chunk(EVENT) * behind
    response, taken = take_all(
        [stream[:rest_of_chunk], stream[rest_of_chunk:]][not rest_of_chunk :]
    )
    assert taken.startswith(EVENT * (before + 1))
    assert response.error.code == "upstream_invalid"
    assert response.connection.is_closed
