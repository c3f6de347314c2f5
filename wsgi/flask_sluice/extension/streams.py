"""An app's kept streams, with the responses that read them."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from flask import Response, has_request_context, request

from flask_sluice.extension.config import ExtensionConfig
from flask_sluice.extension.handed_readers import StreamReader
from flask_sluice.extension.handoff import HandOff
from flask_sluice.extension.reading import (
    RETRY_MS,
    ReadingResponse,
    last_event_id,
    no_more_events,
)
from flask_sluice.journal.errors import InvalidEventIdError, UnknownStreamError
from flask_sluice.journal.owners import PerOwner
from flask_sluice.journal.producing.checked_values import (
    check_milliseconds,
    check_seconds_or_0,
    owner_text,
)
from flask_sluice.journal.protocol import Follower
from flask_sluice.journal.reading.reader import Follow
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.journal.streams import Owner, Streams
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.headers_and_errors import ErrorEvent, error_for_event_source, renderer
from flask_sluice.stream.options import stream_options
from flask_sluice.stream.responses import GivenHeaders, context_of, headers_with

_LOOK_SECONDS = 0.1


class AppStreams(Streams):
    """``Streams`` for the views of a Flask app.

    config: what the app's config says of kept streams
    app_config: all of it, with the options of each stream; these may be changed later
    credentials: see ``Streams``
    """

    def __init__(
        self,
        config: ExtensionConfig,
        app_config: Mapping[str, Any],
        credentials: RedisCredentials | None = None,
    ) -> None:
        given = {
            name: value
            for name in (
                *("history_bytes", "history_seconds", "abandon_seconds"),
                *("total_history_bytes", "streams_per_owner"),
            )
            if (value := getattr(config, name)) is not None
        }
        super().__init__(config.redis_url, credentials=credentials, **given)
        self._app_config = app_config
        self._readers = PerOwner(config.readers_per_owner, "readers of yours are connected")
        self._hand_off = HandOff(config)

    def context_for(self, context: StreamContext | None) -> StreamContext:
        """See ``Streams``. In a view the stream has the request's id in the log.

        Raises ApiError 503 where Redis is missing and there are several processes.
        """
        if not has_request_context():
            return super().context_for(context)
        self.require_shared()
        return context_of(request, context)

    def deadline_for(self, deadline: float | None) -> float | None:
        """See ``Streams``. The default is ``SLUICE_STREAM_TIMEOUT_SECONDS`` of the app's config."""
        return stream_options(self._app_config, None, deadline).deadline_seconds

    def response(
        self,
        stream_id: str,
        *,
        owner: Owner = None,
        wait: float = 0,
        keepalive: float | None = None,
        retry: int = RETRY_MS,
        headers: GivenHeaders | None = None,
        error_event: ErrorEvent | None = None,
    ) -> Response:
        """Return the response that sends a stream's events to the client of the current request, as they come.

        It begins after the event that the client has (``Last-Event-ID``, or ``?last_event_id=``), with ``event: reset`` where
        events after that are not kept any more. A client that comes back after the end gets 204, which ends an EventSource.

        owner: whose stream it has to be; None: anyone's
        wait: for how many seconds a stream is awaited that has not begun yet, in a Celery task for example
        keepalive: seconds of silence after which a comment is sent; 0: never; None: ``SLUICE_KEEPALIVE_SECONDS``, or else 15
        retry: milliseconds after which an EventSource reconnects
        headers: added to those of every stream
        error_event: makes the event that tells what the stream itself cannot tell: the server is restarted, Redis fails, the
            process that generated the answer has died

        Raises ApiError, of which the extension makes a response in JSON, or what the app's own error handlers make of it:
        404 for an unknown stream, or another owner's; 400 for a Last-Event-ID that the stream has not given out; 429 where the
        owner has too many readers; 503 where Redis does not answer, or is missing and there are several processes.
        """
        self.require_shared()
        check_milliseconds("retry", retry)
        context = context_of(request)
        reading = ReadingResponse(
            context,
            stream_options(self._app_config, keepalive, None),
            headers=headers_with(context.request_id, headers),
            render_error=renderer(error_event, error_for_event_source),
            retry_ms=retry,
        )
        follow = self.reader(stream_id, last_event_id(), owner=owner, wait=wait)
        return self.counted(owner, partial(reading.follow, self.journal.turns, follow))

    def handoff(
        self,
        stream_id: str,
        *,
        owner: Owner = None,
        wait: float = 0,
        keepalive: float | None = None,
        retry: int = RETRY_MS,
        headers: GivenHeaders | None = None,
    ) -> Response:
        """Return an empty response, upon which nginx has ``sluice serve`` send the stream; see docs/hand-off.md.

        The client gets what ``response`` would send it, and this request ends at once. The arguments are the same; what the
        view and ``after_request`` functions set of headers and cookies reaches the client, too.

        Raises what ``response`` raises; RuntimeError, saying what to set, if the app is not prepared for it.
        """
        self._hand_off.check()
        check_milliseconds("retry", retry)
        check_seconds_or_0("wait", wait, "not at all")
        after = last_event_id()
        try:
            status = self.status(stream_id, owner=owner)
        except UnknownStreamError:
            if wait <= 0:
                raise
        else:
            if status.state != "running":
                if after > status.last_id:
                    raise InvalidEventIdError(status.last_id)
                if after == status.last_id:
                    return no_more_events()
        reader = StreamReader(
            stream_id=stream_id,
            owner=owner_text(owner),
            after=after,
            wait_seconds=wait,
            retry_ms=retry,
        )
        return self._hand_off.response(reader, keepalive, headers)

    def counted(
        self, owner: Owner, answer: Callable[[], Response], limit: int | None = None
    ) -> Response:
        """Return a reader's response, and count it among its owner's until it is closed.

        answer: makes the response; a 204 is not counted
        limit: in place of ``readers_per_owner``; None: that

        Raises ApiError 429 where the owner has too many, and what ``answer`` raises.
        """
        counted = owner_text(owner) or ""
        with ExitStack() as on_failure:
            with self.journal.turns:
                self._readers.add(counted, limit)
            on_failure.callback(self._forget_reader, counted)
            response = answer()
            if response.status_code != 204:
                on_failure.pop_all()
                response.call_on_close(partial(self._forget_reader, counted))
        return response

    def _forget_reader(self, owner: str) -> None:
        with self.journal.turns:
            self._readers.remove(owner)

    def reader(self, stream_id: str, after: int, *, owner: Owner = None, wait: float = 0) -> Follow:
        """Return what begins to read a stream from the event after number ``after`` on; see ``response``."""
        check_seconds_or_0("wait", wait, "not at all")
        ends_at = time.monotonic() + wait

        def follow(wake: Any) -> Follower:
            while True:
                try:
                    return self.follow(stream_id, after, wake, owner=owner)
                except UnknownStreamError:
                    if time.monotonic() >= ends_at:
                        raise
                self.journal.turns.sleep(_LOOK_SECONDS)

        return follow

    def require_shared(self) -> None:
        """Raise ApiError 503 where the next request about a stream would often reach a process that does not have it.

        The server knows how many processes there are, whichever way it was configured (PEP 3333, "environ Variables").
        """
        if request.environ["wsgi.multiprocess"] and not self.journal.is_shared:
            raise ApiError(
                503,
                "needs_redis",
                "kept streams need SLUICE_REDIS_URL where there is more than one worker",
            )
