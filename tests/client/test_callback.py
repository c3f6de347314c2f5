"""post_stream: the calls that a callback gets."""

import pytest

from flask_sluice.client import Ending, Reconnect, StreamClosedError, StreamCounts
from tests.client.answers import DONE, EVENT, in_turn
from tests.server.raw_upstream import breaks_off, head, sends, streams, whole


class Recorder:
    """Records every call, without the headers."""

    def __init__(self):
        self.calls = []

    def on_open(self, status, headers):
        self.calls.append(("open", status))

    def on_content(self, id, data):  # noqa: A002 - named so by the protocol
        self.calls.append(("content", id, data))

    def on_comment(self, comment):
        self.calls.append(("comment", comment))

    def on_error(self, code, message):
        self.calls.append(("error", code, message))

    def on_close(self, reason):
        self.calls.append(("close", reason))


@pytest.fixture
def callback():
    return Recorder()


def ask(client, callback, **options):
    return client.post_stream("/", json={}, callback=callback, **options)


def test_the_callback_gets_a_complete_answer_from_open_to_close(server, client, callback):
    server.handler = streams(b": keep-alive\n\n", EVENT, b"data: b\n\n", DONE)
    assert ask(client, callback) == StreamCounts(events=2, comments=1, ending=Ending.COMPLETE)
    assert callback.calls == [
        ("open", 200),
        ("comment", "keep-alive"),
        ("content", "7", "a"),
        ("content", "7", "b"),
        ("close", "complete"),
    ]


def test_a_json_body_is_one_content_with_the_id_minus_one(server, client, callback):
    server.handler = sends(whole(b'{"a":1}'))
    assert ask(client, callback).ending is Ending.COMPLETE
    assert ("content", "-1", '{"a":1}') in callback.calls


FAILURES = {
    "error-event": (
        streams(EVENT, b'data: {"error": {"message": "m", "code": "c"}}\n\n'),
        ("error", "c", "m"),
        Ending.ERROR_EVENT,
    ),
    "truncated": (
        streams(EVENT),
        ("error", "truncated", "the answer was cut off: it ended without its terminal event"),
        Ending.NO_TERMINAL_EVENT,
    ),
    "broken": (
        breaks_off(EVENT),
        (
            "error",
            "transport_error",
            "the connection broke in the answer: it ended before the body did",
        ),
        Ending.TRANSPORT_ERROR,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_callback_gets_a_failure_once_and_it_is_not_raised(server, client, callback, name):
    server.handler, error, ending = FAILURES[name]
    assert ask(client, callback) == StreamCounts(events=1, comments=0, ending=ending)
    assert callback.calls == [("open", 200), ("content", "7", "a"), error, ("close", ending)]


def test_on_open_is_not_called_without_a_response(server, client, callback):
    server.handler = sends(whole(b'{"error": {"message": "m", "code": "c"}}', "404 Not Found"))
    assert ask(client, callback) == StreamCounts(0, 0, Ending.REFUSED)
    assert callback.calls == [("error", "c", "404 Not Found: m"), ("close", "refused")]


def test_no_content_calls_on_open_and_on_close(server, client, callback):
    server.handler = sends(head("204 No Content"))
    assert ask(client, callback) == StreamCounts(0, 0, Ending.NO_CONTENT)
    assert callback.calls == [("open", 204), ("close", "no_content")]


def test_on_open_is_called_for_each_connection(server, client, callback):
    server.handler = in_turn(breaks_off(b"retry: 0\n" + EVENT), streams(DONE))
    ask(client, callback, reconnect=Reconnect())
    assert [call[0] for call in callback.calls] == ["open", "content", "open", "close"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), StreamClosedError()])
def test_an_exception_of_the_callback_closes_the_stream_and_is_raised(
    server, client, callback, error
):
    def fails(id, data):  # noqa: A002 - named so by the protocol
        raise error

    callback.on_content = fails
    server.handler = streams(EVENT, DONE)
    with pytest.raises(type(error)) as raised:
        ask(client, callback)
    assert raised.value is error
    assert callback.calls == [("open", 200), ("close", "closed")]
