"""The parts of channels that need neither Redis nor readers."""

import gevent
import pytest
from gevent import socket
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse, ResponseError

from flask_sluice.channels.callbacks import PresenceCallbacks
from flask_sluice.channels.identity import ReaderIdentity
from flask_sluice.channels.ids import (
    id_of,
    position_of,
    positions_in,
    tag_of,
    with_id,
    with_ids,
    without_id,
)
from flask_sluice.channels.limits import ChannelLimits
from flask_sluice.channels.local_channel import LocalChannel
from flask_sluice.channels.memory import MemoryChannels
from flask_sluice.channels.redis.loop_reader import LoopReader
from flask_sluice.channels.redis.messages import MessageParser
from flask_sluice.journal.turns import ThreadTurns
from flask_sluice.journal.window import Window


class TestIds:
    def test_an_event_has_its_channels_tag_and_its_position(self):
        event = with_id(tag_of("news"), b"17-3", b"event: job\ndata: 1\n\n")
        assert event == b"id: %b:17-3\nevent: job\ndata: 1\n\n" % tag_of("news")
        assert position_of(event) == (17, 3)
        assert without_id(event) == b"event: job\ndata: 1\n\n"
        assert id_of(event) == tag_of("news") + b":17-3"

    def test_several_positions_are_read_from_one_id(self):
        event = with_ids([b"aaaaaaaa:1-2", b"bbbbbbbb:3-4"], b"id: aaaaaaaa:1-2\ndata: 1\n\n")
        assert event == b"id: aaaaaaaa:1-2,bbbbbbbb:3-4\ndata: 1\n\n"
        assert positions_in(id_of(event).decode()) == {b"aaaaaaaa": (1, 2), b"bbbbbbbb": (3, 4)}

    @pytest.mark.parametrize("name", ["news", "x" * 200, "Zoë 🎉"])
    def test_a_tag_has_eight_characters_that_a_header_may_have(self, name):
        assert len(tag_of(name)) == 8
        assert positions_in(f"{tag_of(name).decode()}:1-1")

    def test_a_joined_header_is_read_too(self):
        assert len(positions_in("aaaaaaaa:1-2, bbbbbbbb:3-4")) == 2


MESSAGES = [
    (b"*3\r\n$9\r\nsubscribe\r\n$5\r\ntopic\r\n:1\r\n", [b"subscribe", b"topic", b""]),
    (b"*3\r\n$7\r\nmessage\r\n$5\r\ntopic\r\n$4\r\na\r\nb\r\n", [b"message", b"topic", b"a\r\nb"]),
    (b"*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$0\r\n\r\n", [b"message", b"t", b""]),
    (b"*2\r\n$4\r\npong\r\n$0\r\n\r\n", [b"pong", b""]),
    (b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", [b"unsubscribe", b"", b""]),
]


class TestMessages:
    @given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.data())
    def test_are_the_same_wherever_the_bytes_are_cut(self, messages, data):
        wire = b"".join(message for message, _ in messages)
        cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=10)))
        parser, received = MessageParser(), []
        for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            received += parser.feed(wire[start:end])
        assert received == [message for _, message in messages]

    def test_an_error_of_redis_is_raised(self):
        with pytest.raises(ResponseError, match="NOPERM no permissions"):
            MessageParser().feed(b"-NOPERM no permissions\r\n")

    def test_what_is_not_redis_is_noticed(self):
        with pytest.raises(InvalidResponse):
            MessageParser().feed(b"HTTP/1.1 400 Bad Request\r\n")


