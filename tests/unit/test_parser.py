"""The parser against the standard (WHATWG HTML, section 9.2.6), however the stream is cut."""

import base64
import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.sse import Event, EventParser, EventTooLargeError

VECTORS = json.loads(Path(__file__).with_name("parser-vectors.json").read_bytes())["vectors"]

CUTS = {
    "as-cut": lambda chunks: chunks,
    "whole": lambda chunks: [b"".join(chunks)],
    "byte-by-byte": lambda chunks: [bytes([byte]) for byte in b"".join(chunks)],
}

CAP = 100

hostile_text = st.lists(
    st.sampled_from(["\r", "\n", "\n\n", "\0", ":", " ", "data: x", "id: x", "\u2028", "\ufeff"])
    | st.characters()
).map("".join)
single_line = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))
events_to_send = st.builds(
    Event,
    data=st.none() | st.text(st.sampled_from("\r\n") | st.characters(codec="utf-8")),
    event=st.none() | single_line,
    id=st.none() | single_line,
    retry=st.none() | st.integers(min_value=0, max_value=10**12),
    comment=st.none() | st.text(st.sampled_from("\r\n") | st.characters(codec="utf-8")),
)
# Made of what means something to a parser, so that most examples are nearly streams.
nearly_streams = st.lists(
    st.sampled_from([b"data", b"event", b"id", b"retry", b"data: x\n\n", b":", b" ", b"0", b"7"])
    | st.sampled_from([b"\n", b"\n\n", b"\r", b"\r\n", b"\0", b"\xe2\x80\xa8"])
    | st.sampled_from([b"\xef\xbb\xbf", b"\xef\xbb", b"\xff", b"\xc3"])
    | st.binary(max_size=3)
).map(b"".join)


def parse(chunks, **options):
    """All that can be known of a stream: its events, its comments, and what the parser holds at the end."""
    comments = []
    parser = EventParser(on_comment=comments.append, **options)
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events, comments, parser.last_event_id, parser.retry


def cut(stream, places):
    places = [0, *sorted(places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(places)]


def lines_of(text):
    return re.split("\r\n|\r|\n", text)


@pytest.mark.parametrize("cutting", CUTS)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector, cutting):
    chunks = [base64.b64decode(chunk) for chunk in vector["chunks_b64"]]
    events, comments, last_event_id, retry = parse(CUTS[cutting](chunks))
    assert [
        {"event": event.event, "data": event.data, "id": event.id, "retry": event.retry}
        for event in events
    ] == [{"retry": None, **expected} for expected in vector["expected"]]
    assert {"last_event_id": last_event_id, "retry": retry} == vector["final"]
    if "comments" in vector:
        assert comments == vector["comments"]


@given(st.lists(events_to_send), st.data())
def test_what_was_sent_is_received_however_it_is_cut(sent, data):
    stream = b"".join(event.encode() for event in sent)
    places = data.draw(st.lists(st.integers(0, len(stream))))
    events, comments, last_event_id, retry = parse(cut(stream, places))

    expected_events, expected_comments, expected_id, expected_retry = [], [], "", None
    block_retry = None
    for event in sent:
        expected_id = expected_id if event.id is None else event.id
        expected_retry = expected_retry if event.retry is None else event.retry
        block_retry = block_retry if event.retry is None else event.retry
        if event.data is not None:
            text = "\n".join(lines_of(event.data))
            expected_events.append((text, event.event or "message", expected_id, block_retry))
        # A retry alone has no blank line: the next event's lines follow it.
        if not (event.data is None and event.event is None and event.id is None):
            block_retry = None
        if event.comment is not None:
            expected_comments += [f" {line}" for line in lines_of(event.comment)]
    assert [(event.data, event.event, event.id, event.retry) for event in events] == expected_events
    assert comments == expected_comments
    assert (last_event_id, retry) == (expected_id, expected_retry)


@given(nearly_streams, st.data())
def test_where_a_stream_is_cut_makes_no_difference(stream, data):
    places = data.draw(st.lists(st.integers(0, len(stream))))
    whole = parse([stream])
    assert parse(cut(stream, places)) == whole
    assert parse(CUTS["byte-by-byte"]([stream])) == whole


@given(hostile_text)
def test_no_text_in_data_makes_a_second_event(text):
    (event,), comments, last_event_id, retry = parse([Event(data=text).encode()])
    assert event.event == "message"
    assert event.data.count("\n") == len(lines_of(text)) - 1
    assert (comments, last_event_id, retry) == ([], "", None)


