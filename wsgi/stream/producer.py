"""Runs a stream's generator in a greenlet of its own."""

import logging
from collections.abc import Iterable

import gevent

from wsgi.errors import ApiError
from wsgi.sse import Annotated, Event, EventError
from wsgi.stream.channel import Channel
from wsgi.stream.context import StreamContext

logger = logging.getLogger("sluice.stream")

StreamItem = Event | Annotated | bytes


class Producer:
    """Takes the generator's items as there is room, encodes them and puts them into the channel.

    items: yields Event, Annotated, or bytes that are events already
    """

    __slots__ = ("_channel", "_context", "_greenlet", "_is_asking", "_items")

    def __init__(
        self, items: Iterable[StreamItem], channel: Channel, context: StreamContext
    ) -> None:
        self._items = items
        self._channel = channel
        self._context = context
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self._is_asking = False

    @property
    def is_started(self) -> bool:
        return self._greenlet is not None

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """The reader is gone: the generator ends, wherever it is. Does not wait for that.

        One that never started never will. One that is suspended at a ``yield`` is closed there, by the
        greenlet itself. One that waits for something and listens to its context hears of it. Any other
        has GeneratorExit raised in its wait (that of time.sleep(), a socket, a queue): nothing runs in
        this greenlet but the generator, so nothing else is hit; and only this once, so that its
        ``finally`` clauses may wait, too.
        """
        self._channel.close()
        if self._greenlet is None:
            self._close_items()
        elif not self._greenlet.dead:
            self._context.stop_generating()
            if self._is_asking and not self._context.listens:
                self._greenlet.kill(GeneratorExit, block=False)

    def _run(self) -> None:
        # What the reader gets if the generator dies of something that is no Exception (GreenletExit).
        error: Exception | None = RuntimeError("the generator was killed")
        try:
            self._put_all()
            error = None
        except GeneratorExit:
            # Raised by stop(): nobody is there to be told.
            pass
        except (ApiError, EventError) as refused:
            error = refused
        except Exception as raised:
            error = raised
            logger.exception("the generator failed request_id=%s", self._context.request_id)
        finally:
            self._channel.finish(error)
            self._close_items()

    def _put_all(self) -> None:
        channel = self._channel
        items = iter(self._items)
        while channel.wait_for_room():
            self._is_asking = True
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self._is_asking = False
            event = _encode(item)
            if event:
                channel.put(event)
            if self._context.is_stopped and not self._context.listens:
                return

    def _close_items(self) -> None:
        close = getattr(self._items, "close", None)
        if close is not None:
            try:
                close()
            except Exception:
                logger.exception(
                    "closing the generator failed request_id=%s", self._context.request_id
                )


def _encode(item: StreamItem) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, Event | Annotated):
        return item.encode()
    raise TypeError(
        f"a stream's generator yields Event, Annotated or bytes, not {type(item).__name__}; "
        "Event(data=text) sends text, Annotated(data=value) sends JSON"
    )
