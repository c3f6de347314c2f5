"""An app's channels, with the responses that read them."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TypeVar

from flask import Flask, Response, current_app, has_request_context, request

from flask_sluice.channels import Channels
from flask_sluice.channels.callbacks import PresenceCallback
from flask_sluice.channels.channels import check_names
from flask_sluice.channels.identity import Details, Owner, identity_of
from flask_sluice.channels.ids import ids_of
from flask_sluice.extension.config import ExtensionConfig
from flask_sluice.extension.handed_readers import ChannelsReader
from flask_sluice.extension.handoff import HandOff
from flask_sluice.extension.reading import RETRY_MS, ReadingResponse, given_event_id
from flask_sluice.journal.protocol import Follower
from flask_sluice.journal.reading.reader import Follow
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.headers_and_errors import ErrorEvent, error_for_event_source, renderer
from flask_sluice.stream.options import stream_options
from flask_sluice.stream.responses import GivenHeaders, context_of, headers_with

F = TypeVar("F", bound=PresenceCallback)


class AppChannels(Channels):
    """``Channels`` for the views of a Flask app. Nothing can be read that no view hands out.

    app: its context is there where ``on_join`` and ``on_leave`` are called
    credentials: see ``Streams``
    """

    def __init__(
        self, app: Flask, config: ExtensionConfig, credentials: RedisCredentials | None = None
    ) -> None:
        given = {
            "history_events": config.channel_history_events,
            "history_bytes": config.channel_history_bytes,
            "history_seconds": config.channel_history_seconds,
            "readers_per_owner": config.readers_per_owner,
        }
        super().__init__(
            config.redis_url,
            credentials=credentials,
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        )
        self._app = app
        self._hand_off = HandOff(config)

    def publish(self, name: str, data: object, *, event: str | None = None) -> str:
        """See ``Channels.publish``. In a view, raises ApiError 503, too, where Redis is missing and there are several processes."""
        if has_request_context():
            self.require_shared()
        return super().publish(name, data, event=event)

    def on_join(self, function: F) -> F:
        """See ``Channels.on_join``. The app's context is there, and no request's."""
        super().on_join(self._in_app_context(function))
        return function

    def on_leave(self, function: F) -> F:
        """See ``Channels.on_leave``. The app's context is there, and no request's."""
        super().on_leave(self._in_app_context(function))
        return function

    def _in_app_context(self, function: PresenceCallback) -> PresenceCallback:
        @wraps(function)
        def call(name: str, owner: str, details: Mapping[str, str]) -> None:
            with self._app.app_context():
                function(name, owner, details)

        return call

    def response(
        self,
        *names: str,
        owner: Owner = None,
        details: Details | None = None,
        keepalive: float | None = None,
        retry: int = RETRY_MS,
        headers: GivenHeaders | None = None,
        error_event: ErrorEvent | None = None,
    ) -> Response:
        """Return the response that sends the events of one or several channels to the client of the current request.

        It begins after the event that the client has (``Last-Event-ID``, or ``?last_event_id=``), with ``event: reset`` where
        events after that are not kept any more; without an id, with what is published from now on. It goes on until the client
        leaves. The view decides who may read which channels: it is asked again whenever a client comes back.

        owner: whose connection it is, such as the id of a user, for presence, ``kick`` and ``SLUICE_READERS_PER_OWNER``
        details: what else is known of it, for presence and ``kick``, such as {"session": "x"}
        keepalive: seconds of silence after which a comment is sent; 0: never; None: ``SLUICE_KEEPALIVE_SECONDS``, or else 15
        retry: milliseconds after which an EventSource reconnects
        headers: added to those of every stream
        error_event: makes the event that tells an error of this reader alone: the server is restarted

        Raises ApiError, of which the extension makes a response in JSON, or what the app's own error handlers make of it:
        400 for a Last-Event-ID that is not one of these; 429 where the owner has too many readers; 503 where Redis does not
        answer, or is missing and there are several processes. TypeError or ValueError for names, an owner or details that cannot be.
        """
        self.require_shared()
        context = context_of(request)
        reading = ReadingResponse(
            context,
            stream_options(current_app.config, keepalive, None),
            headers=headers_with(context.request_id, headers),
            render_error=renderer(error_event, error_for_event_source),
            retry_ms=retry,
        )
        return reading.follow(self.turns, self.reader(*names, owner=owner, details=details))

    def handoff(
        self,
        *names: str,
        owner: Owner = None,
        details: Details | None = None,
        keepalive: float | None = None,
        retry: int = RETRY_MS,
        headers: GivenHeaders | None = None,
    ) -> Response:
        """Return an empty response, upon which nginx has ``sluice serve`` send the channels' events; see docs/hand-off.md.

        The client gets what ``response`` would send it, and this request ends at once. The arguments are the same; what the
        view and ``after_request`` functions set of headers and cookies reaches the client, too. ``on_join`` and ``on_leave`` are
        not called for such a reader.

        Raises what ``response`` raises; RuntimeError, saying what to set, if the app is not prepared for it.
        """
        self._hand_off.check()
        check_names(names)
        identity = identity_of(owner, details)
        reader = ChannelsReader(
            names=names,
            owner=identity.owner,
            details=dict(identity.details),
            # A client may send more than a ticket has room for.
            last_event_id=ids_of(names, given_event_id()),
            retry_ms=retry,
        )
        return self._hand_off.response(reader, keepalive, headers)

    def reader(self, *names: str, owner: Owner = None, details: Details | None = None) -> Follow:
        """Return what begins to read channels for the current request; see ``response``."""
        last_event_id = given_event_id()

        def follow(wake: Callable[[], None]) -> Follower:
            return self.follow(names, last_event_id, wake, owner=owner, details=details)

        return follow

    def require_shared(self) -> None:
        """Raise ApiError 503 where an event would not reach readers that other processes have. See ``AppStreams.require_shared``."""
        if request.environ["wsgi.multiprocess"] and not self.is_shared:
            raise ApiError(
                503,
                "needs_redis",
                "channels need SLUICE_REDIS_URL where there is more than one worker",
            )
