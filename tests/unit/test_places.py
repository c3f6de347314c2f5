"""Which of many greenlets, or threads, gets one of a few connections."""

import threading
from collections.abc import Callable

import gevent
import pytest

from flask_sluice.journal.redis.servers.places import GreenletPlaces, NoPlaceError, places_for
from flask_sluice.journal.turns import GreenletTurns, ThreadTurns
from tests.support.server import wait_until


def run_greenlets(jobs: list[Callable[[], None]]) -> None:
    gevent.joinall([gevent.spawn(job) for job in jobs], timeout=10, raise_error=True)


def run_threads(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)


@pytest.fixture(params=[(GreenletTurns, run_greenlets), (ThreadTurns, run_threads)])
def kind(request):
    turns_class, run = request.param
    return turns_class(), run


def test_a_greenlet_that_needs_a_place_again_waits_behind_those_that_wait():
    turns = GreenletTurns()
    places, had = GreenletPlaces(turns, 1), []

    def job(name: str) -> None:
        for _ in range(3):
            with places.one(10):
                turns.sleep(0.01)
                had.append(name)

    run_greenlets([lambda name=name: job(name) for name in "abc"])
    # Each has had its second place before any has its third, and so its first before any has its second.
    assert sorted(had[:3]) == sorted(had[3:6]) == sorted(had[6:]) == ["a", "b", "c"]


def test_there_are_never_more_than_so_many_at_a_time(kind):
    turns, run = kind
    places, now, most = places_for(turns, 2), [], []

    def job() -> None:
        with places.one(10):
            now.append(None)
            most.append(len(now))
            turns.sleep(0.002)
            now.pop()

    run([job] * 20)
    assert len(most) == 20
    assert max(most) <= 2


def test_one_that_waits_too_long_is_refused_and_leaves_its_place_to_others(kind):
    places = places_for(kind[0], 1)
    with places.one(1), pytest.raises(NoPlaceError), places.one(0.001):
        pass
    with places.one(0.001):
        pass


def test_one_that_is_interrupted_leaves_its_place_to_others():
    places = GreenletPlaces(GreenletTurns(), 1)

    def job() -> None:
        with places.one(10):
            pass

    with places.one(1):
        waiting = gevent.spawn(job)
        wait_until(lambda: gevent.sleep(0) or places._waiting)
        waiting.kill()
        other = gevent.spawn(job)
    other.join(10)
    assert other.ready()
