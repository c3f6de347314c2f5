"""The behaviour of channels, in memory or in Redis."""

import json
import time
import uuid
from collections import Counter

import pytest

from flask_sluice import ApiError, Event
from flask_sluice.channels import InvalidChannelIdError
from flask_sluice.sse import EventParser
from tests.support.server import wait_until
from tests.unit.channels import (
    Reader,
    Returning,
    Shuffle,
    in_background,
    make_channels,
    position,
)

KIB = 1024


@pytest.fixture(autouse=True)
def journals_of_greenlets():
    """Not here: what runs is greenlets in a process that gevent has patched, and threads elsewhere."""


@pytest.fixture
def open_channels():
    opened = []

    def open_(**options):
        opened.append(make_channels(**options))
        return opened[-1]

    yield open_
    for channels in opened:
        channels.close()


@pytest.fixture
def channels(open_channels):
    return open_channels()


@pytest.fixture
def name():
    """Of a channel that no other test has, in the Redis that they share."""
    return f"test:{uuid.uuid4().hex}"


def until_has(reader, *data):
    wait_until(lambda: reader.data == list(data), explain=lambda: str(reader.received[-1000:]))


def until_finished(reader):
    wait_until(lambda: reader.is_finished)


def publish_numbers(channels, name, count, first=0):
    for number in range(first, first + count):
        channels.publish(name, number)


def numbers(count, first=0):
    return [str(number) for number in range(first, first + count)]


class TestAReader:
    def test_gets_what_is_published_in_its_channel_from_now_on(self, channels, name):
        channels.publish(name, "before")
        reader = Reader(channels, name)
        channels.publish(f"{name}-other", "elsewhere")
        channels.publish(name, {"kind": "done"}, event="job")
        wait_until(lambda: reader.events)
        (event,) = reader.events
        assert (event.event, event.data) == ("job", '{"kind":"done"}')

    def test_gets_events_whose_ids_publish_has_returned(self, channels, name):
        reader = Reader(channels, name)
        ids = [channels.publish(name, number) for number in range(3)]
        until_has(reader, *numbers(3))
        assert reader.ids == ids

    @pytest.mark.parametrize("forwards", [False, True])
    def test_that_comes_back_gets_each_event_that_it_has_missed_once(
        self, channels, name, forwards
    ):
        first = Reader(channels, name, forwards=forwards)
        publish_numbers(channels, name, 5)
        until_has(first, *numbers(5))
        first.leave()
        publish_numbers(channels, name, 5, first=5)
        for known in range(5):
            again = Reader(channels, name, last_event_id=first.ids[known], forwards=forwards)
            until_has(again, *numbers(9 - known, first=known + 1))
            again.leave()

    def test_that_disconnects_before_the_first_event_misses_none(self, channels, name):
        first = Reader(channels, name)
        assert first.events == []
        assert first.last_event_id
        first.leave()
        channels.publish(name, "meanwhile")
        until_has(Reader(channels, name, last_event_id=first.last_event_id), '"meanwhile"')

    def test_that_has_an_id_already_is_not_told_it_again(self, channels, name):
        last_id = channels.publish(name, 1)
        assert Reader(channels, name, last_event_id=last_id).received == b""

    def test_that_begins_at_the_last_id_misses_nothing_since(self, channels, name):
        channels.publish(name, "in the page's state")
        last_id = channels.last_id(name)
        channels.publish(name, "while the page was rendered")
        until_has(Reader(channels, name, last_event_id=last_id), '"while the page was rendered"')

    def test_that_takes_nothing_does_not_hold_up_others_and_gets_all(self, channels, name):
        slow = channels.follow([name], "", lambda: None)
        quick = Reader(channels, name)
        for number in range(400):
            channels.publish(name, str(number).ljust(KIB))
        wait_until(lambda: len(quick.events) == 400)
        received = b""

        def has_all():
            nonlocal received
            with channels.turns:
                received += slow.take()
            return received.count(b"\ndata:") == 400

        wait_until(has_all)
        assert EventParser().feed(received) == quick.events
        slow.close()

    def test_gets_events_as_large_as_the_history(self, channels, name):
        reader = Reader(channels, name)
        ids = [channels.publish(name, str(number) * 900 * KIB) for number in range(5)]
        wait_until(lambda: len(reader.events) == 5)
        assert [(len(event.data), event.data[1]) for event in reader.events] == [
            (900 * KIB + 2, str(number)) for number in range(5)
        ]
        again = Reader(channels, name, last_event_id=ids[3])
        wait_until(lambda: again.ids == ids[4:])

    def test_that_is_forwarded_events_is_not_woken_for_them(self, channels, name):
        reader = Reader(channels, name, forwards=True)
        channels.publish(name, 0)
        until_has(reader, "0")
        count = reader.wake_count
        for number in range(1, 5):
            channels.publish(name, number)
            until_has(reader, *numbers(number + 1))
        assert reader.wake_count == count

    def test_that_left_gets_nothing_more(self, channels, name):
        reader, other = Reader(channels, name), Reader(channels, name)
        reader.leave()
        reader.leave()
        channels.publish(name, 1)
        until_has(other, "1")
        assert reader.data == []

    @pytest.mark.parametrize(
        "garbage",
        [
            *("7", "x", "kDU2xq0b:5", "kDU2xq0b:5-", "short:1-1", "kDU2xq0b:1-1,", "kDU2xq0b:-1-1"),
            *(
                "kDU2xq0b:1-1;kDU2xq0c:1-1",
                "kDU2xq0b:" + "9" * 16 + "-0",
                "kDU2xq0b:1-1\n",
                "é" * 8,
            ),
            "kDU2xq0b:٣-٣",
        ],
    )
    def test_that_comes_with_what_is_not_an_id_is_refused(self, channels, name, garbage):
        with pytest.raises(InvalidChannelIdError) as refused:
            Reader(channels, name, last_event_id=garbage)
        assert refused.value.status == 400
        assert "Last-Event-ID" in refused.value.message

    def test_that_comes_with_the_id_of_another_channel_begins_now(self, channels, name):
        other_id = channels.publish(f"{name}-other", 1)
        channels.publish(name, "before")
        reader = Reader(channels, name, last_event_id=other_id)
        channels.publish(name, "after")
        until_has(reader, '"after"')