class TestLoopReader:
    def test_gives_what_comes_and_ends_with_the_connection(self):
        ours, theirs = socket.socketpair()
        received = []
        reader = LoopReader(ours.fileno(), received.append)
        reading = gevent.spawn(reader.run)
        for number in range(20):
            theirs.send(b"%d," % number)
            gevent.sleep(0)
        with gevent.Timeout(5):
            while b"19," not in b"".join(received):
                gevent.sleep(0.001)
        theirs.close()
        with pytest.raises(ConnectionResetError):
            reading.get(timeout=5)
        assert b"".join(received) == b"".join(b"%d," % number for number in range(20))
        ours.close()

    def test_ends_with_what_its_function_raises(self):
        ours, theirs = socket.socketpair()

        def fail(_):
            raise InvalidResponse("x")

        reading = gevent.spawn(LoopReader(ours.fileno(), fail).run)
        theirs.send(b"x")
        with pytest.raises(InvalidResponse):
            reading.get(timeout=5)
        ours.close()
        theirs.close()

    def test_is_not_harmed_by_the_close_of_its_socket(self):
        ours, theirs = socket.socketpair()
        reader = LoopReader(ours.fileno(), lambda _: None)
        reading = gevent.spawn(reader.run)
        gevent.sleep(0)
        ours.close()
        reader.stop(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            reading.get(timeout=5)
        theirs.close()


class TestWindow:
    def test_drops_the_events_before_a_number(self):
        window = Window()
        for number in range(1, 1001):
            window.append(b"%d" % number)
            if number > 10:
                window.drop_before(number - 9)
        assert (window.first_id, window.last_id) == (991, 1000)
        assert window.read(991, 1000) == (b"".join(b"%d" % n for n in range(991, 1001)), 10)
        assert window.byte_count == 9 * 3 + 4
        assert len(window.events) < 600

    def test_may_drop_all(self):
        window = Window()
        window.append(b"x")
        window.drop_before(2)
        assert (window.first_id, window.last_id, window.byte_count) == (2, 1, 0)
        window.append(b"y")
        assert window.event(2) == b"y"


class TestLocalChannel:
    def channel(self):
        channel = LocalChannel("news", (10, 0))
        for number in (11, 12, 13):
            channel.append(b"%d-0" % number, b"data: x\n\n")
        return channel

    @pytest.mark.parametrize(
        ("position", "number"),
        [((10, 0), 1), ((10, 5), 1), ((11, 0), 2), ((12, 7), 3), ((13, 0), 4), ((9, 0), None)],
    )
    def test_finds_what_follows_a_position(self, position, number):
        assert self.channel().number_after(position) == number

    def test_knows_the_position_before_what_it_has_dropped(self):
        channel = self.channel()
        channel.drop_before(3)
        assert channel.number_after((12, 0)) == 3
        assert channel.number_after((11, 9)) is None
        channel.drop_before(4)
        assert channel.number_after((13, 0)) == 4
        assert channel.number_after((12, 0)) is None


class TestForgottenChannels:
    """Channels without readers whose events have expired, in memory."""

    def setup_method(self):
        self.now = 1000.0
        self.channels = MemoryChannels(
            ChannelLimits(history_seconds=10),
            ThreadTurns(),
            PresenceCallbacks(),
            now=lambda: self.now,
        )

    def follow(self, name, after):
        (channel,) = self.channels.open([name])
        follower = self.channels.follow(
            channel, after, lambda: None, ReaderIdentity(), is_new=False
        )
        received = follower.take()
        follower.close()
        return received

    def publish(self, name):
        self.now += 1
        return self.channels.publish(name, b"data: x\n\n")

    def expire(self):
        self.now += 60
        self.channels.publish("other", b"data: x\n\n")

    def kept_channels(self):
        return set(self.channels._channels)

    def test_take_no_room(self):
        for number in range(100):
            self.publish(f"news-{number}")
            self.follow(f"read-{number}", None)
        self.expire()
        assert self.kept_channels() == {"other"}

    def test_are_no_reset_for_a_reader_that_has_all_their_events(self):
        last = self.publish("news")
        self.expire()
        assert self.follow("news", last) == b""

    def test_are_a_reset_for_a_reader_that_lacks_one(self):
        first = self.publish("news")
        self.publish("news")
        self.expire()
        assert b"event: reset" in self.follow("news", first)

    def test_without_any_event_are_no_reset(self):
        (channel,) = self.channels.open(["quiet"])
        position = channel.last
        self.follow("quiet", None)
        self.expire()
        assert self.follow("quiet", position) == b""

    def test_are_a_reset_rather_than_silence_where_even_their_last_ids_are_forgotten(self):
        first = self.publish("news")
        self.publish("news")
        for number in range(10_010):
            self.publish(f"n-{number}")
        self.expire()
        assert b"event: reset" in self.follow("news", first)
