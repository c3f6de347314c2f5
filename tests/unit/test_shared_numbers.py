"""The numbers that workers share: each is counted once, also where a worker ends or is killed meanwhile."""

import os
import signal

import pytest

from flask_sluice.observe import shared_numbers as module
from flask_sluice.observe.shared_numbers import Numbers, SharedNumbers, encode_count

COUNTS = {"ended": [(("a", "b"), [2.0]), (("c", "d"), [1.0, 3.0])]}
STATES = {"open": [((), [5.0])]}


@pytest.fixture
def shared() -> SharedNumbers:
    return SharedNumbers()


@pytest.fixture
def as_worker(monkeypatch):
    """Makes this process pass for others."""
    return lambda pid: monkeypatch.setattr(module.os, "getpid", lambda: pid)


def counts(shared: SharedNumbers) -> float:
    """All of the first metric's first numbers."""
    everybody = shared.read_all()
    return sum(value[0] for each in everybody for _, value in each.counts.get("ended", ()))


def states(shared: SharedNumbers) -> list[float]:
    return [v[0] for each in shared.read_all() for _, v in each.states.get("open", ())]


def test_what_one_process_publishes_another_reads(shared):
    if os.fork() == 0:
        os._exit(0 if shared.publish(3, COUNTS, STATES) else 1)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    (_, numbers) = shared.read_all()
    assert (numbers.counts, numbers.states) == (COUNTS, STATES)


def test_single_counts_are_added_to_the_last_publication_until_the_next(shared):
    shared.publish(3, COUNTS, STATES)
    for labels in (("a", "b"), ("a", "b"), ("x",)):
        assert shared.add(3, encode_count("ended", labels))
    (_, numbers) = shared.read_all()
    assert dict(numbers.counts["ended"]) == {
        ("a", "b"): [4.0],
        ("c", "d"): [1.0, 3.0],
        ("x",): [1.0],
    }
    shared.publish(3, COUNTS, STATES)
    (_, numbers) = shared.read_all()
    assert numbers.counts == COUNTS


def test_single_counts_of_a_worker_that_was_killed_stay(shared, as_worker):
    if os.fork() == 0:
        shared.publish(0, COUNTS, STATES)
        shared.add(0, encode_count("ended", ("a", "b")))
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    shared.retire(0)
    as_worker(1)
    shared.publish(0, COUNTS, STATES)
    assert counts(shared) == 4 + 3


def test_a_single_count_needs_a_publication_and_room(shared):
    count = encode_count("ended", ("a" * 1000,))
    assert not shared.add(0, count)
    assert not shared.add(10_000, count)
    shared.publish(0, COUNTS, STATES)
    added = 0
    while shared.add(0, count):
        added += 1
    assert 100 < added < 1000
    (_, numbers) = shared.read_all()
    assert dict(numbers.counts["ended"])["a" * 1000,] == [added]


def test_the_counts_of_workers_that_have_ended_stay_and_their_states_do_not(shared, as_worker):
    for pid in range(100, 300):
        as_worker(pid)
        shared.publish(0, COUNTS, STATES)
        shared.retire(0)
    as_worker(1)
    shared.publish(0, COUNTS, STATES)
    assert counts(shared) == 201 * 3
    assert states(shared) == [5.0]


def test_a_worker_is_counted_once_while_it_is_retired(shared, monkeypatch):
    """The reader has its numbers when the master adds them to those of its predecessors."""
    shared.publish(0, COUNTS, STATES)
    read = SharedNumbers._read

    def read_late(self: SharedNumbers, slot: int) -> Numbers | None:
        if slot == 0:
            monkeypatch.setattr(SharedNumbers, "_read", read)
            shared.retire(0)
        return read(self, slot)

    monkeypatch.setattr(SharedNumbers, "_read", read_late)
    assert counts(shared) == 3


def test_a_worker_without_numbers_is_retired(shared):
    shared.retire(7)
    shared.retire(100_000)
    assert counts(shared) == 0


@pytest.mark.parametrize("worker", [0, 100_000])
def test_numbers_without_room_are_refused_and_the_last_ones_stay(shared, worker):
    before = shared.publish(worker, COUNTS, STATES)
    assert before == (worker == 0)
    many = {"ended": [((str(number), "x" * 100), [1.0]) for number in range(10_000)]}
    assert not shared.publish(worker, many, {})
    assert counts(shared) == (3 if worker == 0 else 0)