class TestAReaderOfSeveralChannels:
    def test_gets_the_events_of_each(self, channels, name):
        names = [f"{name}-{number}" for number in range(3)]
        reader = Reader(channels, *names)
        for each in names:
            channels.publish(each, each)
        wait_until(lambda: len(reader.events) == 3)
        assert sorted(reader.data) == [json.dumps(each) for each in names]

    @pytest.mark.parametrize("forwards", [False, True])
    def test_goes_on_in_all_of_them_after_the_id_of_any_event(self, channels, name, forwards):
        names = [f"{name}-{number}" for number in range(3)]
        first = Reader(channels, *names, forwards=forwards)
        for number in range(12):
            channels.publish(names[number % 3], number)
        wait_until(lambda: len(first.events) == 12)
        first.leave()
        for place, event in enumerate(first.events):
            again = Reader(channels, *names, last_event_id=event.id, forwards=forwards)
            rest = first.data[place + 1 :]
            wait_until(lambda: sorted(again.data) == sorted(rest))  # noqa: B023
            again.leave()

    def test_that_asks_for_one_more_channel_gets_that_from_now_on(self, channels, name):
        first = Reader(channels, name)
        channels.publish(name, "known")
        until_has(first, '"known"')
        first.leave()
        channels.publish(f"{name}-more", "before")
        channels.publish(name, "missed")
        reader = Reader(channels, name, f"{name}-more", last_event_id=first.last_event_id)
        channels.publish(f"{name}-more", "after")
        until_has(reader, '"missed"', '"after"')

    def test_is_the_same_for_a_channel_that_is_named_twice(self, channels, name):
        reader = Reader(channels, name, name)
        channels.publish(name, 1)
        until_has(reader, "1")

    def test_is_told_its_positions_in_all_at_the_beginning(self, channels, name):
        names = [name, f"{name}-other"]
        first = Reader(channels, *names)
        first.leave()
        for each in names:
            channels.publish(each, each)
        again = Reader(channels, *names, last_event_id=first.last_event_id)
        wait_until(lambda: len(again.events) == 2)


def resets(reader):
    return [json.loads(event.data) for event in reader.events if event.event == "reset"]


