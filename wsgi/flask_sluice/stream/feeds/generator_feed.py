"""The feed of a stream that a generator pushes: it runs in a greenlet of its own."""

from collections.abc import Iterable

import gevent

from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.encode_items import StreamItem, close, encode, failure
from flask_sluice.stream.feeds.event_queue import EventQueue
from flask_sluice.stream.feeds.terminal_event import TerminalEventFinder


class GeneratorFeed:
    """Takes a generator's items as there is room, encodes them and puts them into a channel.

    When the stream is stopped the generator ends, wherever it is. One that never started never will. One that
    is suspended at a ``yield`` is closed there, by the greenlet itself. One that waits and listens to its
    context hears of it. Any other has GeneratorExit raised in its wait (in time.sleep(), on a socket, on a
    queue): nothing runs in this greenlet but the generator, so nothing else is hit. That happens once,
    and not after the terminal event, so that what comes after it (saving the answer, say) is done.

    items: yields Event, Annotated, or bytes that are events already
    channel: bounds how many events wait between the generator and the socket
    """

    is_event_stream = True

    def __init__(
        self, items: Iterable[StreamItem], context: StreamContext, channel: EventQueue
    ) -> None:
        self._items = items
        self._channel = channel
        self._context = context
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self._is_asking = False
        self.has_terminal_event = False
        context.interrupt = self._interrupt
        self.take = self._channel.take
        self.wait = self._channel.wait
        self.wake = self._channel.wake

    @property
    def has_begun(self) -> bool:
        return self._channel.has_events or self._channel.is_finished

    @property
    def has_events(self) -> bool:
        return self._channel.has_events

    @property
    def is_finished(self) -> bool:
        return self._channel.is_finished

    @property
    def error(self) -> Exception | None:
        return self._channel.error

    @property
    def event_count(self) -> int:
        return self._channel.event_count

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        self._channel.close()
        if self._greenlet is None:
            self._close_items()
        elif not self._channel.is_finished and not self.has_terminal_event:
            self._context.stop_generating()

    def _interrupt(self) -> None:
        # Not at once but through the loop, like every wake-up, and asked again there: the wait may be over by
        # then, and what the generator does next is not to be hit.
        gevent.get_hub().loop.run_callback(self._interrupt_wait)

    def _interrupt_wait(self) -> None:
        if self._is_asking and self._greenlet is not None and not self.has_terminal_event:
            self._greenlet.throw(GeneratorExit)

    def _run(self) -> None:
        error: Exception | None = None
        try:
            self._put_all()
        except BaseException as raised:  # noqa: BLE001 - what is not foreseen is logged by ``failure``
            if not (isinstance(raised, GeneratorExit) and self._context.is_stopped):
                error = failure(raised, self._context)
        finally:
            self._channel.finish(error)
            self._close_items()

    def _put_all(self) -> None:
        channel = self._channel
        items = iter(self._items)
        finder = TerminalEventFinder()
        while channel.wait_for_room():
            self._is_asking = True
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self._is_asking = False
            event = encode(item)
            if event:
                self.has_terminal_event = finder.sees(item)
                channel.put(event)
            if self._context.is_stopped and not self._context.listens:
                return

    def _close_items(self) -> None:
        # The context holds it, and it the context: both would stay until the next full collection.
        self._context.interrupt = None
        close(self._items, self._context)
