"""Large events of upstreams, and large requests, say what they say without being taken apart whole."""

import tracemalloc

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from flask_sluice.gateway.api.call import read_call
from flask_sluice.gateway.relay.answer.state import AnswerState
from flask_sluice.gateway.relay.held_bytes import HeldBytes
from flask_sluice.gateway.request.models import check_models
from flask_sluice.stream.errors import ApiError

MIB = 1024 * 1024
MANY = b",".join([b"{}"] * (3 * MIB))
PICTURE = b"A" * 9 * MIB
MAX_TIMES = 3
"""How much memory reading may take, as a multiple of what is read: copies, but not millions of objects."""


def state_after(data):
    state = AnswerState()
    events = b"data: " + data + b"\n\n"
    tracemalloc.start()
    try:
        state.read(events)
        assert tracemalloc.get_traced_memory()[1] < MAX_TIMES * len(events)
    finally:
        tracemalloc.stop()
    return state


@pytest.mark.parametrize(
    "data",
    [
        b'{"error":{"message":"no room"},"a":[%s]}' % MANY,
        b'{ "error" : {"message":"no room","a":[%s]}}' % MANY,
        b'{"error":{"message":"no room","a":"%s"}}' % PICTURE,
        b'{"error":"no room %s"}' % PICTURE,
    ],
    ids=["beside-many-values", "of-many-values", "with-a-long-text", "that-is-a-long-text"],
)
def test_an_error_is_told_however_large_its_event_is(data):
    state = state_after(data)
    assert state.error is not None
    assert "no room" in state.error.text
    assert len(state.error.text) <= 4096
    assert state.begins_with_error


def test_an_event_with_a_picture_says_how_its_choice_ends():
    choice = b'{"index":1,"delta":{"content":"%s"},"finish_reason":"stop"}' % PICTURE
    state = state_after(b'{"choices":[%s],"usage":{"total_tokens":3}}' % choice)
    assert (state.finish_reason, state.usage) == ("stop", {"total_tokens": 3})
    assert state.is_whole


def test_an_event_with_a_picture_whose_choice_goes_on_is_not_whole():
    choice = b'{"index":0,"delta":{"content":"%s"},"finish_reason":null}' % PICTURE
    assert not state_after(b'{"choices":[%s]}' % choice).is_whole


def test_a_last_event_with_a_picture_is_the_last():
    state = state_after(b'{"type":"response.completed","response":{"result":"%s"}}' % PICTURE)
    assert state.has_terminal_event


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[%s]}' % MANY,
        b'{"a":[%s]' % MANY,
        b'{"usage":{"a":NaN,"b":[%s]}}' % MANY,
        b"[%s]" % MANY,
        MANY,
    ],
)
def test_an_event_of_millions_of_values_is_passed_on_unread(data):
    state = state_after(data)
    assert state.has_begun
    assert state.error is None


@pytest.mark.parametrize("data", [b"x", b"", b"5", b"[]", b'"{"', b"\xff\xfe{\0"])
def test_what_is_not_an_object_is_an_event_that_says_nothing(data):
    state = AnswerState()
    state.read(b"data: " + data + b"\n\n")
    assert (state.has_begun, state.error, state.api) == (True, None, None)


@pytest.mark.parametrize("end", [b"", b"\n", b"\nx", b"\n\n", b"\r\n\r\n", b"\n\n: x\n\n"])
def test_a_line_is_read_alike_however_it_ends(end):
    state = AnswerState()
    state.read(b"data: [DONE]" + end)
    assert state.is_done


# The sum of all.


def test_what_is_held_is_counted_and_given_back():
    held = HeldBytes(max_event_bytes=100)
    held.change(0, 800)
    assert not held.is_full
    held.change(800, 801)
    assert held.is_full
    held.change(801, 0)
    assert held.byte_count == 0


# Requests.


def call_of(body):
    tracemalloc.start()
    try:
        call = read_call(body, is_completion=True)
        assert tracemalloc.get_traced_memory()[1] < MAX_TIMES * len(body)
    finally:
        tracemalloc.stop()
    return call


@pytest.mark.parametrize("field", ["model", "stream", "stream_format", "n", "prompt"])
def test_a_field_of_millions_of_values_is_left_to_the_upstream(field):
    call = call_of(b'{"%s":[%s]}' % (field.encode(), MANY))
    assert (call.model_name, call.stream, call.choice_count) == (None, None, 1)


@pytest.mark.parametrize("lenient", [b"NaN", b'"\\ud800"'])
def test_a_body_that_only_python_reads_is_read_if_it_is_not_too_much(lenient):
    assert call_of(b'{"stream":true,"a":%s,"b":"%s"}' % (lenient, PICTURE)).stream is True
    with pytest.raises(ApiError) as refused:
        call_of(b'{"stream":true,"a":%s,"b":[%s]}' % (lenient, MANY))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        (b'"prompt":"a"', 1),
        (b'"prompt":["a","b"]', 2),
        (b'"prompt":["a","b"],"n":3', 6),
        (b'"prompt":[1,2,3]', 1),
        (b'"prompt":[ [1,2],[3]]', 2),
        (b'"prompt":[]', 1),
        (b'"n":2', 2),
        (b'"n":"2"', 1),
        (b'"n":-1', 1),
        (b"", 1),
    ],
)
def test_an_answer_has_n_choices_for_each_prompt(fields, count):
    assert read_call(b"{%s}" % fields, is_completion=True).choice_count == count


def test_a_body_of_millions_of_values_has_too_many_to_look_for_models():
    body = b'{"model":"a","tools":[{"model":"a"},%s]}' % MANY

    request = Request(EnvironBuilder(method="POST", content_type="application/json").get_environ())
    with pytest.raises(ApiError, match="too many values"):
        check_models(request, "/chat/completions", body, ("a",))
