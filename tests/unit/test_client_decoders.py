"""Bodies as events, however they are cut; and what is left of them at the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.client.decoders import (
    EventStreamDecoder,
    JsonDecoder,
    NdjsonDecoder,
    essence_of,
)
from tests.unit.test_parser import CUTS, cut, nearly_streams, parse

CAP = 1 << 20

nearly_lines = st.lists(
    st.sampled_from([b'{"a":1}', b'{"done":true}', b"[", b"\n", b"\r\n", b" ", b"\xc3\xa9", b"x"])
).map(b"".join)


def event_stream():
    return EventStreamDecoder("", CAP, None)


def decode(decoder, chunks):
    """All that can be known of a body: its events, and what is left."""
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.finish()
    return [(event.event, event.data, event.id) for event in events], decoder.unfinished


@given(nearly_streams, st.data())
def test_where_an_event_stream_is_cut_makes_no_difference(stream, data):
    places = data.draw(st.lists(st.integers(0, len(stream))))
    events, unfinished = decode(event_stream(), [stream])
    assert decode(event_stream(), cut(stream, places)) == (events, unfinished)
    assert decode(event_stream(), CUTS["byte-by-byte"]([stream])) == (events, unfinished)
    assert events == [(event.event, event.data, event.id) for event in parse([stream])[0]]


@given(nearly_streams)
def test_what_is_left_is_all_that_the_parser_has_not_used(stream):
    _, unfinished = decode(event_stream(), [stream])
    assert stream.rstrip(b"\r\n").endswith(unfinished.rstrip(b"\r\n"))
    # Without it there is the same to see; with a blank line more, what it begins.
    used = stream[: len(stream) - len(unfinished)] if unfinished else stream
    assert parse([used])[0] == parse([stream])[0]
    if not unfinished:
        assert parse([stream + b"\n\n"])[0] == parse([stream])[0]


@pytest.mark.parametrize(
    ("stream", "unfinished"),
    [
        (b"", b""),
        (b"data: a\n\n", b""),
        (b"data: a\r\n\r\n", b""),
        (b"data: a\r\r", b""),
        (b"data: a\n\n: ping\n", b""),
        (b": ping", b""),
        (b"\n\r\n\n", b""),
        (b"data: a\n\n\ndata: b", b"data: b"),
        (b"data: a\r\n\r\nid: 1\r\n", b"id: 1\r\n"),
        (b": ping\ndata: a\n", b"data: a\n"),
        (b"data: a\n: ping\n", b"data: a\n: ping\n"),
        (b"d", b"d"),
    ],
)
@pytest.mark.parametrize("cutting", CUTS)
def test_what_is_left_of_an_event_stream(stream, unfinished, cutting):
    decoder = event_stream()
    decode(decoder, CUTS[cutting]([stream]))
    assert decoder.unfinished == unfinished


@given(nearly_lines, st.data())
def test_where_ndjson_is_cut_makes_no_difference(body, data):
    places = data.draw(st.lists(st.integers(0, len(body))))
    whole = decode(NdjsonDecoder(CAP), [body])
    assert decode(NdjsonDecoder(CAP), cut(body, places)) == whole
    assert decode(NdjsonDecoder(CAP), CUTS["byte-by-byte"]([body])) == whole


@given(nearly_lines, st.data())
def test_where_json_is_cut_makes_no_difference(body, data):
    places = data.draw(st.lists(st.integers(0, len(body))))
    events, unfinished = decode(JsonDecoder(CAP), cut(body, places))
    assert (events, unfinished) == decode(JsonDecoder(CAP), [body])
    # Either it is an event or it is left; nothing is swallowed.
    assert bool(events) != bool(unfinished) or not body


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b'{"done":true}', "done"),
        (b'{"done":false}', "message"),
        (b'{"done":1}', "message"),
        (b'["done"]', "message"),
        (b'{"a":{"done":true}}', "message"),
        (b'{"done":tru', "message"),
    ],
)
def test_ollamas_last_line_is_the_event_done(line, event):
    (decoded,) = NdjsonDecoder(CAP).feed(line + b"\n")
    assert decoded.event == event


def test_keep_alives_without_a_blank_line_are_not_kept():
    decoder = event_stream()
    for _ in range(1000):
        decoder.feed(b": keep-alive\n")
    assert len(decoder._behind_last_event) < 20


@pytest.mark.parametrize(
    ("header", "essence"),
    [
        ("text/event-stream", "text/event-stream"),
        ("Text/Event-Stream; charset=utf-8", "text/event-stream"),
        ("text/event-stream, text/event-stream", "text/event-stream"),
        ("text/event-stream; charset=utf-8,text/event-stream", "text/event-stream"),
        ("text/html, text/event-stream", "text/event-stream"),
        ("text/event-stream, text/html", "text/html"),
        ("text/event-stream, */*", "text/event-stream"),
        ("text/event-stream, nonsense", "text/event-stream"),
        ('text/event-stream; a=","', "text/event-stream"),
        ('text/html; a="\\\\", text/event-stream', "text/event-stream"),
        ('text/event-stream; a="text/html, ', "text/event-stream"),
        ("nonsense", "nonsense"),
        (",", ""),
        ("", ""),
    ],
)
def test_the_last_valid_content_type_counts(header, essence):
    """As in browsers (Fetch standard, "extract a MIME type")."""
    assert essence_of(header) == essence
