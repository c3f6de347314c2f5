"""What readers get, and what a stream counts and logs."""

import json
import time

import pytest

from flask_sluice import Event, StreamContext
from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream import registry
from flask_sluice.stream.threads.open_streams import open_streams
from tests.support.server import wait_until
from tests.unit.journals import ids
from tests.unit.kept_streams import fail, read, read_with_breaks, until_ended

pytestmark = pytest.mark.timeout(60)


class TestReaders:
    @pytest.mark.parametrize("readers", [30, pytest.param(300, marks=pytest.mark.slow)])
    def test_get_each_event_once_however_often_they_leave(self, streams, readers):
        def answer():
            for number in range(600):
                yield Event(data="x" * 200)
                if number % 3 == 0:
                    time.sleep(0.001)

        began = streams.start(answer())
        joins, failed = read_with_breaks(streams, began.id, readers=readers, seconds=0.3)
        assert joins > 2 * readers
        assert failed == []

    def test_are_told_of_events_that_are_gone(self, open_streams_with):
        streams = open_streams_with(history_bytes=4096)
        with streams.create() as stream:
            for _ in range(100):
                stream.publish(Event(data="x" * 1000))
        found = ids(read(streams, stream.id, after=1))
        assert found[0] == "reset"
        assert found[-1] == 101
        assert found[1:] == list(range(found[1], 102))


class TestAnAccount:
    def test_is_given_back_with_each_stream(self, streams):
        with streams.create():
            assert registry.admission().count == 1
        fail(streams, LookupError())
        until_ended(streams, streams.start([Event(data="a")]).id)
        wait_until(lambda: registry.admission().count == 0)
        wait_until(lambda: len(open_streams()) == 0)
        stats = registry.stats()
        # A stream is counted a moment after it has left its place.
        wait_until(lambda: sum(stats.ended.values()) == 3)
        assert sum(stats.open.values()) == 0

    def test_tells_the_outcome(self, streams):
        complete, stopped, failed = StreamContext(), StreamContext(), StreamContext()
        with streams.create(context=complete):
            pass
        with streams.create(context=stopped) as stream:
            streams.stop(stream.id)
            assert stream.wait(10)
        fail(streams, LookupError(), context=failed)
        outcomes = [context.outcome for context in (complete, stopped, failed)]
        assert outcomes == [Outcome.COMPLETE, Outcome.CANCELLED, Outcome.ERROR]

    def test_logs_one_line_at_the_end(self, streams, log, key):
        with streams.create(context=StreamContext("the-request"), owner="ada", key=key) as stream:
            stream.publish(Event(data="a"))
        (line,) = log()
        assert line["message"] == "generation ended"
        assert (line["request_id"], line["outcome"], line["events"]) == (
            "the-request",
            "complete",
            2,
        )
        assert line["first_event_ms"] is not None
        assert key not in json.dumps(line)
        assert "ada" not in json.dumps(line)
