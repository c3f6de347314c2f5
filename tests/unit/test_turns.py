"""Whose turn it is in a store, among threads."""

import os
import random
import signal
import sys
import threading
from contextlib import ExitStack

import pytest

from flask_sluice import Event
from flask_sluice.journal import turns as turns_module
from flask_sluice.journal.turns import ThreadTurns
from tests.support.server import wait_until
from tests.unit.kept_streams import make_streams

pytestmark = pytest.mark.timeout(30)

_SECONDS = 10


class Interrupted(Exception):
    """As Celery's time limit is: raised by the handler of a signal."""


@pytest.fixture
def journals_of_greenlets():
    """These journals run on threads."""


@pytest.fixture
def interrupts():
    """SIGUSR1 raises Interrupted in the main thread."""

    def interrupt(*_):
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("interrupts")
def test_a_turn_is_taken_back_although_a_signal_comes_while_the_caller_waits_for_it():
    turns = ThreadTurns()
    main = threading.get_ident()
    is_taken = threading.Event()

    def waits_for_the_turn():
        frame = sys._current_frames()[main]
        return frame.f_code.co_filename == turns_module.__file__

    def take_and_interrupt():
        with turns:
            is_taken.set()
            wait_until(waits_for_the_turn)
            signal.pthread_kill(main, signal.SIGUSR1)

    def take():
        with turns:
            pass

    def give_away():
        with turns, turns.given_away():
            other.start()
            is_taken.wait()

    other = threading.Thread(target=take_and_interrupt)
    with pytest.raises(Interrupted):
        give_away()
    other.join()
    # It is free, and is given away as before.
    with turns, turns.given_away():
        next_one = threading.Thread(target=take)
        next_one.start()
        next_one.join(_SECONDS)
        assert not next_one.is_alive()


def test_a_child_process_waits_for_no_flag_that_a_thread_of_its_parent_changes(monkeypatch):
    flags = []

    def new_flag(_):
        flags.append(threading.Event())
        return flags[-1]

    monkeypatch.setattr(ThreadTurns, "new_flag", new_flag)
    streams = make_streams()
    with streams.create(), ExitStack() as held:
        for flag in flags:
            held.enter_context(flag._cond)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_SECONDS)
            status = 1
            try:
                with streams.create() as own:
                    own.publish(Event(data="of the child"))
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    streams.close()
    assert status == 0


@pytest.mark.usefixtures("interrupts")
@pytest.mark.slow
@pytest.mark.timeout(60, method="thread")
def test_a_signal_at_any_moment_of_a_program_that_publishes_harms_no_other_stream():
    """As Celery's time limit does, which is an exception too."""
    streams = make_streams()
    # Its moments are random, and a thousand of them find what one in a hundred harms.
    moments = random.Random(7)
    before = signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGUSR1))

    def publish(stream):
        signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-5, 0.004))
        while True:
            stream.publish(Event(data="a"))

    def publish_until_interrupted():
        with streams.create() as stream:
            interrupted.append(stream.id)
            publish(stream)

    interrupted = []
    try:
        for _ in range(1000):
            with pytest.raises(Interrupted):
                publish_until_interrupted()
            assert streams.status(interrupted[-1]).state == "error"
            other = threading.Thread(target=lambda: streams.create().close(), daemon=True)
            other.start()
            other.join(_SECONDS)
            assert not other.is_alive()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        streams.close()
