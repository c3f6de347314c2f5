"""The behaviour of every journal, in memory or in Redis."""

import gevent
import pytest

from flask_sluice.journal import About, InvalidEventIdError, JournalFullError, UnknownStreamError
from tests.unit.greenlets import run_all, wait_until
from tests.unit.journals import DONE, Reader, event, ids, ignore, make_journal, read_with_breaks

KIB = 1024


@pytest.fixture
def open_journal():
    journals = []

    def open_(**limits):
        journals.append(make_journal(**limits))
        return journals[-1]

    yield open_
    for journal in journals:
        journal.close()


@pytest.fixture
def journal(open_journal):
    return open_journal()


@pytest.fixture
def stream_id(request):
    return f"{request.node.name}-{id(request)}"


@pytest.fixture
def recorder(journal, stream_id):
    return journal.create(stream_id, ignore, About())


@pytest.fixture
def finished(journal, stream_id, recorder):
    """A stream of ten events, the tenth of which is the terminal one."""
    for number in range(1, 10):
        recorder.append(event(f"number {number}"))
    recorder.finish(DONE)
    read(journal, stream_id)
    return recorder


def append_kibs(recorder, count):
    """Append so many events of a KiB, and let the loop turn after each."""
    for _ in range(count):
        recorder.append(event("x" * KIB))
        gevent.sleep(0)


def read(journal, stream_id, after=0):
    """Read a stream up to its end."""
    reader = Reader(journal, stream_id, after)
    wait_until(lambda: reader.is_done)
    return reader


class TestReader:
    def test_gets_the_events_as_they_are_with_their_numbers(self, journal, stream_id, recorder):
        recorder.append(b"event: a\ndata: 1\n\n")
        recorder.append(b"data: 2\n\n")
        recorder.finish(DONE)
        assert read(journal, stream_id).received == (
            b"id: 1\nevent: a\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\nevent: done\ndata: the end\n\n"
        )

    @pytest.mark.parametrize("after", range(10))
    def test_of_a_finished_stream_gets_what_follows_the_event_that_it_has(
        self, journal, stream_id, finished, after
    ):
        reader = read(journal, stream_id, after)
        assert reader.ids == list(range(after + 1, 11))
        assert reader.follower.event_count == 10 - after

    def test_that_has_the_terminal_event_gets_nothing_and_knows_it_at_once(
        self, journal, stream_id, finished
    ):
        follower = journal.follow(stream_id, 10, ignore)
        assert follower.is_finished
        assert not follower.has_events
        assert follower.take() == b""

    def test_that_comes_first_gets_each_event_when_it_is_there(self, journal, stream_id, recorder):
        reader = Reader(journal, stream_id)
        run_all()
        for number in range(1, 4):
            recorder.append(event())
            wait_until(lambda: len(reader.ids) == number)  # noqa: B023
        assert not reader.follower.is_finished
        recorder.finish(DONE)
        wait_until(lambda: reader.is_done)
        assert reader.ids == [1, 2, 3, 4]

    def test_continues_a_running_stream_after_any_event(self, journal, stream_id, recorder):
        first = Reader(journal, stream_id)
        for _ in range(5):
            recorder.append(event())
        wait_until(lambda: first.ids == [1, 2, 3, 4, 5])
        others = [Reader(journal, stream_id, after) for after in range(6)]
        recorder.append(event())
        recorder.finish(DONE)
        wait_until(lambda: all(reader.is_done for reader in others))
        assert [reader.ids for reader in others] == [list(range(n + 1, 8)) for n in range(6)]

    def test_that_breaks_off_and_comes_back_at_any_moment_gets_each_event_once(
        self, journal, stream_id, recorder
    ):
        def produce():
            for number in range(600):
                recorder.append(event("x" * 200))
                if number % 3 == 0:
                    gevent.sleep(0.001)
            recorder.finish(DONE)

        gevent.spawn(produce)
        joins, failed = read_with_breaks(journal, stream_id, readers=50, seconds=0.3)
        assert joins > 100
        assert failed == []

    def test_that_takes_nothing_does_not_hold_up_others(self, journal, stream_id, recorder):
        slow = journal.follow(stream_id, 0, ignore)
        quick = Reader(journal, stream_id)
        for _ in range(500):
            recorder.append(event("x" * KIB))
        recorder.finish(DONE)
        wait_until(lambda: quick.is_done)
        assert quick.ids == list(range(1, 502))
        slow.close()

    def test_that_falls_behind_by_much_still_gets_everything(self, journal, stream_id, recorder):
        woken = []
        slow = journal.follow(stream_id, 0, lambda: woken.append(True))
        quick = Reader(journal, stream_id)
        for _ in range(500):
            recorder.append(event("x" * KIB))
        recorder.finish(DONE)
        wait_until(lambda: quick.is_done)
        received = b""
        while not slow.is_finished:
            if events := slow.take():
                received += events
            else:
                woken.clear()
                wait_until(lambda: woken)
        assert ids(received) == list(range(1, 502))

    def test_takes_a_bounded_number_of_bytes_at_once(self, journal, stream_id, recorder):
        for _ in range(1000):
            recorder.append(event("x" * KIB))
        recorder.finish(DONE)
        reader = read(journal, stream_id)
        assert reader.ids == list(range(1, 1002))
        assert max(map(len, reader.takes)) < 260 * KIB

    def test_that_fails_when_it_is_woken_does_not_hit_others(
        self, journal, stream_id, recorder, caplog
    ):
        def fail():
            raise RuntimeError("a defect")

        failing = journal.follow(stream_id, 0, fail)
        sound = Reader(journal, stream_id)
        recorder.finish(DONE)
        wait_until(lambda: sound.is_done)
        assert sound.ids == [1]
        assert "RuntimeError: a defect" in caplog.text
        failing.close()

    def test_may_leave_while_it_is_woken_and_more_than_once(self, journal, stream_id, recorder):
        def leave():
            leaving.close()

        leaving = journal.follow(stream_id, 0, leave)
        stays = Reader(journal, stream_id)
        recorder.append(event())
        recorder.finish(DONE)
        wait_until(lambda: stays.is_done)
        leaving.close()
        assert stays.ids == [1, 2]


