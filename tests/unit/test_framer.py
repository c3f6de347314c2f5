"""The framer: what goes in comes out, in whole events, however the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.sse import EventFramer, EventParser, EventTooLargeError
from tests.support.ratio import assert_linear
from tests.unit.test_parser import cut
from tests.unit.test_sse_speed import pieces

CAP = 100
LINE_ENDS = [b"\n", b"\r\n", b"\r"]

# Made of what means something to a framer, so that most examples are nearly streams.
nearly_streams = st.lists(
    st.sampled_from([b"data: x", b":", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"y"])
).map(b"".join)
streams = st.lists(
    st.builds(
        # A line that ends with CR before a blank line of LF would be one that ends with CRLF.
        lambda fields, ends, blank: (
            b"".join(field + end for field, end in zip(fields, ends, strict=False))
            + (b"\r" if ends[len(fields) - 1] == b"\r" and blank == b"\n" else blank)
        ),
        st.lists(st.sampled_from([b"data: x", b"event: e", b": ping"]), min_size=1, max_size=3),
        st.lists(st.sampled_from(LINE_ENDS), min_size=3, max_size=3),
        st.sampled_from(LINE_ENDS),
    )
).map(b"".join)


def frame(chunks, **options):
    framer = EventFramer(**options)
    return [framer.feed(chunk) for chunk in chunks], framer


def parse(stream):
    return [event.data for event in EventParser().feed(stream)]


@pytest.mark.parametrize("end", LINE_ENDS, ids=["lf", "crlf", "cr"])
def test_an_event_is_out_when_its_blank_line_is_there_and_not_before(end):
    framer = EventFramer()
    assert framer.feed(b"data: a" + end) == b""
    assert framer.holds_part
    assert framer.feed(end) == b"data: a" + end + end
    assert not framer.holds_part


# CR and LF are one line end.
@pytest.mark.parametrize(
    "blank", [b"\n\n", b"\n\r\n", b"\n\r", b"\r\n\n", b"\r\n\r\n", b"\r\n\r", b"\r\r\n", b"\r\r"]
)
def test_line_ends_may_be_mixed(blank):
    (events,), framer = frame([b"data: a" + blank])
    assert events == b"data: a" + blank
    assert not framer.holds_part


def test_all_events_that_are_whole_come_out_at_once():
    outputs, framer = frame([b"data: a\n\ndata: b\n\ndata: ", b"c\n\n"])
    assert outputs == [b"data: a\n\ndata: b\n\n", b"data: c\n\n"]
    assert not framer.holds_part


def test_a_line_end_inside_an_event_ends_nothing():
    outputs, framer = frame([b"event: a\r\n", b"data: b\r", b"\ndata: c\n"])
    assert outputs == [b"", b"", b""]
    assert framer.holds_part


@pytest.mark.parametrize("end", LINE_ENDS, ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("line", [b": keep-alive", b"retry: 2000"])
def test_a_comment_without_a_blank_line_is_not_a_part_of_an_event(line, end):
    # The next event may follow it, in one piece with it, or the end of the stream.
    framer = EventFramer()
    assert framer.feed(b"data: a\n\n" + line + end) == b"data: a\n\n"
    assert not framer.holds_part
    assert framer.feed(line + end + b"data: b\n\n") == line + end + line + end + b"data: b\n\n"
    assert framer.feed(line + end + b"data: c") == b""
    assert framer.holds_part


def test_the_lf_of_a_blank_line_that_is_cut_is_no_part_of_another_event():
    # The CR has ended the event already; nothing more may come behind its LF.
    outputs, framer = frame([b"data: a\r\n\r", b"\n"])
    assert b"".join(outputs) == b"data: a\r\n\r\n"
    assert not framer.holds_part


def test_an_empty_chunk_changes_nothing():
    outputs, framer = frame([b"", b"data: a\n", b"", b"\n", b""])
    assert outputs == [b"", b"", b"", b"data: a\n\n", b""]
    assert not framer.holds_part


@given(streams, st.data())
def test_whole_events_come_out_byte_for_byte_however_they_are_cut(stream, data):
    places = data.draw(st.lists(st.integers(0, len(stream))))
    for chunks in (cut(stream, places), pieces(stream, 1)):
        outputs, framer = frame(chunks)
        assert b"".join(outputs) == stream
        assert not framer.holds_part


@given(nearly_streams, st.data())
def test_each_output_ends_with_a_whole_event(stream, data):
    places = data.draw(st.lists(st.integers(0, len(stream))))
    for chunks in (cut(stream, places), pieces(stream, 1)):
        outputs, _ = frame(chunks)
        assert stream.startswith(b"".join(outputs))
        # A parser that begins anew with each finds all the same.
        assert [event for output in outputs for event in parse(output)] == parse(stream)


@given(nearly_streams, st.data())
def test_no_event_is_held_back_once_its_blank_line_has_come(stream, data):
    places = data.draw(st.lists(st.integers(0, len(stream))))
    framer = EventFramer()
    fed = given_out = b""
    for chunk in cut(stream, places):
        fed += chunk
        given_out += framer.feed(chunk)
        assert parse(given_out) == parse(fed)


@pytest.mark.measures
def test_an_event_that_comes_byte_by_byte_takes_linear_time():
    assert_linear(frame, lambda size: pieces(b"data: " + b"x" * size + b"\n\n", 1))


@pytest.mark.measures
def test_many_lines_without_a_blank_one_take_linear_time():
    assert_linear(frame, lambda size: pieces(b"data: x\r\n" * (size // 9), 10))


@pytest.mark.parametrize("size", [1, 7, CAP])
def test_an_event_over_the_cap_is_refused(size):
    stream = b"data: " + b"x" * 2 * CAP + b"\n\n"
    with pytest.raises(EventTooLargeError, match=f"max_event_bytes={CAP}"):
        frame(pieces(stream, size), max_event_bytes=CAP)


@pytest.mark.parametrize("size", [1, 7, CAP, 10 * CAP])
def test_events_up_to_the_cap_are_taken_whatever_their_sum(size):
    stream = (b"data: " + b"x" * (CAP - 8) + b"\n\n") * 10
    outputs, _ = frame(pieces(stream, size), max_event_bytes=CAP)
    assert b"".join(outputs) == stream
