"""A generator whose events are kept, on a server with threads. On gevent a ``Generation`` does this."""

import time
from collections.abc import Iterable

from flask_sluice.journal.producing.kept_stream import KeptStream
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.feeds.context_variables import variables_without_flask
from flask_sluice.stream.feeds.encode_items import StreamItem, close, failure, log_unforeseen


class KeptGenerator:
    """Runs a generator in a thread of its own and publishes what it yields.

    When the stream is stopped, a generator that does not listen to its context ends at its next ``yield``. After its terminal
    event it is left alone, so that it can save its answer.

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

    def run(self, stream: KeptStream) -> None:
        """Publish all items, and end the stream. Never raises."""
        self._variables.run(self._run, stream)

    def _run(self, stream: KeptStream) -> None:
        try:
            self._publish_all(stream)
        except BaseException as raised:  # noqa: BLE001 - the stream fails with it
            error = failure(raised)
            log_unforeseen(error, self._context)
            stream.close(error)
        finally:
            stream.close()
            close(self._items, self._context)

    def _publish_all(self, stream: KeptStream) -> None:
        ends_at = time.monotonic() + (self._deadline_seconds or float("inf"))
        for item in self._items:
            if stream.is_over:
                continue  # It saves its answer.
            stream.publish(item)
            if self._context.is_stopped and not self._context.listens:
                return
            if time.monotonic() >= ends_at:
                raise ApiError(
                    504,
                    "stream_timeout",
                    f"the answer took longer than {self._deadline_seconds:g} seconds",
                )
