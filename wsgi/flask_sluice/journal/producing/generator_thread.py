"""A generator whose events are kept, on a server with threads. On gevent a ``Generation`` does this."""

import logging
import time
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

    When the stream is stopped, a generator that does not listen to its context ends at its next ``yield``. After its terminal
    event it is left alone, so that it can save its answer; the process waits for that, for a while, before it ends.

    deadline_seconds: None: without a limit. It is looked at when the generator yields
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

    def start(self, stream: KeptStream, turns: Turns) -> None:
        """Publish all items in the background, and end the stream."""
        self._stream = stream
        open_streams().add(self)
        turns.start(partial(self._variables.run, self._run, stream))

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
            close(self._items, self._context)
            open_streams().discard(self)

    def _publish_all(self, stream: KeptStream) -> None:
        ends_at = time.monotonic() + (self._deadline_seconds or float("inf"))
        for item in self._items:
            if stream.has_terminal_event:
                continue
            if stream.is_over:
                return  # The process ends.
            stream.publish(item)
            if stream.has_terminal_event:
                continue
            if self._context.is_stopped and not self._context.listens:
                return
            if time.monotonic() >= ends_at:
                raise ApiError(
                    504,
                    "stream_timeout",
                    f"the answer took longer than {self._deadline_seconds:g} seconds",
                )
