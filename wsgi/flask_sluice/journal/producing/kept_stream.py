"""A stream that is kept, for a program that publishes its events one by one."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from flask_sluice.journal.errors import PRODUCER_LOST
from flask_sluice.journal.producing.app_events import AppEvents
from flask_sluice.journal.protocol import About, Journal, wait_for_room
from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream.accounting import StreamAccount
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import STOPPED, ApiError, draining
from flask_sluice.stream.feeds.encode_items import ItemEncoder, StreamItem, failure
from flask_sluice.stream.headers_and_errors import RenderError
from flask_sluice.stream.threads.open_streams import open_streams

logger = logging.getLogger("sluice.stream")

ABANDONED = ApiError(503, "stopped", "the answer was stopped: nobody was reading it")
_STOP_ERRORS = {"stopped": STOPPED, "abandoned": ABANDONED, "lost": PRODUCER_LOST}

_LOOK_SECONDS = 0.002
_STORE_SECONDS = 5.0
"""How long the end of a stream waits for the store to have all of it."""
_DRAIN_SECONDS = 0.5
"""How long a program that ends may go on with its stream. Less than the process waits for its streams."""


class KeptStream(AbstractContextManager["KeptStream"]):
    """A stream that runs until its ``with`` ends. Its methods may be called by any thread.

    The end of the ``with`` is the stream's terminal event, and returns when the store has it. An exception that leaves the
    ``with`` becomes the stream's error event. If the process is killed, readers are told ``producer_lost`` within 10 s.

    If it ends by itself before the ``with``, the stream ends with an error event that says so.

    id: for readers; impossible to guess
    ends_at_stop: whether a stop ends the stream, unless its producer listens to the context and ends it itself
    """

    is_saving = False

    def __init__(
        self,
        journal: Journal,
        stream_id: str,
        *,
        encoder: ItemEncoder,
        events: AppEvents,
        context: StreamContext,
        render_error: RenderError,
        on_end: Callable[[], None],
        ends_at_stop: bool = False,
    ) -> None:
        self.id = stream_id
        self._ends_at_stop = ends_at_stop
        self._turns = journal.turns
        # Which is released when nothing refers to it any more.
        self._journal = journal
        self._encoder = encoder
        self._events = events
        context.use_threads()
        self._context = context
        self._render_error = render_error
        self._on_end = on_end
        self._account = StreamAccount(context, has_response=False)
        self._stop_error: ApiError | None = None
        self._is_ended = False
        self._pid = os.getpid()

    def begin(self, about: About) -> None:
        """Begin the stream. Raises what ``Journal.create`` raises."""
        if self._context.is_taken:
            raise RuntimeError("a StreamContext is for one stream; make another")
        self._context.is_taken = True
        with open_streams().lock:
            self._account.open(self, time.monotonic())
        try:
            self._recorder = self._journal.create(self.id, self._stop, about)
        except BaseException:
            with open_streams().lock:
                self._account.withdraw(self)
            raise
        open_streams().add(self)

    @property
    def is_stopped(self) -> bool:
        """Whether the stream is to end: its owner asked for it, or it had no reader for ``abandon_seconds``."""
        return self._context.is_stopped

    @property
    def is_over(self) -> bool:
        """Whether nothing can be published any more."""
        return self.has_terminal_event or self._is_ended

    @property
    def has_terminal_event(self) -> bool:
        """Whether the program has published it, and so completed the stream."""
        return self._events.is_over

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for ``seconds``, None: without a limit. Returns True at once when the stream is stopped, else False."""
        return self._context.wait(seconds)

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called once, in another thread, when the stream is stopped; at once if it is stopped already."""
        self._context.on_stop(callback)

    def publish(self, item: StreamItem) -> None:
        """Publish an event, which readers have within 50 ms: an ``Event``, or text or bytes that are framed events already.

        Waits where the store takes events more slowly than they are published. The terminal event (``event: done``,
        ``data: [DONE]``, or what ``is_terminal`` tells) ends the stream.

        Raises TypeError for an item of another type, ValueError for text that is no event and for an event with an id,
        RuntimeError after the end and in a child process, JournalLostError when the stream cannot go on: Redis took no events for too long, or
        other processes took this one for dead.
        """
        if os.getpid() != self._pid:
            raise RuntimeError(
                "a stream is published by the process that has begun it: begin one in this process, after the fork"
            )
        if self.is_over:
            raise RuntimeError("the stream has ended: nothing may follow its terminal event")
        with self._turns:
            for event in self._events.read(self._encoder.encode(item)):
                wait_for_room(self._recorder, self._turns)
                self._recorder.append(event)
                self._note_event()
        if self._events.is_over:
            self._end(None)

    def close(self, error: BaseException | None = None) -> None:
        """End the stream: with an error event, if there is an error. Only the first call counts.

        Does nothing in a child process, whose parent's the stream is.
        """
        if os.getpid() != self._pid:
            return
        if error is None and not self._is_ended:
            try:
                self._encoder.finish()
            except ValueError as unfinished:
                self._end(unfinished)
                raise
        self._end(error or self._stop_error)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(error)

    # What ends it early. Any thread or the hub calls these.

    def on_drain(self) -> None:
        """The process ends."""
        self._end_early(draining())
        self._turns.start(self._end_with_process)

    def _end_with_process(self) -> None:
        """End the stream in place of a program that does not."""
        ends_at = time.monotonic() + _DRAIN_SECONDS
        while not self._is_ended and time.monotonic() < ends_at:
            time.sleep(_LOOK_SECONDS)
        self._end(self._stop_error)

    def _stop(self, reason: str) -> None:
        self._end_early(_STOP_ERRORS[reason])

    def _end_early(self, error: ApiError) -> None:
        self._stop_error = self._stop_error or error
        # Not here, in the journal's turn: a callback of the app may block.
        self._turns.start(self._stop_generating)

    def _stop_generating(self) -> None:
        self._context.stop_generating()
        if self._ends_at_stop and not self._context.listens:
            self._end(self._stop_error)

    # The end.

    def _note_event(self) -> None:
        written = self._account.written
        if written.first_event_at is None:
            written.first_event_at = time.monotonic()

    def _end(self, error: BaseException | None) -> None:
        with self._turns:
            if self._is_ended:
                return
            self._is_ended = True
            # First: a reader that has the end may have its owner begin the next stream at once.
            self._on_end()
        terminal_event = self._terminal_event(error)
        try:
            with self._turns:
                # Of a stream that is lost, others tell the readers.
                self._recorder.finish(terminal_event)
                self._wait_until_stored()
        finally:
            self._leave()

    def _terminal_event(self, error: BaseException | None) -> bytes:
        """Note how the stream ended, and return what tells the readers."""
        if error is None:
            self._context.outcome = Outcome.COMPLETE
            return self._events.terminal_event()
        told = failure(error)
        was_stopped = told is self._stop_error and told is not PRODUCER_LOST
        self._context.outcome = Outcome.CANCELLED if was_stopped else Outcome.ERROR
        self._account.error = told
        return self._render_error(told)

    def _wait_until_stored(self) -> None:
        ends_at = time.monotonic() + _STORE_SECONDS
        while not self._recorder.is_stored:
            if time.monotonic() >= ends_at:
                logger.warning(
                    "Redis has not taken the end of a stream within %g s; it is lost if the process ends now stream_id=%s",
                    _STORE_SECONDS,
                    self.id,
                )
                return
            self._turns.sleep(_LOOK_SECONDS)

    def _leave(self) -> None:
        open_streams().discard(self)
        with open_streams().lock:
            end = self._account.settle(self, events=self._recorder.last_id, reason=None)
        # It may block, and would hold up all other streams.
        self._account.report(end, "generation ended")