def test_all_readers_share_the_bytes_of_an_event(journal, stream_id, recorder):
    readers = [Reader(journal, stream_id) for _ in range(100)]
    run_all()
    recorder.append(event())
    wait_until(lambda: all(reader.takes for reader in readers))
    assert len({id(reader.takes[0]) for reader in readers}) == 1


class TestLastEventId:
    @pytest.mark.parametrize("after", [11, 10**17, -1])
    def test_that_the_stream_never_gave_out_is_refused(self, journal, stream_id, finished, after):
        with pytest.raises(InvalidEventIdError) as refused:
            journal.follow(stream_id, after, ignore)
        assert refused.value.status == 400
        assert "0 to 10" in refused.value.message

    def test_of_a_running_stream_must_be_there_already(self, journal, stream_id, recorder):
        reader = Reader(journal, stream_id)
        recorder.append(event())
        wait_until(lambda: reader.ids == [1])
        with pytest.raises(InvalidEventIdError):
            journal.follow(stream_id, 2, ignore)

    def test_of_an_event_that_was_only_just_added_is_taken(self, journal, stream_id, recorder):
        recorder.append(event())
        reader = Reader(journal, stream_id, after=1)
        recorder.finish(DONE)
        wait_until(lambda: reader.is_done)
        assert reader.ids == [2]

    def test_of_a_stream_that_never_was_is_unknown(self, journal):
        with pytest.raises(UnknownStreamError) as refused:
            journal.follow("never", 0, ignore)
        assert refused.value.status == 404