@given(hostile_text)
def test_no_text_in_a_comment_makes_an_event(text):
    events, comments, last_event_id, retry = parse([Event(comment=text).encode()])
    assert len(comments) == len(lines_of(text))
    assert (events, last_event_id, retry) == ([], "", None)


def test_an_event_is_out_as_soon_as_its_blank_line_is_there():
    parser = EventParser()
    assert parser.feed(b"data: a\n") == []
    assert [event.data for event in parser.feed(b"\n")] == ["a"]


def test_a_cr_ends_its_line_without_waiting_for_an_lf():
    parser = EventParser()
    assert [event.data for event in parser.feed(b"data: a\r\r")] == ["a"]
    assert parser.feed(b"\n") == []


def test_an_empty_chunk_changes_nothing():
    assert parse([b"", b"data: a\r", b"", b"\n\r", b"", b"\n", b""]) == parse([b"data: a\r\n\r\n"])


def test_the_last_event_id_that_a_stream_continues_after_is_that_of_its_first_events():
    (event,), _, last_event_id, _ = parse([b"data: a\n\n"], last_event_id="7")
    assert event.id == last_event_id == "7"


def test_an_id_counts_from_its_blank_line_on():
    # An event that the connection's end cuts off must be asked for again.
    parser = EventParser(last_event_id="7")
    parser.feed(b"id: 8\ndata: a\n")
    assert parser.last_event_id == "7"
    parser.feed(b"\n")
    assert parser.last_event_id == "8"


def test_a_comment_is_told_at_the_end_of_its_line():
    # A keep-alive must be seen at once, also from a server that sends no blank line behind it.
    comments = []
    parser = EventParser(on_comment=comments.append)
    parser.feed(b": pi")
    assert comments == []
    parser.feed(b"ng\n")
    assert comments == [" ping"]


def test_a_retry_counts_from_the_end_of_its_line_on():
    parser = EventParser()
    parser.feed(b"retry: 5")
    assert parser.retry is None
    parser.feed(b"\n")
    assert parser.retry == 5


def test_a_retry_of_5000_digits_is_ignored():
    (event,), _, _, retry = parse([b"retry: 5\nretry: " + b"9" * 5000 + b"\ndata: a\n\n"])
    assert event.data == "a"
    assert retry == 5


def of_size(size):
    return b"data: " + b"x" * (size - len(b"data: \n\n")) + b"\n\n"


TOO_LARGE = {
    "one-line": of_size(CAP + 1),
    "many-lines": b"data: x\n" * (CAP // len(b"data: x\n") + 1) + b"\n",
    "an-unfinished-line": b"x" * (CAP + 1),
    "unfinished-lines": b"data: x\n" * (CAP // len(b"data: x\n") + 1),
    "an-unfinished-comment": b":" * (CAP + 1),
    "behind-small-events": of_size(20) * 20 + of_size(CAP + 1),
}


@pytest.mark.parametrize("cutting", ["whole", "byte-by-byte"])
@pytest.mark.parametrize("stream", TOO_LARGE.values(), ids=TOO_LARGE)
def test_an_event_over_the_cap_is_refused_with_the_caps_name(stream, cutting):
    with pytest.raises(EventTooLargeError, match=f"max_event_bytes={CAP}"):
        parse(CUTS[cutting]([stream]), max_event_bytes=CAP)


@pytest.mark.parametrize("cutting", ["whole", "byte-by-byte"])
def test_comments_without_blank_lines_do_not_count_towards_the_cap(cutting):
    stream = b": ping\n" * CAP + of_size(CAP)
    events, *_ = parse(CUTS[cutting]([stream]), max_event_bytes=CAP)
    assert len(events) == 1


@pytest.mark.parametrize("cutting", ["whole", "byte-by-byte"])
def test_events_up_to_the_cap_are_taken_whatever_their_sum(cutting):
    # Whole, this is one chunk far larger than the cap.
    stream = (of_size(CAP) + b"data: x\n" * 12 + b"\n" + b": ping\n\n" * 50) * 5
    events, *_ = parse(CUTS[cutting]([stream]), max_event_bytes=CAP)
    assert len(events) == 10


@given(st.integers(len(of_size(8)), 3 * CAP), st.data())
def test_the_cap_counts_the_events_bytes_however_they_are_cut(size, data):
    stream = of_size(20) + of_size(size)
    chunks = cut(stream, data.draw(st.lists(st.integers(0, len(stream)))))
    if size <= CAP:
        assert len(parse(chunks, max_event_bytes=CAP)[0]) == 2
    else:
        with pytest.raises(EventTooLargeError):
            parse(chunks, max_event_bytes=CAP)