class TestHistory:
    def is_told_a_reset(self, channels, name, ids, kept):
        """Check that a reader after the last dropped event gets all, and one before it a reset first."""
        exact = Reader(channels, name, last_event_id=ids[-kept - 1])
        wait_until(lambda: exact.ids == ids[-kept:])
        late = Reader(channels, name, last_event_id=ids[-kept - 2])
        wait_until(lambda: len(late.events) == kept + 1)
        assert late.events[0].event == "reset"
        assert resets(late) == [{"channel": name, "oldest": ids[-kept]}]
        assert late.ids[1:] == ids[-kept:]

    def test_beyond_the_count_is_told_as_a_reset(self, open_channels, name):
        channels = open_channels(history_events=10)
        ids = [channels.publish(name, number) for number in range(15)]
        self.is_told_a_reset(channels, name, ids, kept=10)

    def test_beyond_the_bytes_is_told_as_a_reset(self, open_channels, name):
        channels = open_channels(history_bytes=4 * KIB)
        ids = [channels.publish(name, "x" * KIB) for _ in range(10)]
        self.is_told_a_reset(channels, name, ids, kept=3)

    def test_beyond_the_seconds_is_told_as_a_reset(self, open_channels, name):
        channels = open_channels(history_seconds=0.3)
        ids = [channels.publish(name, number) for number in range(2)]
        reset = self.reset_after_expiry(channels, name, ids[0])
        assert reset == {"channel": name, "oldest": None}

    def reset_after_expiry(self, channels, name, last_event_id):
        """Wait until a reader with this id is told a reset; return its data."""

        def told():
            reader = Reader(channels, name, last_event_id=last_event_id)
            reader.leave()
            return resets(reader)

        (reset,) = wait_until(told)
        return reset

    def test_that_is_partly_too_old_is_told_with_the_oldest_event_that_is_kept(
        self, open_channels, name
    ):
        channels = open_channels(history_seconds=0.5)
        ids = [channels.publish(name, 0), channels.publish(name, 1)]
        self.reset_after_expiry(channels, name, ids[0])
        kept_id = channels.publish(name, 2)
        reader = Reader(channels, name, last_event_id=ids[0])
        wait_until(lambda: len(reader.events) == 2)
        assert resets(reader) == [{"channel": name, "oldest": kept_id}]

    def test_that_has_expired_is_no_reset_for_a_reader_that_had_all_of_it(
        self, open_channels, name
    ):
        channels = open_channels(history_seconds=0.2)
        ids = [channels.publish(name, number) for number in range(2)]
        self.reset_after_expiry(channels, name, ids[0])
        reader = Reader(channels, name, last_event_id=ids[1])
        assert reader.received == b""
        channels.publish(name, "next")
        until_has(reader, '"next"')

    def test_is_no_reset_for_a_reader_of_a_channel_without_events(self, channels, name):
        first = Reader(channels, name)
        first.leave()
        again = Reader(channels, name, last_event_id=first.last_event_id)
        channels.publish(name, 1)
        until_has(again, "1")

    def test_goes_on_after_the_id_of_a_reset(self, open_channels, name):
        channels = open_channels(history_events=3)
        ids = [channels.publish(name, number) for number in range(6)]
        reset = Reader(channels, name, last_event_id=ids[0])
        wait_until(lambda: len(reset.events) == 4)
        again = Reader(channels, name, last_event_id=reset.events[0].id)
        until_has(again, "3", "4", "5")

    def test_of_a_reader_from_the_future_is_a_reset(self, channels, name):
        id_ = channels.publish(name, 1)
        future = f"{id_.partition(':')[0]}:999999999999999-0"
        reader = Reader(channels, name, last_event_id=future)
        wait_until(lambda: len(reader.events) == 2)
        assert [event.event for event in reader.events] == ["reset", "message"]

    def test_of_one_channel_does_not_reset_the_others_of_a_reader(self, open_channels, name):
        channels = open_channels(history_events=3)
        names = [name, f"{name}-quiet"]
        first = Reader(channels, *names)
        first.leave()
        publish_numbers(channels, name, 5)
        again = Reader(channels, *names, last_event_id=first.last_event_id)
        wait_until(lambda: len(again.events) == 4)
        (reset,) = resets(again)
        assert reset["channel"] == name
        third = Reader(channels, *names, last_event_id=again.last_event_id)
        channels.publish(names[1], "quiet")
        until_has(third, '"quiet"')


