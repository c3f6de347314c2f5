"""The journal in memory: exact times, which only it can show, and the cost of an event."""

import subprocess
import sys
import textwrap
import time

import pytest

from flask_sluice.journal import About, JournalFullError, Limits, UnknownStreamError
from flask_sluice.journal.budget import STREAM_BYTES
from flask_sluice.journal.memory import MemoryStore
from flask_sluice.journal.turns import GreenletTurns
from tests.unit.greenlets import run_all
from tests.unit.journals import DONE, Clock, Reader, event, ids, ignore


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def journal(clock):
    journal = MemoryStore(Limits(history_seconds=300, abandon_seconds=60), GreenletTurns(), clock)
    yield journal
    journal.close()


def pass_time(journal, clock, seconds):
    clock.now += seconds
    journal.tick()


def test_a_stream_is_abandoned_after_exactly_so_long_without_a_reader(journal, clock):
    reasons = []
    journal.create("a", reasons.append, About())
    pass_time(journal, clock, 59.9)
    assert reasons == []
    pass_time(journal, clock, 0.1)
    assert reasons == ["abandoned"]
    pass_time(journal, clock, 1000)
    assert reasons == ["abandoned"]


def test_the_time_without_a_reader_counts_from_when_the_last_one_left(journal, clock):
    reasons = []
    journal.create("a", reasons.append, About())
    readers = [journal.follow("a", 0, ignore) for _ in range(2)]
    pass_time(journal, clock, 1000)
    readers[0].close()
    pass_time(journal, clock, 1000)
    readers[1].close()
    pass_time(journal, clock, 59)
    journal.follow("a", 0, ignore).close()
    pass_time(journal, clock, 59)
    assert reasons == []
    pass_time(journal, clock, 1)
    assert reasons == ["abandoned"]


def test_zero_seconds_let_a_stream_go_on_without_readers(clock):
    journal, reasons = MemoryStore(Limits(abandon_seconds=0), GreenletTurns(), clock), []
    journal.create("a", reasons.append, About())
    journal.follow("a", 0, ignore).close()
    pass_time(journal, clock, 1e9)
    assert reasons == []


def test_a_stream_is_forgotten_exactly_so_long_after_its_end(journal, clock):
    journal.create("a", ignore, About()).finish(DONE)
    pass_time(journal, clock, 299.9)
    journal.follow("a", 0, ignore).close()
    pass_time(journal, clock, 0.1)
    with pytest.raises(UnknownStreamError):
        journal.follow("a", 0, ignore)


def test_a_reader_of_a_forgotten_stream_still_gets_the_rest(journal, clock):
    journal.create("a", ignore, About()).finish(DONE)
    follower = journal.follow("a", 0, ignore)
    pass_time(journal, clock, 300)
    assert ids(follower.take()) == [1]
    follower.close()


def test_a_forgotten_stream_makes_room_for_others(clock):
    journal = MemoryStore(
        Limits(total_history_bytes=STREAM_BYTES, history_seconds=1), GreenletTurns(), clock
    )
    recorder = journal.create("a", ignore, About())
    with pytest.raises(JournalFullError):
        journal.create("b", ignore, About())
    recorder.finish(DONE)
    pass_time(journal, clock, 1)
    journal.create("b", ignore, About())


def test_a_reader_of_a_stream_that_gave_way_is_told_so_and_gets_the_end(clock):
    journal = MemoryStore(Limits(total_history_bytes=80_000), GreenletTurns(), clock)
    recorder = journal.create("a", ignore, About("greedy"))
    for _ in range(3):
        recorder.append(event("x" * 10_000))
    recorder.finish(DONE)
    follower = journal.follow("a", 0, ignore)
    for number in range(4):
        journal.create(f"new-{number}", ignore, About("new"))
    assert ids(follower.take()) == ["reset", 4]
    follower.close()


def test_running_streams_stay_within_the_limit_in_all(clock):
    journal = MemoryStore(Limits(total_history_bytes=200_000), GreenletTurns(), clock)
    recorders = [journal.create(f"{number}", ignore, About()) for number in range(9)]
    with pytest.raises(JournalFullError):
        journal.create("more", ignore, About())
    for _ in range(100):
        for recorder in recorders:
            recorder.append(event("x" * 1000))
    kept = sum(recorder.window.byte_count + STREAM_BYTES for recorder in recorders)
    assert kept <= 200_000


