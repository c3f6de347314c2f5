"""Greenlets that are used again."""

import gevent
import pytest
from gevent.event import Event as Flag

from flask_sluice.stream.loop.greenlet_pool import GreenletPool
from tests.unit.greenlets import run_all, wait_until


class Job:
    """Waits until it may end; notes how it did."""

    def __init__(self) -> None:
        self.may_end = Flag()
        self.greenlet = None
        self.ended = ""

    def __call__(self) -> None:
        self.greenlet = gevent.getcurrent()
        try:
            self.may_end.wait()
            self.ended = "by itself"
        except GeneratorExit:
            self.ended = "interrupted"
            raise


@pytest.fixture
def helpers() -> GreenletPool:
    return GreenletPool()


def test_jobs_run_side_by_side(helpers):
    first, second = Job(), Job()
    helpers.start(first)
    helpers.start(second)
    run_all()
    second.may_end.set()
    wait_until(lambda: second.ended)
    assert not first.ended
    first.may_end.set()
    wait_until(lambda: first.ended)


def test_the_greenlet_of_a_job_that_is_done_does_the_next(helpers):
    first, second = Job(), Job()
    for job in (first, second):
        job.may_end.set()
        helpers.start(job)
        wait_until(lambda job=job: job.ended)
    assert first.greenlet is second.greenlet


def test_a_job_is_interrupted_where_it_waits(helpers):
    job = Job()
    helper = helpers.start(job)
    run_all()
    helper.interrupt(job)
    wait_until(lambda: job.ended == "interrupted")


def test_a_job_is_interrupted_that_has_not_begun(helpers):
    job = Job()
    helpers.start(job).interrupt(job)
    wait_until(lambda: job.ended == "interrupted")


def test_the_greenlet_of_an_interrupted_job_does_the_next(helpers):
    first, second = Job(), Job()
    helpers.start(first).interrupt(first)
    wait_until(lambda: first.ended)
    second.may_end.set()
    helpers.start(second)
    wait_until(lambda: second.ended == "by itself")
    assert first.greenlet is second.greenlet


def test_an_interrupt_that_comes_too_late_does_not_hit_the_next_job(helpers):
    first, second = Job(), Job()
    helper = helpers.start(first)
    first.may_end.set()
    wait_until(lambda: first.ended)
    assert helpers.start(second) is helper
    helper.interrupt(first)
    run_all()
    assert not second.ended
    second.may_end.set()
    wait_until(lambda: second.ended == "by itself")


def test_a_burst_of_jobs_leaves_few_greenlets(helpers):
    jobs = [Job() for _ in range(200)]
    for job in jobs:
        job.may_end.set()
        helpers.start(job)
    wait_until(lambda: all(job.ended for job in jobs))
    run_all()
    assert sum(not job.greenlet.dead for job in jobs) <= 64
