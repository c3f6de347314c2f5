"""What a stream has said about its end is the same however its events are read."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flask_sluice.gateway.relay.answer.state import AnswerState, Api

COMPACT = (",", ":")
contents = st.sampled_from(["a", "error", '"error"', '"finish_reason":null', '"index":1', "\n\n"])
reasons = st.sampled_from([None, None, None, "stop", "length"])


def chunk(separators, content, index, reason):
    choice = {"index": index, "delta": {"content": content}, "finish_reason": reason}
    return b"data: %b\n\n" % json.dumps({"choices": [choice]}, separators=separators).encode()


chunks = st.builds(
    chunk, st.sampled_from([COMPACT, (", ", ": ")]), contents, st.integers(0, 1), reasons
)


def read(state, events):
    """Read events as the relay does."""
    count = events.count(b"\n\n")
    if state.changes_by(events, count):
        state.read(events)


def verdict(state):
    return state.is_whole, state.has_terminal_event, state.error, state.finish_reason


@given(st.lists(chunks, min_size=1), st.sampled_from([1, 2]))
@example([chunk(COMPACT, "a", *each) for each in [(1, None), (0, None), (1, "stop")]], 1)
def test_the_verdict_is_that_of_a_reader_that_parses_everything(events, choice_count):
    quick, slow = AnswerState(choice_count), AnswerState(choice_count)
    for event in events:
        read(quick, event)
        slow.read(event)
    assert verdict(quick) == verdict(slow)


@pytest.mark.parametrize("separators", [COMPACT, (", ", ": ")])
@pytest.mark.parametrize("content", ["a", '"error"', '"finish_reason":"stop"'])
def test_a_usual_chunk_behind_another_need_not_be_parsed(separators, content):
    state = AnswerState()
    state.read(chunk(separators, "a", 0, None))
    usual = chunk(separators, content, 0, None)
    assert not state.changes_by(usual, 1)
    assert not state.changes_by(usual * 16, 16)


def test_a_usual_chunk_of_one_of_two_choices_need_not_be_parsed():
    state = AnswerState(2)
    state.read(chunk(COMPACT, "a", 0, None))
    assert not state.changes_by(chunk(COMPACT, "a", 1, None), 1)


@pytest.mark.parametrize("type_", ["response.output_text.delta", "response.queued"])
def test_a_named_event_that_goes_on_need_not_be_parsed(type_):
    state = AnswerState()
    event = b'event: %b\ndata: {"type":"%b","sequence_number":%d}\n\n'
    state.read(event % (b"response.created", b"response.created", 0))
    delta = event % (type_.encode(), type_.encode(), 7)
    assert not state.changes_by(delta * 2, 2)
    assert state.sequence_number == 7
    assert not state.is_whole


@pytest.mark.parametrize("padding", [0, 5000])
def test_the_last_sequence_number_is_known_behind_large_events(padding):
    state = AnswerState()
    for number in range(3):
        body = {"type": "response.x", "sequence_number": number, "b64": "x" * padding}
        read(state, b"event: response.x\ndata: %b\n\n" % json.dumps(body).encode())
    assert state.sequence_number == 2
    assert state.api is Api.RESPONSES


@pytest.mark.parametrize("index", [-1, 10**12, None, "0", 1.5])
def test_an_index_that_is_none_counts_as_the_first(index):
    state = AnswerState()
    state.read(chunk(COMPACT, "a", index, "stop"))
    assert state.is_whole


@pytest.mark.parametrize(
    "data",
    [
        b"[1]",
        b"7",
        b'{"choices":{"index":0}}',
        b'{"choices":["x"]}',
        b'{"choices":[{"delta":NaN,"finish_reason":null}]}',
        b'{"error":[]}',
        b'{"error":{}}',
        b'{"type":7}',
        b'{"response":"x","type":"response.done"}',
        b"{" * 100_000,
        b"\xff",
    ],
)
def test_odd_data_is_no_error(data):
    state = AnswerState()
    state.read(b"data: %b\n\n" % data)
    assert state.error is None
    assert state.has_begun


@pytest.mark.parametrize(
    "events", [b": x\n\n", b"\n\n", b"event: x\n\n", b"id: 1\n\n", b"retry: 1\n\n"]
)
def test_what_is_not_an_event_does_not_begin_the_answer(events):
    state = AnswerState()
    state.read(events)
    assert not state.has_begun


DEEP = b"[" * 900 + b"]" * 900


@pytest.mark.parametrize("error", [DEEP, b'{"message":%b}' % DEEP, b"7", b'"\\ud800"', b"true"])
def test_an_error_of_any_form_is_an_error(error):
    state = AnswerState()
    state.read(b'data: {"error":%b,"code":%b}\n\n' % (error, error))
    assert state.error.text
    assert json.loads(state.error.answer)
