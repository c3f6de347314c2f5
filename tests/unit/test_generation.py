"""Answers that are generated into a journal."""

import json
import time
from functools import partial

import gevent
import pytest

from flask_sluice.journal import About, JournalFullError, JournalLostError, Limits
from flask_sluice.journal.memory import MemoryStore
from flask_sluice.journal.producing.generation import Generation
from flask_sluice.journal.turns import GreenletTurns
from flask_sluice.observe.outcome import Outcome
from flask_sluice.sse import EventParser
from flask_sluice.stream import registry
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, CutError
from flask_sluice.stream.feeds.encode_items import ItemEncoder
from flask_sluice.stream.feeds.event_queue import EventQueue
from flask_sluice.stream.feeds.generator_feed import GeneratorFeed
from flask_sluice.stream.headers_and_errors import error_for_event_source
from flask_sluice.stream.options import StreamOptions
from tests.unit.greenlets import TINY_SECONDS, wait_until
from tests.unit.journals import ignore
from tests.unit.streams import FOREVER_SECONDS, A, B

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


class Answer:
    """Keeps every event; the answer is over with B, or whole without it if ``has_finish_reason``."""

    def __init__(self, *, has_finish_reason=False, raises=None):
        self.is_over = False
        self.error = None
        self.has_finish_reason = has_finish_reason
        self._raises = raises

    def read(self, events):
        if self._raises is not None:
            raise self._raises
        self.is_over = events.endswith(B)
        return [events[: -len(B)] if self.is_over else events]

    def terminal_event(self):
        return b"event: done\ndata: {}\n\n"


@pytest.fixture
def journal():
    store = MemoryStore(Limits(), GreenletTurns())
    yield store
    store.close()


class Run:
    """Starts a generation, and reads what has become of it."""

    def __init__(self, journal, items, answer=None, **options):
        self.journal = journal
        self.context = StreamContext()
        self.ends = []
        settled = StreamOptions(keepalive_seconds=0, **options)
        self.generation = Generation(
            GeneratorFeed(items, self.context, EventQueue(settled.channel_size), ItemEncoder()),
            self.context,
            settled,
            answer or Answer(),
            render_error=partial(error_for_event_source, may_resume=False),
            on_end=lambda: self.ends.append(self.context.outcome),
        )
        self.generation.start(journal, "a", About())

    @property
    def stored(self):
        wait_until(lambda: self.ends)
        return self.journal.follow("a", 0, ignore).take()

    @property
    def events(self):
        """Its events when it is over; of an error event the code."""
        received = EventParser().feed(self.stored)
        return [
            json.loads(event.data)["error"]["code"] if event.event == "error" else event.event
            for event in received
        ]


def forever(*items):
    yield from items
    gevent.sleep(FOREVER_SECONDS)


def test_an_answer_is_kept_with_its_end_and_nothing_else_is_left(journal):
    run = Run(journal, iter([A, A + B]))
    assert run.events == ["message", "message", "done"]
    assert run.ends == [Outcome.COMPLETE]


def test_an_answer_that_says_that_it_is_whole_needs_no_terminal_event(journal):
    run = Run(journal, iter([A]), Answer(has_finish_reason=True))
    assert run.events == ["message", "done"]
    assert run.ends == [Outcome.COMPLETE]


def cut():
    yield A
    raise CutError("the upstream is gone")


def test_many_events_at_once_leave_others_their_turn(journal):
    class ManyEvents(Answer):
        def read(self, events):
            return super().read(events) * 10

    turns = set()

    def write_slowly():
        """As many readers together are slow."""
        turns.add(gevent.get_hub().loop.iteration)
        time.sleep(0.006)

    run = Run(journal, iter([A, B]), ManyEvents())
    follower = journal.follow("a", 0, write_slowly)
    assert run.events.count("message") == 10
    follower.close()
    assert len(turns) >= 10


@pytest.mark.parametrize("items", [lambda: iter([A]), cut])
def test_an_answer_that_breaks_off_ends_with_an_error(journal, items):
    run = Run(journal, items())
    assert run.events == ["message", "upstream_truncated"]
    assert run.ends == [Outcome.ERROR]


def test_an_answer_that_is_stopped_ends_at_once(journal):
    run = Run(journal, forever(A))
    journal.stop("a")
    assert run.events[-1] == "stopped"
    assert run.ends == [Outcome.CANCELLED]


def test_a_draining_worker_ends_an_answer_at_once(journal):
    run = Run(journal, forever(A))
    run.generation.on_drain()
    assert run.events[-1] == "draining"


def test_readers_of_an_answer_that_drain_has_ended_are_not_asked_to_come_back(journal):
    run = Run(journal, forever(A))
    run.generation.on_drain()
    assert run.events[-1] == "draining"
    assert b"retry:" not in run.stored


def test_an_answer_that_says_nothing_for_too_long_ends_with_an_error(journal):
    run = Run(journal, forever(A), idle_timeout_seconds=TINY_SECONDS)
    assert run.events == ["message", "upstream_timeout"]


@pytest.mark.parametrize(
    ("defect", "code"),
    [
        (ApiError(502, "upstream_invalid", "x"), "upstream_invalid"),
        (ValueError(), "internal_error"),
    ],
)
def test_an_answer_that_cannot_be_read_ends_with_an_error_and_not_never(
    journal, caplog, defect, code
):
    run = Run(journal, forever(A), Answer(raises=defect))
    assert run.events == [code]
    assert run.ends == [Outcome.ERROR]
    assert "recording failed" in caplog.text


def test_a_stream_that_is_lost_stops_its_generation(journal, caplog):
    run = Run(journal, forever(A), Answer(raises=JournalLostError("ended by others")))
    wait_until(lambda: run.ends)
    assert run.ends == [Outcome.ERROR]
    assert "journal lost" in caplog.text


def test_a_generation_that_the_journal_refuses_gives_its_place_back():
    full = MemoryStore(Limits(total_history_bytes=1), GreenletTurns())
    full.create("another", ignore, About())
    with pytest.raises(JournalFullError):
        Run(full, forever(A))
    assert registry.admission().count == 0
