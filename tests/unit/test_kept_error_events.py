"""A kept stream whose app gives its error events a form of its own."""

import pytest

from flask_sluice import ApiError, Event, Streams
from flask_sluice.journal.protocol import About
from flask_sluice.journal.reading.reader import Reader
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.headers_and_errors import error_for_event_source

LOST = ApiError(502, "producer_lost", "the process is gone")


def own_form(error: Exception) -> Event:
    return Event.json({"kind": "failure"})


def encoded_own_form(error: Exception) -> bytes:
    return own_form(error).encode()


@pytest.fixture
def streams():
    streams = Streams()
    yield streams
    streams.close()


def end_of(streams: Streams, stream_id: str) -> bytes:
    follower = streams.follow(stream_id, 0, wake=lambda: None)
    events = follower.take()
    follower.close()
    return events


def test_a_stream_that_failed_is_known_to_have_failed_by_its_status(streams):
    stream = streams.create(error_event=own_form)
    stream.close(ApiError(503, "overloaded", "no room"))
    assert b'data: {"kind":"failure"}\n\n' in end_of(streams, stream.id)
    status = streams.status(stream.id)
    assert (status.state, status.error["code"], status.error["message"]) == (
        *("error", "overloaded", "no room"),
    )


def test_an_exception_keeps_its_text_to_itself(streams):
    stream = streams.create(error_event=own_form)
    stream.close(ValueError("a secret"))
    assert streams.status(stream.id).state == "error"
    assert b"secret" not in end_of(streams, stream.id)


def test_a_stream_that_was_stopped_is_known_to_have_been_stopped(streams):
    stream = streams.create(error_event=own_form)
    streams.stop(stream.id)
    stream.close()
    assert streams.status(stream.id).state == "stopped"


def test_a_terminal_event_of_the_same_form_completes_the_stream(streams):
    stream = streams.create(error_event=own_form, is_terminal=lambda event: "kind" in event.data)
    stream.publish(own_form(LOST))
    assert streams.status(stream.id).state == "complete"


class TestTheEndOfAStreamWhoseProducerDied:
    def reader(self, streams: Streams, terminal_event: bytes) -> tuple[Reader, StreamContext]:
        recorder = streams.journal.create("a-stream-with-an-id", lambda _: None, About())
        recorder.append(b"data: 1\n\n")
        recorder.finish(terminal_event)
        context = StreamContext()
        follower = streams.journal.follow("a-stream-with-an-id", 0, lambda: None)
        return Reader(follower, 2000, context, encoded_own_form), context

    def test_has_the_readers_form_and_its_number(self, streams):
        reader, context = self.reader(streams, error_for_event_source(LOST))
        assert reader.take().endswith(b'data: 1\n\nid: 2\ndata: {"kind":"failure"}\n\n')
        assert context.told_error.code == "producer_lost"

    def test_is_the_only_end_that_the_reader_changes(self, streams):
        draining = error_for_event_source(ApiError(503, "draining", "restarting"), may_resume=False)
        reader, _ = self.reader(streams, draining)
        assert reader.take().endswith(b"id: 2\n" + draining)