class TestHistory:
    def test_is_bounded_by_bytes_and_its_gap_is_told_first(self, open_journal, stream_id):
        journal = open_journal(history_bytes=100 * KIB)
        recorder = journal.create(stream_id, ignore, About())
        append_kibs(recorder, 1000)
        recorder.finish(DONE)
        read(journal, stream_id)
        reader = read(journal, stream_id)
        reset, *rest = reader.ids
        assert reset == "reset"
        assert b'event: reset\ndata: {"oldest": %d}\n\nid: %d\n' % (rest[0], rest[0]) in (
            reader.received
        )
        assert rest == list(range(rest[0], 1002))
        assert 90 * KIB < len(reader.received) < 102 * KIB

    def test_that_a_reader_has_seen_is_not_missed(self, open_journal, stream_id):
        journal = open_journal(history_bytes=100 * KIB)
        recorder = journal.create(stream_id, ignore, About())
        append_kibs(recorder, 1000)
        recorder.finish(DONE)
        read(journal, stream_id)
        assert read(journal, stream_id, after=990).ids == list(range(991, 1002))

    def test_that_goes_while_a_reader_is_slow_is_told_to_it(self, open_journal, stream_id):
        journal = open_journal(history_bytes=20 * KIB)
        recorder = journal.create(stream_id, ignore, About())
        woken = []
        slow = journal.follow(stream_id, 0, lambda: woken.append(True))
        recorder.append(event())
        wait_until(lambda: slow.has_events)
        received = slow.take()
        quick = Reader(journal, stream_id)
        append_kibs(recorder, 1000)
        recorder.finish(DONE)
        wait_until(lambda: quick.is_done)
        while not slow.is_finished:
            wait_until(lambda: slow.has_events or woken)
            woken.clear()
            received += slow.take()
        first, reset, *rest = ids(received)
        assert (first, reset) == (1, "reset")
        assert rest == list(range(rest[0], 1003))
        assert rest[0] > 800

    def test_is_forgotten_so_long_after_the_end(self, open_journal, stream_id):
        journal = open_journal(history_seconds=1)
        recorder = journal.create(stream_id, ignore, About())
        recorder.finish(DONE)
        assert read(journal, stream_id).ids == [1]
        with pytest.raises(UnknownStreamError):
            wait_until(lambda: journal.follow(stream_id, 0, ignore).close())
        with pytest.raises(UnknownStreamError):
            journal.stop(stream_id)

    def test_of_all_streams_is_bounded_until_some_is_forgotten(self, open_journal, stream_id):
        journal = open_journal(total_history_bytes=200 * KIB, history_seconds=1)
        recorder = journal.create(stream_id, ignore, About())
        for _ in range(200):
            recorder.append(event("x" * KIB))

        def create_many():
            for number in range(20):
                journal.create(f"{stream_id}-{number}", ignore, About())

        with pytest.raises(JournalFullError) as refused:
            create_many()
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"]
        recorder.finish(DONE)

        def has_room():
            try:
                return journal.create(f"{stream_id}-last", ignore, About())
            except JournalFullError:
                return None

        wait_until(has_room)

    def test_of_the_client_that_keeps_most_goes_first_when_others_need_room(
        self, open_journal, stream_id
    ):
        journal = open_journal(total_history_bytes=200 * KIB)

        def keep(name, client, kibs):
            recorder = journal.create(f"{stream_id}-{name}", ignore, About(client))
            append_kibs(recorder, kibs)
            recorder.finish(DONE)
            read(journal, f"{stream_id}-{name}")

        keep("modest", "modest", 20)
        for number in range(6):
            keep(f"greedy-{number}", "greedy", 30)
        journal.create(f"{stream_id}-new", ignore, About("new"))
        assert read(journal, f"{stream_id}-modest").ids[-1] == 21
        assert read(journal, f"{stream_id}-greedy-5").ids[-1] == 31
        with pytest.raises(UnknownStreamError):
            journal.follow(f"{stream_id}-greedy-0", 0, ignore)

    def test_of_running_streams_does_not_give_way(self, open_journal, stream_id):
        journal = open_journal(total_history_bytes=200 * KIB)
        recorder = journal.create(stream_id, ignore, About("greedy"))
        append_kibs(recorder, 2000)
        with pytest.raises(JournalFullError):
            journal.create(f"{stream_id}-new", ignore, About("new"))
        recorder.finish(DONE)
        assert read(journal, stream_id).ids[-1] == 2001

    def test_does_not_grow_when_there_is_no_room_in_all(self, open_journal, stream_id):
        journal = open_journal(total_history_bytes=200 * KIB)
        recorder = journal.create(stream_id, ignore, About())
        append_kibs(recorder, 2000)
        recorder.finish(DONE)
        read(journal, stream_id)
        reader = read(journal, stream_id)
        assert reader.ids[0] == "reset"
        assert reader.ids[-1] == 2001
        assert len(reader.received) < 210 * KIB


class TestStop:
    def test_is_told_to_the_producer_once(self, journal, stream_id):
        reasons = []
        recorder = journal.create(stream_id, reasons.append, About())
        journal.stop(stream_id)
        journal.stop(stream_id)
        assert reasons == ["stopped"]
        recorder.finish(b"event: error\ndata: stopped\n\n")
        assert read(journal, stream_id).ids == [1]

    def test_of_a_finished_stream_does_nothing(self, journal, stream_id):
        reasons = []
        journal.create(stream_id, reasons.append, About()).finish(DONE)
        journal.stop(stream_id)
        read(journal, stream_id)
        journal.stop(stream_id)
        assert reasons == []

    def test_of_a_stream_that_never_was_is_unknown(self, journal):
        with pytest.raises(UnknownStreamError):
            journal.stop("never")


class TestAbandonedStream:
    def test_is_asked_to_stop(self, open_journal, stream_id):
        reasons = []
        open_journal(abandon_seconds=0.1).create(stream_id, reasons.append, About())
        wait_until(lambda: reasons == ["abandoned"])

    def test_is_none_that_is_read(self, open_journal, stream_id):
        journal, reasons, others = open_journal(abandon_seconds=1), [], []
        journal.create(stream_id, reasons.append, About())
        reader = journal.follow(stream_id, 0, ignore)
        # One without readers shows that the time is over.
        journal.create(f"{stream_id}-2", others.append, About())
        wait_until(lambda: others)
        assert reasons == []
        reader.close()
        wait_until(lambda: reasons == ["abandoned"])

    def test_is_none_that_is_finished(self, open_journal, stream_id):
        journal, reasons, others = open_journal(abandon_seconds=1), [], []
        journal.create(stream_id, reasons.append, About()).finish(DONE)
        journal.create(f"{stream_id}-2", others.append, About())
        wait_until(lambda: others)
        assert reasons == []


def test_nothing_may_follow_the_terminal_event(finished):
    with pytest.raises(RuntimeError):
        finished.append(event())
    with pytest.raises(RuntimeError):
        finished.finish(DONE)
    assert finished.last_id == 10


def test_a_producer_whose_stop_fails_does_not_hit_who_stops_it(journal, stream_id, caplog):
    def fail(reason):
        raise RuntimeError("a defect")

    journal.create(stream_id, fail, About())
    journal.stop(stream_id)
    assert "RuntimeError: a defect" in caplog.text


def test_a_journal_that_can_be_used_has_no_problem(journal):
    assert journal.problem() is None