class TestExactlyOnce:
    def check(self, open_channels, name, *, readers, forwards):
        """Readers of one or two channels leave and come back at random while several publish."""
        channels = open_channels(history_events=100_000, history_bytes=64 * KIB * KIB)
        names = [f"{name}-{number}" for number in range(3)]
        witness = {each: Reader(channels, each) for each in names}
        # Those at an odd place read two of the channels.
        people = [
            Returning(channels, *names[place % 3 : place % 3 + 1 + place % 2], forwards=forwards)
            for place in range(readers)
        ]
        published = []
        shuffle = Shuffle(people, readers, lambda: len(published) > 150)

        def publish(publisher):
            while not shuffle.is_over:
                for each in names:
                    channels.publish(each, [publisher, len(published)])
                    published.append(each)
                time.sleep(0.003)

        with in_background(shuffle.run, *(lambda of=of: publish(of) for of in range(3))):
            pass
        wait_until(lambda: sum(len(each.events) for each in witness.values()) == len(published))
        data = {each: reader.data for each, reader in witness.items()}
        assert {each: len(own) for each, own in data.items()} == Counter(published)
        for person in people:
            self.check_reader(person, witness)

    def check_reader(self, person, witness):
        for each in person.names:
            all_ = [(event.id, event.data) for event in witness[each].events]
            first = position(person.first_id, all_[0][0])
            expected = [data for id_, data in all_ if position(id_, id_) > first]
            own = {data for _, data in all_}

            def received():
                return [event.data for event in person.events if event.data in own]  # noqa: B023

            wait_until(lambda: len(received()) >= len(expected), 20)  # noqa: B023
            assert received() == expected

    @pytest.mark.parametrize("forwards", [False, True])
    def test_a_reader_gets_each_event_over_random_reconnects(self, open_channels, name, forwards):
        self.check(open_channels, name, readers=30, forwards=forwards)

    @pytest.mark.slow
    def test_300_readers_get_each_event_over_random_reconnects(self, open_channels, name):
        self.check(open_channels, name, readers=300, forwards=True)


class TestKick:
    @pytest.mark.parametrize("where", ["7", 7, {"owner": "7"}, {"owner": 7}])
    def test_ends_the_readers_of_an_owner(self, channels, name, where):
        kicked = [Reader(channels, name, owner=owner) for owner in ("7", 7)]
        others = [Reader(channels, name, owner="8"), Reader(channels, name)]
        channels.kick(name, where)
        for reader in kicked:
            until_finished(reader)
        channels.publish(name, 1)
        for reader in others:
            until_has(reader, "1")

    def test_ends_those_whose_details_are_all_the_same(self, channels, name):
        one = Reader(channels, name, owner="7", details={"session": "x", "tab": 1})
        other = Reader(channels, name, owner="7", details={"session": "y", "tab": 1})
        channels.kick(name, {"owner": "7", "session": "x", "tab": "1"})
        until_finished(one)
        channels.publish(name, 1)
        until_has(other, "1")

    def test_ends_all_where_nothing_else_is_said(self, channels, name):
        readers = [Reader(channels, name, owner=owner) for owner in ("7", None)]
        readers.append(Reader(channels, f"{name}-other", name))
        channels.kick(name)
        for reader in readers:
            until_finished(reader)

    def test_is_told_in_one_error_event_that_asks_for_no_retry(self, channels, name):
        reader = Reader(channels, name)
        channels.kick(name)
        until_finished(reader)
        (event,) = reader.events
        assert event.event == "error"
        assert event.retry is None
        assert json.loads(event.data)["error"]["code"] == "kicked"
        assert reader.follower.error is None
        assert reader.follower.terminal_event.endswith(b"\n\n")

    def test_takes_away_what_a_reader_has_not_taken_yet(self, channels, name):
        follower = channels.follow([name], channels.last_id(name), lambda: None)
        channels.publish(name, "secret")
        channels.kick(name)
        received = b""

        def is_finished():
            nonlocal received
            with channels.turns:
                if follower.is_kicked:
                    received += follower.take()
            return follower.is_finished

        wait_until(is_finished)
        assert b"secret" not in received
        assert b"kicked" in received

    def test_ends_a_reader_that_has_not_taken_yet_what_another_channel_has(self, channels, name):
        follower = channels.follow([name, f"{name}-other"], "", lambda: None)
        channels.publish(f"{name}-other", "more than it gets")
        channels.kick(name)

        def is_finished():
            with channels.turns:
                return follower.is_finished or (b"kicked" in follower.take())

        wait_until(is_finished)
        with channels.turns:
            assert follower.is_finished
            assert not follower.has_events
            assert follower.take() == b""

    def test_lets_a_reader_come_back_whose_view_allows_it(self, channels, name):
        reader = Reader(channels, name)
        first_id = reader.last_event_id
        channels.kick(name)
        until_finished(reader)
        reader.leave()
        channels.publish(name, 1)
        again = Reader(channels, name, last_event_id=first_id)
        until_has(again, "1")
        assert not again.is_finished

    def test_of_readers_that_are_not_there_does_nothing(self, channels, name):
        channels.kick(name)
        channels.kick(name, "7")
        reader = Reader(channels, name, owner="7")
        channels.publish(name, 1)
        until_has(reader, "1")

    def test_is_no_event_and_no_reset(self, open_channels, name):
        channels = open_channels(history_events=3)
        last_id = channels.publish(name, "last")
        for _ in range(5):
            channels.kick(name)
        reader = Reader(channels, name, last_event_id=last_id)
        assert reader.received == b""
        channels.publish(name, "next")
        until_has(reader, '"next"')


