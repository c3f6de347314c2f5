"""A stream of completion chunks is taken apart for a journal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.gateway.relay.completion_chunks import ChunkReader


def chunk(content=None, finish_reason=None, **fields) -> bytes:
    delta = {} if content is None else {"content": content}
    body = {"choices": [{"delta": delta, "finish_reason": finish_reason}], **fields}
    return b"data: %b\n\n" % json.dumps(body).encode()


DONE = b"data: [DONE]\n\n"
USAGE = {"total_tokens": 3}


@pytest.fixture
def reader() -> ChunkReader:
    return ChunkReader()


def test_each_chunk_comes_out_as_an_event_of_its_own(reader):
    first, second = chunk("a"), chunk("b")
    assert reader.read(first + second) == [first, second]
    assert not reader.is_over


def test_done_is_the_end_and_no_chunk(reader):
    assert reader.read(chunk("a") + DONE + chunk("late")) == [chunk("a")]
    assert reader.is_over
    assert reader.error is None


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_other_line_ends_become_lf(reader, line_end):
    assert reader.read(chunk("a").replace(b"\n", line_end)) == [chunk("a")]


def test_comments_ids_and_names_are_left_out(reader):
    data = chunk("a")
    assert reader.read(b": keep-alive\n\nid: 7\nevent: message\n" + data) == [data]


def test_the_end_has_finish_reason_and_usage(reader):
    usage = b"data: %b\n\n" % json.dumps({"choices": [], "usage": USAGE}).encode()
    reader.read(chunk("a") + chunk(finish_reason="length"))
    reader.read(usage + DONE)
    assert reader.end() == {"finish_reason": "length", "usage": USAGE}


def test_an_end_of_which_nothing_is_known_says_so(reader):
    reader.read(chunk("a"))
    assert reader.end() == {"finish_reason": None, "usage": None}
    assert not reader.has_finish_reason


@pytest.mark.parametrize("error", [{"message": "out of memory"}, "out of memory"])
def test_an_error_ends_the_stream(reader, error):
    event = b"data: %b\n\n" % json.dumps({"error": error}).encode()
    assert reader.read(chunk("a") + event + chunk("late")) == [chunk("a")]
    assert reader.is_over
    assert (reader.error.code, reader.error.message) == ("upstream_error", "out of memory")


def test_the_word_error_in_a_chunk_is_no_error(reader):
    data = chunk('"error"', error=None)
    assert reader.read(data) == [data]
    assert not reader.is_over


def test_one_plain_chunk_is_seen_at_once(reader):
    assert reader.take_plain_chunk(chunk(finish_reason="stop"))
    assert reader.has_finish_reason


@pytest.mark.parametrize(
    "events",
    [
        DONE,
        chunk("a") + chunk("b"),
        chunk("a").replace(b"\n", b"\r\n"),
        b"data: {}\r\rdata: {}\n\n",
        b": keep-alive\n\n",
        b"id: 7\n" + chunk("a"),
        b'data: {"error": "out of memory"}\n\n',
        b"data: {}\n",
    ],
)
def test_whatever_else_is_looked_into(reader, events):
    assert not reader.take_plain_chunk(events)


@given(
    st.lists(st.sampled_from([b"data: {", b"}", b"\n", b"\r", b"\n\n", b'"error": 1', b"x"]))
    .map(b"".join)
    .map(lambda between: b"data: {" + between + b"}\n\n")
)
def test_what_is_seen_at_once_is_what_would_be_read(events):
    if ChunkReader().take_plain_chunk(events):
        reader = ChunkReader()
        # With a comment before it, it is parsed.
        assert reader.read(b": comment\n\n" + events) == [events]
        assert not reader.is_over


def test_no_chunk_is_taken_after_the_end(reader):
    reader.read(DONE)
    assert not reader.take_plain_chunk(chunk("late"))
