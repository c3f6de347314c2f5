"""The thread of a generator, and the bounded queue between it and the request's thread."""

import threading
from collections.abc import Iterable
from typing import Any

from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.encode_items import ItemEncoder, StreamItem, close, failure
from flask_sluice.stream.threads.flask_contexts import RequestVariables


class GeneratorThread:
    """Takes a generator's items as there is room, and makes events of them.

    When its reader is gone the generator ends at its next ``yield``, but for one that saves its answer, after the terminal
    event: that goes on to its end. It holds nothing of its reader, whose body may be dropped.

    variables: the generator, and the context variables with which it runs
    encoder: makes events of its items
    size: how many events may wait
    is_in_step: whether the generator is asked for an event only when its reader waits for one
    change: guards the attributes, and is notified of each change
    events: those that wait
    event_count: how many there were
    is_finished: whether the generator is done; ``error`` says why, if it failed
    has_left: whether the client has left
    """

    def __init__(
        self,
        variables: RequestVariables,
        context: StreamContext,
        encoder: ItemEncoder,
        size: int,
        *,
        is_in_step: bool,
    ) -> None:
        self.change = threading.Condition()
        self.events: list[bytes] = []
        self.event_count = 0
        self.is_finished = False
        self.error: Exception | None = None
        self.has_left = False
        self._variables = variables
        self._context = context
        self._encoder = encoder
        self._size = 1 if is_in_step else size
        self._is_in_step = is_in_step
        self._is_asked = False
        self._is_closed = False
        self._is_exhausted = False
        """Whether the generator has come to its own end."""
        self._thread: threading.Thread | None = None

    @property
    def has_started(self) -> bool:
        return self._thread is not None

    @property
    def has_terminal_event(self) -> bool:
        return self._encoder.has_terminal_event

    def start(self) -> None:
        self._thread = threading.Thread(
            target=self._variables.enter().run,
            args=(self._run,),
            name="sluice-generator",
            # One that waits for ever must not keep the process from ending.
            daemon=True,
        )
        self._thread.start()

    def ask(self) -> None:
        """Say that the reader waits for an event. To be called with ``change`` held."""
        if self._is_in_step:
            self._is_asked = True
            self.change.notify_all()

    def take(self) -> bytes:
        """Return all events that wait, b"" if none does. To be called with ``change`` held."""
        events = b"".join(self.events)
        self.events.clear()
        self._is_asked = False
        self.change.notify_all()
        return events

    def mark_left(self) -> None:
        """The client has left. Any thread may call this."""
        with self.change:
            self.has_left = True
            self.change.notify_all()

    def leave_contexts(self) -> None:
        """Pop Flask's contexts, which the generator may have, if it is done. For the request's thread."""
        if self.is_finished:
            self._variables.leave(self._end())

    def close(self) -> None:
        """The reader is gone: end the generator, which waits for its end where that is a part of the request."""
        with self.change:
            self._is_closed = True
            self.change.notify_all()
        if self._thread is None:
            close(self._variables.items, self._context)
            self._variables.leave(self._end())
            return
        if not (self.is_finished or self.has_terminal_event):
            self._context.stop_generating()
        is_awaited = self.has_terminal_event or self._variables.keeps_flask_context
        # A body that was dropped may be closed by the garbage collector, in any thread.
        if is_awaited and self._thread is not threading.current_thread():
            self._thread.join()
        self._variables.leave(self._end())

    def _end(self) -> BaseException | None:
        """How the generator has ended, as Flask tells it to teardown functions."""
        return self.error or (None if self._is_exhausted else GeneratorExit())

    def _run(self) -> None:
        error: Exception | None = None
        items: Any = self._variables.items
        try:
            self._put_all(items)
        except BaseException as raised:  # noqa: BLE001 - the stream fails with it
            error = failure(raised)
        finally:
            close(items, self._context)
            with self.change:
                self.is_finished = True
                self.error = error
                self.change.notify_all()

    def _put_all(self, items: Iterable[StreamItem]) -> None:
        iterator = iter(items)
        while self._wait_for_room():
            try:
                item = next(iterator)
            except StopIteration:
                self._is_exhausted = True
                self._encoder.finish()
                return
            events = self._encoder.encode(item)
            if events:
                with self.change:
                    self.events.append(events)
                    self.event_count += 1
                    self.change.notify_all()
            if self._context.is_stopped and not self._context.listens:
                return

    def _wait_for_room(self) -> bool:
        """Wait until an event may be put. Returns False once the reader is gone, if the generator has nothing to save."""
        with self.change:
            while not self._is_closed:
                if len(self.events) < self._size and (self._is_asked or not self._is_in_step):
                    return True
                self.change.wait()
        return self.has_terminal_event
