"""The thread of a generator, and the bounded queue between it and the request's thread."""

import threading

from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.encode_items import ItemEncoder, close, failure, log_unforeseen
from flask_sluice.stream.feeds.feed import holds_event
from flask_sluice.stream.threads.flask_contexts import RequestVariables
from flask_sluice.stream.threads.open_streams import END_SECONDS, SAVE_SECONDS, open_streams
from flask_sluice.stream.threads.thread_feed import ThreadFeed

_IN_STEP_CLOSE_SECONDS = 0.5
"""A generator that waits for something else than its ``yield`` when a test leaves is not worth a hanging test."""


class GeneratorThread(ThreadFeed):
    """Takes a generator's items as there is room, and makes events of them.

    When its reader is gone, or the stream is stopped, the generator ends at the ``yield`` where it is or to which it comes
    next. At its terminal event it is left alone, so that it can save its answer. The thread holds nothing of the reader,
    whose body may be dropped.

    variables: the generator, and the context variables with which it runs
    encoder: makes events of its items
    size: how many events may wait, those that are being written included
    is_in_step: whether the generator is asked for an event only when its reader waits for one
    is_finished: whether the generator is done
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
        super().__init__(is_in_step=is_in_step)
        self._variables = variables
        self._context = context
        self._encoder = encoder
        self._size = 1 if is_in_step else size
        self._is_asked = False
        self._being_written = 0
        self._is_at_terminal_event = False
        self._has_returned = False
        self._is_closed = False
        self._is_at_yield = False
        self._thread: threading.Thread | None = None

    @property
    def is_saving(self) -> bool:
        return self.has_terminal_event and not self.is_finished

    @property
    def keeps_flask_context(self) -> bool:
        return self._variables.keeps_flask_context

    def start(self) -> None:
        thread = threading.Thread(
            target=self._variables.enter().run,
            args=(self._run,),
            name="sluice-generator",
            # One that waits for ever must not keep the process from ending.
            daemon=True,
        )
        self._context.interrupt = self._wake
        open_streams().add(self)
        thread.start()
        self._thread = thread

    def ask(self) -> None:
        """Say that the reader waits for an event: what it took is written."""
        with self.change:
            if self.is_in_step or self._being_written:
                self._is_asked, self._being_written = True, 0
                self.change.notify_all()

    def take(self) -> bytes:
        self._being_written = len(self.events)
        self._is_asked = False
        return super().take()

    # Any thread may call these.

    def _wake(self) -> None:
        """The stream is stopped: the generator may be suspended at a ``yield``."""
        with self.change:
            self.change.notify_all()

    def close(self) -> None:
        """The reader is gone: end the generator, and wait for its end where its contexts are those of the request."""
        with self.change:
            self._is_closed = True
            is_at_yield = self._is_at_yield
            self.events.clear()
            self.change.notify_all()
        if self._thread is None:
            self._finish()
        elif not (self.is_finished or self.has_terminal_event):
            self._context.stop_generating()
        if self.is_in_step and self._thread is not None:
            # A test looks for what the generator does in its `finally`, and after its terminal event.
            is_awaited = is_at_yield or self.has_terminal_event
            self._thread.join(None if is_awaited else _IN_STEP_CLOSE_SECONDS)
        if self.keeps_flask_context and self._wait_for_end():
            self._variables.leave(self._end_of_generator())
        self._leave_open_streams()

    def _wait_for_end(self) -> bool:
        """Wait until the generator is done. Returns False if the process ends before."""
        with self.change:
            self.change.wait_for(lambda: self.is_finished or self.is_draining)
            # Python waits for the thread that is here, if it is not a daemon.
            seconds = SAVE_SECONDS if self.has_terminal_event else END_SECONDS
            return self.change.wait_for(lambda: self.is_finished, seconds)

    def _end_of_generator(self) -> BaseException | None:
        """What would have been raised in the request's thread if it had iterated over the generator itself."""
        return self.error or (None if self._has_returned else GeneratorExit())

    # The generator's thread.

    def _run(self) -> None:
        try:
            self._put_all()
        except BaseException as raised:  # noqa: BLE001 - the stream fails with it
            if not (isinstance(raised, GeneratorExit) and self._context.is_stopped):
                self._fail(failure(raised))
        finally:
            self._finish()

    def _fail(self, error: Exception) -> None:
        with self.change:
            self.error = error
            if self._is_closed and not self._context.is_stopped:
                # The client had left with the terminal event, and the answer could not be saved.
                log_unforeseen(error, self._context)

    def _put_all(self) -> None:
        iterator = iter(self._variables.items)
        while self._wait_for_room():
            try:
                item = next(iterator)
            except StopIteration:
                self._has_returned = True
                self._encoder.finish()
                return
            self._put(self._encoder.encode(item))

    def _wait_for_room(self) -> bool:
        """Wait until an event may be put. Returns False if the generator has to end at the ``yield`` where it is."""
        with self.change:
            self._is_at_yield = True
            while not self._is_to_end():
                has_room = len(self.events) + self._being_written < self._size
                if has_room and (self._is_asked or not self.is_in_step):
                    self._is_at_yield = False
                    return True
                self.change.wait()
            return self._is_at_terminal_event

    def _is_to_end(self) -> bool:
        return self._is_closed or (self._context.is_stopped and not self._context.listens)

    def _put(self, events: bytes) -> None:
        with self.change:
            self.has_terminal_event = self._encoder.has_terminal_event
            is_event = bool(events) and holds_event(events)
            # A generator that yields it when its reader is gone may do so for ever.
            may_save = is_event and not self._is_to_end()
            self._is_at_terminal_event = self.has_terminal_event and may_save
            if events and not self._is_closed:
                self.events.append(events)
                self.event_count += 1
                self.change.notify_all()

    def _finish(self) -> None:
        close(self._variables.items, self._context)
        # The context holds this object, and this object the context: both would stay until the next full collection.
        self._context.interrupt = None
        with self.change:
            self.is_finished = True
            self.change.notify_all()
        self._leave_open_streams()

    def _leave_open_streams(self) -> None:
        if self.is_finished and self._is_closed:
            open_streams().discard(self)
            if not self.keeps_flask_context:
                # Its traceback holds this object. The contexts, where they are still to be popped, get it first.
                self.error = None