class TestAnOwner:
    def test_has_only_so_many_readers(self, open_channels, name):
        channels = open_channels(readers_per_owner=2)
        readers = [Reader(channels, name, owner=7) for _ in range(2)]
        with pytest.raises(ApiError, match="limit") as refused:
            Reader(channels, name, owner="7")
        assert refused.value.status == 429
        assert refused.value.code == "rate_limit_exceeded"
        assert int(refused.value.headers["Retry-After"]) > 0
        Reader(channels, name, owner=8)
        for _ in range(3):
            Reader(channels, name)
        readers[0].leave()
        Reader(channels, name, f"{name}-other", owner=7)
        with pytest.raises(ApiError):
            Reader(channels, name, owner=7)

    def test_does_not_lose_a_place_to_a_reader_that_was_refused(self, open_channels, name):
        channels = open_channels(readers_per_owner=1)
        for _ in range(3):
            with pytest.raises(InvalidChannelIdError):
                Reader(channels, name, owner=7, last_event_id="garbage")
        Reader(channels, name, owner=7)


class TestMistakes:
    @pytest.mark.parametrize("bad", [None, 7, b"news", ["news"]])
    def test_a_name_that_is_not_text(self, channels, bad):
        with pytest.raises(TypeError, match=r"name of a channel is text.*str\(\)"):
            channels.publish(bad, 1)
        with pytest.raises(TypeError, match="name of a channel is text"):
            channels.follow([bad], "", lambda: None)

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ("", "must not be empty"),
            ("x" * 201, "at most 200 characters, got 201"),
            ("a\nb", "no control characters"),
            ("a\0", "no control characters"),
            ("\x85", "no control characters"),
            ("\ud800", "Unicode"),
        ],
    )
    def test_a_name_that_no_channel_has(self, channels, bad, message):
        for mistake in (
            lambda: channels.publish(bad, 1),
            lambda: channels.kick(bad),
            lambda: channels.present(bad),
            lambda: channels.last_id(bad),
            lambda: channels.follow([bad], "", lambda: None),
        ):
            with pytest.raises(ValueError, match=message):
                mistake()

    @pytest.mark.parametrize(
        "name", ["x" * 200, "user:{7}", "Zoë's 🎉", " ", "a*b[c]?", "}{", "100%"]
    )
    def test_not_a_name_with_any_other_characters(self, channels, name):
        reader = Reader(channels, name)
        channels.publish(name, 1)
        until_has(reader, "1")

    def test_no_channel_or_too_many(self, channels, name):
        with pytest.raises(ValueError, match="at least one"):
            channels.follow([], "", lambda: None)
        with pytest.raises(ValueError, match="at least one"):
            channels.last_id()
        with pytest.raises(ValueError, match="list of names"):
            channels.follow(name, "", lambda: None)
        with pytest.raises(ValueError, match="at most 100 channels, got 101"):
            channels.follow([f"{name}-{number}" for number in range(101)], "", lambda: None)

    @pytest.mark.parametrize("data", [object(), {"a": object()}, lambda: None, {1, object()}])
    def test_data_that_json_cannot_say(self, channels, name, data):
        with pytest.raises(TypeError, match="publish takes what JSON can say"):
            channels.publish(name, data)

    def test_bytes(self, channels, name):
        with pytest.raises(TypeError, match=r"decode\(\)"):
            channels.publish(name, b"x")

    def test_an_event_with_an_id_of_its_own(self, channels, name):
        with pytest.raises(ValueError, match="position in the channel"):
            channels.publish(name, Event(data="x", id="1"))

    def test_an_event_without_data_or_with_two_types(self, channels, name):
        with pytest.raises(ValueError, match="without data"):
            channels.publish(name, Event(event="x"))
        with pytest.raises(TypeError, match="has its type itself"):
            channels.publish(name, Event(data="x"), event="y")

    @pytest.mark.parametrize("type_", ["a\nb", "a\0"])
    def test_a_type_that_would_end_its_line(self, channels, name, type_):
        with pytest.raises(ValueError, match="event must not contain"):
            channels.publish(name, 1, event=type_)

    def test_an_event_larger_than_the_history(self, open_channels, name):
        channels = open_channels(history_bytes=KIB)
        with pytest.raises(ValueError, match="raise history_bytes"):
            channels.publish(name, "x" * KIB)
        reader = Reader(channels, name)
        channels.publish(name, "x" * (KIB - 20))
        wait_until(lambda: reader.events)

    @pytest.mark.parametrize(
        "options",
        [
            *({"history_events": 0}, {"history_bytes": -1}, {"history_seconds": 0}),
            *({"history_events": "10"}, {"history_seconds": None}, {"history_bytes": True}),
            *({"readers_per_owner": 0}, {"readers_per_owner": "3"}),
        ],
    )
    def test_limits_that_are_not_numbers(self, options):
        (name,) = options
        with pytest.raises(ValueError, match=name):
            make_channels(**options)

    def test_an_owner_or_details_that_are_not_text(self, channels, name):
        for who, message in (
            ({"owner": 1.5}, "owner takes text or an integer"),
            ({"owner": True}, "owner takes text or an integer"),
            ({"details": "x"}, "details takes a dict"),
            ({"details": {"a": None}}, "details"),
            ({"details": {1: "a"}}, "keys of details"),
        ):
            with pytest.raises(TypeError, match=message):
                channels.follow([name], "", lambda: None, **who)
        with pytest.raises(ValueError, match="argument of its own"):
            channels.follow([name], "", lambda: None, details={"owner": "7"})

    def test_an_owner_or_details_that_are_half_a_surrogate_pair(self, channels, name):
        for who in (
            {"owner": "\ud83d"},
            {"details": {"a": "\ud83d"}},
            {"details": {"\ud83d": "a"}},
        ):
            with pytest.raises(ValueError, match="Unicode"):
                channels.follow([name], "", lambda: None, **who)
        with pytest.raises(ValueError, match="Unicode"):
            channels.kick(name, "\ud83d")

    def test_a_kick_of_what_nobody_can_be(self, channels, name):
        with pytest.raises(ValueError, match="None means all"):
            channels.kick(name, {})
        with pytest.raises(TypeError, match="where"):
            channels.kick(name, 1.5)


@pytest.mark.parametrize(
    ("data", "encoded"),
    [
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ("text\nof two lines", r'"text\nof two lines"'),
        (7, "7"),
        (None, "null"),
        (True, "true"),
        (Event(data="as it is\nin two lines"), "as it is\nin two lines"),
        (Event.json({"a": 1}), '{"a":1}'),
        ("", '""'),
        (Event(data=""), ""),
        ("🎉", '"🎉"'),
    ],
)
def test_data_reaches_the_readers_as_json_and_an_event_as_it_is(channels, name, data, encoded):
    reader = Reader(channels, name)
    channels.publish(name, data)
    wait_until(lambda: reader.events)
    assert reader.data == [encoded]
