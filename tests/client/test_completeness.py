"""Which answers of chat, completions and other APIs are whole, and which only end."""

import json

import pytest

from flask_sluice.client import Ending, StreamEvent, TruncatedError
from flask_sluice.client.event import RecentEvents
from tests.client.answers import DONE, failure_of, texts
from tests.server.raw_upstream import breaks_off, head, sends_and_closes, streams


def chunk_of(*choices: dict, **fields: object) -> bytes:
    return b"data: %s\n\n" % json.dumps({"choices": choices, **fields}).encode()


def says(text: str, index: int = 0, finish_reason: str | None = None) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish_reason}
    return chunk_of(choice)


def stops(index: int = 0) -> bytes:
    return says("", index, "stop")


def ask(client, **fields):
    return client.stream("POST", "/v1/chat/completions", json={"stream": True, **fields})


USAGE = chunk_of(usage={"total_tokens": 3})
COMMENT = b": keep-alive\n"
ANTHROPIC_START = b'event: message_start\ndata: {"type": "message_start"}\n\n'
RESPONSE_DELTA = (
    b'event: response.output_text.delta\ndata: {"type": "response.output_text.delta"}\n\n'
)

WHOLE = {
    "done": [says("a"), DONE],
    "done-without-blank-line": [says("a"), b"data: [DONE]"],
    "done-with-one-line-end": [says("a"), b"data: [DONE]\n"],
    "done-without-space": [says("a"), b"data:[DONE]\n\n"],
    "done-then-comment": [says("a"), DONE + COMMENT],
    "finish-reason": [says("a"), stops()],
    "finish-reason-with-text": [says("a", finish_reason="length")],
    "finish-reason-then-usage-and-comments": [stops(), USAGE, COMMENT, USAGE, COMMENT],
    "finish-reason-without-last-blank-line": [says("a"), stops().rstrip()],
    "completion": [chunk_of({"index": 0, "text": "a", "finish_reason": "stop"})],
    "choices-without-index": [chunk_of({"text": "a"}), chunk_of({"finish_reason": "stop"})],
    "two-choices": [says("a"), says("b", 1), stops(), stops(1)],
    "message-stop": [ANTHROPIC_START, b'event: message_stop\ndata: {"type": "message_stop"}\n\n'],
    "message-stop-then-comment": [
        ANTHROPIC_START,
        b'event: message_stop\ndata: {"type": "message_stop"}\n\n' + COMMENT,
    ],
    "message-stop-without-names": [b'data: {"type": "message_stop"}\n\n'],
    "message-stop-without-blank-line": [
        ANTHROPIC_START,
        b'event: message_stop\ndata: {"type": "message_stop"}',
    ],
    "response-completed": [
        RESPONSE_DELTA,
        b'event: response.completed\ndata: {"type": "response.completed"}\n\n',
    ],
    "response-incomplete": [
        RESPONSE_DELTA,
        b'event: response.incomplete\ndata: {"type": "response.incomplete"}\n\n',
    ],
}


@pytest.mark.parametrize("writes", WHOLE.values(), ids=WHOLE)
def test_an_answer_that_says_that_it_is_whole_is_complete(server, client, writes):
    server.handler = streams(*writes)
    stream = ask(client)
    for _ in stream:
        pass
    assert stream.ending is Ending.COMPLETE


HALF = {
    "no-finish-reason": [says("a"), says("b")],
    "an-empty-finish-reason": [says("a", finish_reason="")],
    "one-of-two-choices": [says("a"), says("b", 1), stops(), says("c", 1)],
    "usage-alone": [USAGE],
    "nothing": [COMMENT],
    "half-an-event-behind-it": [stops(), b'data: {"choices": [{'],
    "half-a-done": [stops(), b"data: [DO"],
    "anthropic-without-stop": [ANTHROPIC_START],
    "responses-without-completed": [RESPONSE_DELTA],
}


@pytest.mark.parametrize("writes", HALF.values(), ids=HALF)
def test_an_answer_that_only_ends_is_not_complete(server, client, writes):
    server.handler = streams(*writes)
    assert isinstance(failure_of(ask(client)), TruncatedError)


def test_every_choice_that_was_asked_for_must_be_finished(server, client):
    server.handler = streams(says("a"), stops())
    assert isinstance(failure_of(ask(client, n=2)), TruncatedError)


def test_a_connection_that_breaks_after_the_finish_reason_is_an_error(server, client):
    server.handler = breaks_off(says("a"), stops())
    assert failure_of(ask(client)).ending is Ending.TRANSPORT_ERROR


def test_the_end_of_the_connection_ends_a_finished_answer_without_length_and_chunks(server, client):
    server.handler = sends_and_closes(head(Content_Type="text/event-stream") + stops())
    assert len(texts(ask(client))) == 1


def test_a_rule_of_the_callers_own_replaces_that_of_the_finish_reason(server, client):
    server.handler = streams(stops())
    stream = client.stream("POST", "/", json={}, done_when=lambda event: event.event == "end")
    assert isinstance(failure_of(stream), TruncatedError)


def test_the_last_event_is_returned_though_its_blank_line_is_missing(server, client):
    server.handler = streams(says("a"), says("b", finish_reason="stop").rstrip())
    assert len(texts(ask(client))) == 2


def test_choices_count_though_their_events_are_not_remembered_any_longer(server, client):
    # The choice 1, which is cut off, is in the first event only.
    long = says("x" * 1_000_000)
    server.handler = streams(says("b", 1), *[long] * 6, stops())
    error = failure_of(ask(client))
    assert isinstance(error, TruncatedError)
    assert error.event_count > len(error.events)


def test_the_memory_tells_what_it_forgets():
    forgotten = []
    history = RecentEvents(forgotten.append)
    for number in range(6):
        history.add(_event(number))
    assert [event.data[0] for event in forgotten] == ["0", "1", "2"]


def _event(number: int) -> StreamEvent:
    return StreamEvent(f"{number}" + "x" * (1 << 20))
