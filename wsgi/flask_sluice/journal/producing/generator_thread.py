"""A generator whose events are kept, on a server with threads. On gevent a ``Generation`` does this."""

import logging
import threading
from collections.abc import Iterable
from functools import partial

from flask_sluice.journal.errors import JournalLostError
from flask_sluice.journal.producing.kept_stream import KeptStream
from flask_sluice.journal.turns import Turns
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.feeds.context_variables import variables_without_flask
from flask_sluice.stream.feeds.encode_items import StreamItem, close, failure, log_unforeseen
from flask_sluice.stream.threads.open_streams import open_streams

logger = logging.getLogger("sluice.stream")


class KeptGenerator:
    """Runs a generator in a thread of its own and publishes what it yields.

    When the stream is stopped, or takes too long, it ends at once, and its generator at the next ``yield``; one that listens to
    its context ends a stopped stream itself. After its terminal event it is left alone, so that it can save its answer; the
    process waits for that, for a while, before it ends.

    deadline_seconds: None: without a limit
    """

    def __init__(
        self,
        items: Iterable[StreamItem],
        context: StreamContext,
        deadline_seconds: float | None,
    ) -> None:
        self._items = items
        self._context = context
        self._deadline_seconds = deadline_seconds
        self._variables = variables_without_flask()
        self._is_done = threading.Event()

    def start(self, stream: KeptStream, turns: Turns) -> None:
        """Publish all items in the background, and end the stream."""
        self._stream = stream
        open_streams().add(self)
        turns.start(partial(self._variables.run, self._run, stream))
        if self._deadline_seconds is not None:
            turns.start(partial(self._end_in_time, stream, self._deadline_seconds))

    @property
    def is_saving(self) -> bool:
        return self._stream.has_terminal_event

    def on_drain(self) -> None:
        """Do nothing: the stream hears of it, and has its context tell the generator."""

    def _run(self, stream: KeptStream) -> None:
        try:
            self._publish_all(stream)
            # Raises ValueError where text was left unfinished.
            stream.close()
        except JournalLostError as error:
            logger.warning("journal lost request_id=%s: %s", self._context.request_id, error)
            stream.close(error)
        except BaseException as raised:  # noqa: BLE001 - the stream fails with it
            told = failure(raised)
            log_unforeseen(told, self._context)
            stream.close(told)
        finally:
            self._is_done.set()
            close(self._items, self._context)
            open_streams().discard(self)

    def _publish_all(self, stream: KeptStream) -> None:
        for item in self._items:
            if stream.has_terminal_event:
                continue
            try:
                stream.publish(item)
            except RuntimeError:
                if not stream.is_over:
                    raise
                return  # It has ended early, perhaps at this moment.
            if stream.has_terminal_event:
                continue
            if self._context.is_stopped and not self._context.listens:
                return

    def _end_in_time(self, stream: KeptStream, seconds: float) -> None:
        if not self._is_done.wait(seconds):
            stream.close(
                ApiError(504, "stream_timeout", f"the answer took longer than {seconds:g} seconds")
            )
            self._context.stop_generating()
