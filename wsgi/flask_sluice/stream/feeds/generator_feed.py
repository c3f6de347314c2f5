"""The feed of a stream whose events an app's generator yields: it runs in a greenlet of its own."""

import time
from collections.abc import Iterable
from opcode import opmap
from types import FrameType

import gevent

from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.context_variables import variables_for
from flask_sluice.stream.feeds.encode_items import (
    ItemEncoder,
    StreamItem,
    close,
    failure,
    log_unforeseen,
)
from flask_sluice.stream.feeds.event_queue import EventQueue
from flask_sluice.stream.loop.give_way import LONGEST_TURN_SECONDS, EventPacer

_YIELD_FROM = {opmap[name] for name in ("YIELD_FROM", "SEND") if name in opmap}
"""The instruction of a ``yield from``; SEND is that of Python 3.11 and later."""


class GeneratorFeed:
    """Takes a generator's items as there is room, encodes them and puts them into a queue.

    When the stream is stopped, the generator ends wherever it is. One that has not started never will. One that is
    suspended at a ``yield`` is closed there, by its own greenlet. One that waits and listens to its context is told
    by it. One that waits in an iterator which it has to close (see below) ends at its next ``yield``. Any other gets GeneratorExit raised in its wait (in time.sleep(), on a socket, on a queue): the greenlet runs
    nothing but the generator, so the exception hits nothing else. That happens once, and not after the terminal
    event, so that the generator can still save its answer.

    items: yields Event, or text or bytes that are framed events already. The feed is made in the view: the generator gets
        the request's context variables
    queue: bounds how many events wait between the generator and the socket
    encoder: makes events of the items
    interrupt: whether GeneratorExit may be raised in the generator's waits; otherwise it ends at its next ``yield``
    """

    is_event_stream = True

    def __init__(
        self,
        items: Iterable[StreamItem],
        context: StreamContext,
        queue: EventQueue,
        encoder: ItemEncoder,
        *,
        interrupt: bool = True,
    ) -> None:
        self._items = items
        self._queue = queue
        self._context = context
        self._encoder = encoder
        self._variables = variables_for(items)
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self._is_in_generator = False
        if interrupt:
            context.interrupt = self._interrupt
        self.take = queue.take
        self.wait = queue.wait
        self.wake = queue.wake

    @property
    def has_begun(self) -> bool:
        return self._queue.has_events or self._queue.is_finished

    @property
    def has_events(self) -> bool:
        return self._queue.has_events

    @property
    def is_finished(self) -> bool:
        return self._queue.is_finished

    @property
    def error(self) -> Exception | None:
        return self._queue.error

    @property
    def has_terminal_event(self) -> bool:
        return self._encoder.has_terminal_event

    @property
    def event_count(self) -> int:
        return self._queue.event_count

    def start(self) -> None:
        self._greenlet = gevent.Greenlet(self._run)
        self._greenlet.gr_context = self._variables
        self._greenlet.start()

    def stop(self) -> None:
        self._queue.close()
        if self._greenlet is None:
            self._close_items()
        elif not self._queue.is_finished and not self.has_terminal_event:
            self._context.stop_generating()

    def _interrupt(self) -> None:
        # Through the loop, like every wake-up, and checked again there: the wait may be over by then, and what
        # the generator does next must not be hit.
        gevent.get_hub().loop.run_callback(self._interrupt_wait)

    def _interrupt_wait(self) -> None:
        greenlet = self._greenlet
        if greenlet is None or not self._is_in_generator or self.has_terminal_event:
            return
        if not _waits_in_iterator_to_close(greenlet.gr_frame, self._items):
            greenlet.throw(GeneratorExit)

    def _run(self) -> None:
        error: Exception | None = None
        try:
            self._put_all()
        except BaseException as raised:  # noqa: BLE001 - the stream fails with it
            if not (isinstance(raised, GeneratorExit) and self._context.is_stopped):
                error = failure(raised)
                if self._queue.is_closed and not self._context.is_stopped:
                    # The client had left with the terminal event, and the answer could not be saved.
                    log_unforeseen(error, self._context)
        finally:
            self._queue.finish(error)
            self._close_items()

    def _put_all(self) -> None:
        queue = self._queue
        if self._context.is_stopped and not self._context.listens:
            return
        items = iter(self._items)
        encode = self._encoder.encode
        pacer, look_at = EventPacer(), time.monotonic() + LONGEST_TURN_SECONDS
        has_room = False
        while has_room or queue.wait_for_room():
            has_room = False
            self._is_in_generator = True
            try:
                item = next(items)
            except StopIteration:
                break
            finally:
                self._is_in_generator = False
            event = encode(item)
            if event:
                has_room = queue.put(event)
            now = time.monotonic()
            # Once in 5 ms where the generator does not compute: the clock alone is a fiftieth of an event's cost.
            if now >= look_at:
                look_at = pacer.after_item(now)
            if self._context.is_stopped and not self._context.listens:
                return
        else:
            return
        self._encoder.finish()

    def _close_items(self) -> None:
        # The context holds this feed, and the feed the context: both would stay until the next full collection.
        self._context.interrupt = None
        close(self._items, self._context)


def _waits_in_iterator_to_close(frame: FrameType | None, items: object) -> bool:
    """Whether the wait is in an iterator that Python would not close, though it does so when a generator is closed at a ``yield``.

    That is the iterator of a ``yield from``, if it is not a generator: it is closed when GeneratorExit comes from outside, and not
    when it comes out of its own ``__next__``, where an ``except Exception`` does not see it.

    frame: where the generator's greenlet waits
    items: what the feed closes itself
    """
    while frame is not None:
        caller = frame.f_back
        if frame.f_code.co_name == "__next__" and caller is not None:
            iterator = frame.f_locals.get("self")
            is_delegate = caller.f_code.co_code[caller.f_lasti] in _YIELD_FROM
            if is_delegate and iterator is not items and hasattr(iterator, "close"):
                return True
        frame = caller
    return False
