"""What a producer may publish, from where and how fast."""

import json
import threading

import pytest

from flask_sluice import Event
from tests.support.server import wait_until
from tests.unit.journals import ids
from tests.unit.kept_streams import DONE, Reader, events, publish_one, read

pytestmark = pytest.mark.timeout(60)


class TestPublishing:
    def test_gives_each_event_its_number_and_ends_with_done(self, streams):
        with streams.create() as stream:
            stream.publish(Event(data="a"))
            stream.publish(Event.json({"b": 1}, event="step"))
        assert read(streams, stream.id) == (
            b'id: 1\ndata: a\n\nid: 2\nevent: step\ndata: {"b":1}\n\nid: 3\nevent: done\ndata: {}\n\n'
        )

    def test_is_read_while_the_stream_runs(self, streams):
        with streams.create() as stream:
            reader = Reader(streams, stream.id)
            for number in range(1, 4):
                stream.publish(Event(data=str(number)))
                wait_until(
                    lambda n=number: (
                        not reader.read_for(0.01) and ids(reader.received) == list(range(1, n + 1))
                    )
                )
        assert reader.read_for(5)
        reader.close()

    @pytest.mark.parametrize(
        "text",
        ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"],
    )
    def test_takes_text_that_is_framed_events(self, streams, text):
        assert publish_one(streams, text) == [("message", "a"), ("message", "b"), DONE]
        assert publish_one(streams, text.encode()) == [("message", "a"), ("message", "b"), DONE]

    @pytest.mark.parametrize(
        "text", ["event: x\ndata: ä\n\ndata: b\n\n", "event: x\r\ndata: ä\r\n\r\ndata: b\r\n\r\n"]
    )
    def test_takes_bytes_that_are_cut_anywhere(self, streams, text):
        data = text.encode()
        for size in (1, 2, 3, 5):
            with streams.create() as stream:
                for start in range(0, len(data), size):
                    stream.publish(data[start : start + size])
            assert events(streams, stream.id) == [("x", "ä"), ("message", "b"), DONE]

    def test_drops_comments_and_blank_lines(self, streams):
        with streams.create() as stream:
            stream.publish(": a comment\n\n")
            stream.publish(Event(comment="another"))
            stream.publish("\n\n")
            stream.publish("data: a\n\n\n\n: a third\n\n")
        assert ids(read(streams, stream.id)) == [1, 2]

    def test_ends_with_an_error_where_text_is_left_unfinished(self, streams):
        with pytest.raises(ValueError, match=r"wrap it in Event"), streams.create() as stream:
            stream.publish("data: a")
        assert streams.status(stream.id).state == "error"

    def test_of_text_that_is_no_event_says_what_to_do(self, streams):
        with streams.create() as stream:
            with pytest.raises(
                ValueError, match=r"publish was given the text 'Hello'.*wrap it in Event\(data="
            ):
                stream.publish("Hello")
            stream.publish(Event(data="a"))
        assert events(streams, stream.id) == [("message", "a"), DONE]

    @pytest.mark.parametrize("item", [{"a": 1}, 7, object()])
    def test_of_another_object_says_what_to_do(self, streams, item):
        with (
            streams.create() as stream,
            pytest.raises(TypeError, match=r"^publish takes an Event.*Event\.json"),
        ):
            stream.publish(item)

    @pytest.mark.parametrize(
        "item",
        [
            Event(data="a", id="7"),
            "id: 7\ndata: a\n\n",
            "data: a\nid\n\n",
            b"event: x\r\nid:7\r\ndata: a\r\n\r\n",
        ],
    )
    def test_of_an_event_with_an_id_says_that_the_stream_numbers_them(self, streams, item):
        with streams.create() as stream:
            with pytest.raises(ValueError, match="numbers its events itself, leave the id out"):
                stream.publish(item)
            stream.publish("data: an id: is text here\n\n")
        assert ids(read(streams, stream.id)) == [1, 2]

    def test_of_an_event_that_is_larger_than_the_history_says_so(self, open_streams_with):
        streams = open_streams_with(history_bytes=2_000_000)
        with streams.create() as stream:
            stream.publish(Event(data="x" * 1_900_000))
            with pytest.raises(ValueError, match=r"larger than the history.*history_bytes"):
                stream.publish(Event(data="x" * 2_000_001))
        assert streams.status(stream.id).state == "complete"

    def test_of_events_of_any_size_up_to_the_history_loses_none(self, streams):
        sizes = [1_500_000, 3_000_000] * 2
        with streams.create() as stream:
            for size in sizes:
                stream.publish(Event(data="x" * size))
        status = streams.status(stream.id)
        assert (status.state, status.last_id) == ("complete", len(sizes) + 1)

    def test_after_the_end_says_so(self, streams):
        with streams.create() as stream:
            stream.publish(Event(data="a"))
        with pytest.raises(RuntimeError, match="has ended"):
            stream.publish(Event(data="b"))
        assert ids(read(streams, stream.id)) == [1, 2]

    def test_from_many_threads_keeps_each_event_once(self, streams):
        def publish(number):
            for i in range(50):
                stream.publish(Event.json([number, i]))

        with streams.create() as stream:
            threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        received = [
            json.loads(data) for event, data in events(streams, stream.id) if event == "message"
        ]
        assert sorted(received) == [[number, i] for number in range(8) for i in range(50)]
        # Those of each thread are in order.
        assert all(
            [i for n, i in received if n == number] == list(range(50)) for number in range(8)
        )

    def test_may_be_quicker_than_its_readers(self, streams):
        with streams.create() as stream:
            reader = Reader(streams, stream.id)
            for _ in range(3000):
                stream.publish(Event(data="x" * 500))
        assert reader.read_for(20)
        assert ids(reader.received) == list(range(1, 3002))
        reader.close()