def test_nothing_is_counted_of_what_is_forgotten(clock):
    journal = MemoryStore(
        Limits(total_history_bytes=40_000, history_seconds=1), GreenletTurns(), clock
    )
    for _ in range(20):
        recorder = journal.create("a", ignore, About())
        for _ in range(10):
            recorder.append(event("x" * 1000))
        recorder.finish(DONE)
        assert len(ids(journal.follow("a", 0, ignore).take())) == 11
        pass_time(journal, clock, 1)


def test_a_woken_reader_may_take_at_once(journal):
    recorder = journal.create("a", ignore, About())
    taken = []
    follower = journal.follow("a", 0, lambda: taken.append(follower.take()))
    recorder.append(event("1"))
    recorder.append(event("2"))
    recorder.finish(DONE)
    assert taken[0] == b"id: 1\ndata: 1\n\n"
    assert ids(b"".join(taken)) == [1, 2, 3]
    assert follower.is_finished


def test_history_gives_way_event_by_event(clock):
    journal = MemoryStore(Limits(history_bytes=100), GreenletTurns(), clock)
    recorder = journal.create("a", ignore, About())
    for number in range(1, 50):
        recorder.append(b"data: 12345678\n\n")  # 22 bytes with a number of one digit, 23 with two.
        oldest = max(1, number - 3)
        reset = ["reset"] if oldest > 1 else []
        received = journal.follow("a", 0, ignore).take()
        assert ids(received) == [*reset, *range(oldest, number + 1)]


def test_the_last_event_stays_however_large_it_is(clock):
    journal = MemoryStore(Limits(history_bytes=100), GreenletTurns(), clock)
    recorder = journal.create("a", ignore, About())
    recorder.append(event())
    recorder.append(event("x" * 1000))
    assert ids(journal.follow("a", 1, ignore).take()) == [2]


def best_seconds_to_take_ten(journal, stream_id, last_id):
    """Return the best of many times, since other programs on the machine only add to a time."""
    best = 1.0
    for _ in range(100):
        started_at = time.perf_counter()
        follower = journal.follow(stream_id, last_id - 10, ignore)
        events = follower.take()
        best = min(best, time.perf_counter() - started_at)
        assert events.startswith(b"id: %d\n" % (last_id - 9))
        follower.close()
    return best


@pytest.mark.slow
def test_a_million_events_are_not_scanned_to_find_one(journal):
    short, long = journal.create("short", ignore, About()), journal.create("long", ignore, About())
    for recorder, count in ((short, 100), (long, 1_000_000)):
        append, event_ = recorder.append, event()
        for _ in range(count):
            append(event_)
    # A scan would take some thousand times as long: a fifth of the million is still kept.
    assert len(journal.follow("long", 800_000, ignore).take()) > 1_000_000 / 5
    assert best_seconds_to_take_ten(journal, "long", 1_000_000) < (
        20 * best_seconds_to_take_ten(journal, "short", 100)
    )


def test_a_reader_costs_nothing_when_it_has_left(journal):
    recorder = journal.create("a", ignore, About())
    woken = []
    for _ in range(100):
        journal.follow("a", 0, lambda: woken.append(True)).close()
    recorder.append(event())
    assert woken == []


def test_readers_are_woken_once_for_an_event(journal):
    recorder = journal.create("a", ignore, About())
    readers = [Reader(journal, "a") for _ in range(3)]
    run_all()
    recorder.append(event())
    run_all()
    assert [len(reader.takes) for reader in readers] == [1, 1, 1]
    for reader in readers:
        reader.leave()


def test_a_child_process_has_no_streams_of_its_parent_and_keeps_its_own():
    """With gunicorn's preload_app the journal is made, and may be used, before the fork."""
    program = """
        from gevent import monkey; monkey.patch_all()
        import os, gevent
        from gevent.event import AsyncResult
        from flask_sluice.journal import About, Limits, MemoryJournal, UnknownStreamError

        journal, reason_in_parent, reason = MemoryJournal(Limits(abandon_seconds=0.1)), AsyncResult(), AsyncResult()
        journal.create("of the parent", reason_in_parent.set, About())
        gevent.sleep(0)
        if child := os.fork():
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert reason_in_parent.get(timeout=20) == "abandoned"
        else:
            for act in (lambda: journal.follow("of the parent", 0, print), lambda: journal.stop("of the parent")):
                try:
                    act()
                except UnknownStreamError:
                    pass
                else:
                    os._exit(1)
            journal.create("of the child", reason.set, About())
            os._exit(reason.get(timeout=20) != "abandoned")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)
